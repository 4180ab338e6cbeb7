"""An OpenAPI 3.1 document of the routes that are registered now. It is ours; iii has none."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from bridge.builtins.http.routes import Route
from bridge.engine.functions import FunctionSchema
from bridge.protocol import payload

__all__ = ["FindSchema", "openapi_document"]

FindSchema = Callable[[Route], FunctionSchema | None]
"""Finds what the function of a route says about itself; `None` when nobody offers it now."""

_BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOT_IN_COMPONENT_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_REQUEST_KEYS = frozenset({"body", "query_params", "path_params", "headers", "method"})
_RESPONSE_KEYS = frozenset({"body", "status_code", "statusCode", "headers"})
_ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "error_id": {"type": "string"},
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}


def openapi_document(routes: Iterable[Route], find_schema: FindSchema, *, version: str) -> bytes:
    """Describe the routes.

    A function's request format counts as the schema of the whole request object if it has a key of one, and
    as the schema of the body otherwise; its response format likewise.

    Args:
        routes: What to describe.
        find_schema: Finds what functions say about themselves.
        version: The version that the document shows.
    """
    document = _Document()
    for route in routes:
        document.add(route, find_schema(route) or FunctionSchema())
    return bytes(
        payload.encode(
            {
                "openapi": "3.1.0",
                "info": {"title": "HTTP functions", "version": version},
                "paths": document.paths,
                "components": {"schemas": document.schemas},
            }
        )
    )


class _Document:
    def __init__(self) -> None:
        self.paths: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, Any] = {"Error": _ERROR_SCHEMA}

    def add(self, route: Route, schema: FunctionSchema) -> None:
        function_id = route.binding.function_id
        name = _NOT_IN_COMPONENT_NAME.sub(".", f"{route.binding.namespace}.{function_id}")
        request = self._component(f"{name}.request", schema.request_format)
        response = self._component(f"{name}.response", schema.response_format)
        operation: dict[str, Any] = {
            "operationId": f"{route.method.lower()}.{_path(route).strip('/') or 'root'}",
            "tags": [function_id.partition("::")[0]],
            "x-iii-function-id": function_id,
            "parameters": [*_path_parameters(route), *self._query_parameters(request)],
            "responses": {
                "200": {
                    "description": "What the function returns.",
                    **_json(_part(response, _RESPONSE_KEYS)),
                },
                "default": {
                    "description": "The function failed, or was not reached.",
                    **_json({"$ref": "#/components/schemas/Error"}),
                },
            },
        }
        if schema.description:
            operation["summary"] = schema.description
        if route.method in _BODY_METHODS and (body := _part(request, _REQUEST_KEYS)) is not None:
            operation["requestBody"] = _json(body)
        self.paths.setdefault(_path(route), {})[route.method.lower()] = operation

    def _component(self, name: str, raw: msgspec.Raw) -> "_Component | None":
        if not payload.is_object(raw):
            return None
        schema = msgspec.json.decode(raw)
        schema.pop("$schema", None)
        pointer = f"#/components/schemas/{name}"
        self.schemas[name] = _rebased(schema, pointer)
        return _Component(pointer, schema)

    def _query_parameters(self, request: "_Component | None") -> list[dict[str, Any]]:
        described = request.properties.get("query_params") if request else None
        properties = described.get("properties") if isinstance(described, dict) else None
        if request is None or not isinstance(properties, dict):
            return []
        required = described.get("required", []) if isinstance(described, dict) else []
        return [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": {"$ref": f"{request.pointer}/properties/query_params/properties/{_escaped(name)}"},
            }
            for name in properties
        ]


class _Component:
    """A schema in the document and where it stands."""

    def __init__(self, pointer: str, schema: Mapping[str, Any]) -> None:
        self.pointer = pointer
        properties = schema.get("properties")
        self.properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}


def _part(component: _Component | None, keys: frozenset[str]) -> Mapping[str, Any] | None:
    """Return the schema of the body: of the whole, or of its part named so."""
    if component is None:
        return None
    if not keys & component.properties.keys():
        return {"$ref": component.pointer}
    return {"$ref": f"{component.pointer}/properties/body"} if "body" in component.properties else None


def _json(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}} if schema is not None else {}


def _path(route: Route) -> str:
    names = iter(route.pattern.names)
    return "/" + "/".join(f"{{{next(names)}}}" if part is None else part for part in route.pattern.shape)


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in dict.fromkeys(route.pattern.names)
    ]


def _rebased(value: Any, pointer: str) -> Any:
    """Make the references inside a schema hold where it now stands."""
    if isinstance(value, list):
        return [_rebased(each, pointer) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{pointer}{each[1:]}"
        if key == "$ref" and isinstance(each, str) and each.startswith("#")
        else _rebased(each, pointer)
        for key, each in value.items()
    }


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
