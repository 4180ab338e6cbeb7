"""The OpenAPI document and its page describe what is registered."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bridge.builtins.http import HttpSettings
from bridge.builtins.http.documentation import Documentation
from bridge.builtins.http.openapi import openapi_document
from bridge.builtins.http.routes import Route, RouteTable, parse_pattern
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import Binding
from bridge.protocol import payload


def route_of(path: str, method: str = "GET", function_id: str = "orders::create") -> Route:
    binding = Binding(f"{method} {path}", "http", function_id, payload.NULL)
    return Route(binding, method, path, parse_pattern(path))


def document_of(*routes: Route, request: Any = None, response: Any = None, **schema: Any) -> Any:
    found = FunctionSchema(
        request_format=payload.encode(request) if request else payload.ABSENT,
        response_format=payload.encode(response) if response else payload.ABSENT,
        **schema,
    )
    return msgspec.json.decode(openapi_document(routes, lambda _: found, version="1"))


def resolve(document: Any, reference: dict[str, str]) -> Any:
    value = document
    for step in reference["$ref"].removeprefix("#/").split("/"):
        value = value[step.replace("~1", "/").replace("~0", "~")]
    return value


def json_schema(part: dict[str, Any]) -> Any:
    return part["content"]["application/json"]["schema"]


def test_a_route_is_described_by_its_path_and_its_function() -> None:
    document = document_of(route_of("items/:id/{part}", "DELETE"), description="Remove an item.")
    operation = document["paths"]["/items/{id}/{part}"]["delete"]
    assert document["openapi"] == "3.1.0"
    assert operation["summary"] == "Remove an item."
    assert operation["x-iii-function-id"] == "orders::create"
    assert [(each["name"], each["in"], each["required"]) for each in operation["parameters"]] == [
        ("id", "path", True),
        ("part", "path", True),
    ]


def test_methods_of_one_path_stand_together() -> None:
    document = document_of(route_of("/x", "GET"), route_of("/x", "POST"), route_of("", "GET"))
    assert sorted(document["paths"]["/x"]) == ["get", "post"]
    assert document["paths"]["/"]["get"]["operationId"] == "get.root"


def test_a_format_of_the_request_object_gives_body_and_query() -> None:
    request = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "body": {"$ref": "#/$defs/Order"},
            "query_params": {"properties": {"dry/run": {"type": "string"}}, "required": ["dry/run"]},
        },
        "$defs": {"Order": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    }
    document = document_of(route_of("/x", "POST"), request=request)
    operation = document["paths"]["/x"]["post"]
    body = resolve(document, json_schema(operation["requestBody"]))
    assert resolve(document, body) == request["$defs"]["Order"]
    (query,) = operation["parameters"]
    assert (query["name"], query["in"], query["required"]) == ("dry/run", "query", True)
    assert resolve(document, query["schema"]) == {"type": "string"}


def test_any_other_format_is_that_of_the_body() -> None:
    order = {"type": "object", "properties": {"sku": {"type": "string"}}}
    document = document_of(route_of("/x", "POST"), request=order, response=order)
    operation = document["paths"]["/x"]["post"]
    assert resolve(document, json_schema(operation["requestBody"])) == order
    assert resolve(document, json_schema(operation["responses"]["200"])) == order


def test_a_response_format_with_an_envelope_gives_its_body() -> None:
    envelope = {"properties": {"status_code": {"type": "integer"}, "body": {"type": "string"}}}
    document = document_of(route_of("/x"), response=envelope)
    assert resolve(document, json_schema(document["paths"]["/x"]["get"]["responses"]["200"])) == {
        "type": "string"
    }


@pytest.mark.parametrize("odd", [{"properties": 7}, {"properties": {"query_params": 7}}, {"$ref": 7}])
def test_an_odd_format_is_shown_and_breaks_nothing(odd: Any) -> None:
    assert "/x" in document_of(route_of("/x", "POST"), request=odd, response=odd)["paths"]


def test_a_get_has_no_body() -> None:
    document = document_of(route_of("/x"), request={"properties": {"body": {}}})
    assert "requestBody" not in document["paths"]["/x"]["get"]


class Page:
    def __init__(self) -> None:
        self.engine = Engine(spawn=asyncio.ensure_future, new_id=lambda: "id")  # type: ignore[arg-type]
        self.routes = RouteTable()
        self.now_s = 0.0
        self.documentation = Documentation(self.engine, self.routes, lambda: self.now_s)

    def get(self, path: str, method: str = "GET", **settings: Any) -> bytes | None:
        response = self.documentation.find(method, path, HttpSettings(**settings))
        return response.body if response else None


@pytest.fixture
def page() -> Page:
    return Page()


async def test_the_document_follows_the_registrations(page: Page) -> None:
    async def handler(_: Call) -> msgspec.Raw:
        return payload.NULL

    assert msgspec.json.decode(page.get("/openapi.json") or b"")["paths"] == {}
    page.routes.add(route_of("/x"))
    page.engine.add_builtin(
        "orders::create", handler, owner_name="t", schema=FunctionSchema("Create an order.")
    )
    page.now_s = 1
    described = msgspec.json.decode(page.get("/openapi.json") or b"")
    assert described["paths"]["/x"]["get"]["summary"] == "Create an order."


def test_the_document_is_made_at_most_once_a_second(page: Page) -> None:
    first = page.get("/openapi.json")
    page.routes.add(route_of("/x"))
    page.now_s = 0.9
    assert page.get("/openapi.json") is first


def test_the_paths_can_be_set(page: Page) -> None:
    assert page.get("/api.json", openapi_path="/api.json") is not None
    assert page.get("/openapi.json", openapi_path="/api.json") is None
    assert b'"/api.json"' in (page.get("/docs", openapi_path="/api.json") or b"")
    assert b"</script><b>" not in (page.get("/docs", openapi_path="</script><b>") or b"")


@pytest.mark.parametrize(
    "ask",
    [
        lambda page: page.get("/openapi.json", openapi_path=None),
        lambda page: page.get("/docs", openapi_path=None),
        lambda page: page.get("/docs", docs_path=None),
        lambda page: page.get("/docs", "POST"),
        lambda page: page.get("/other"),
    ],
)
def test_nothing_else_is_served(ask: Callable[[Page], bytes | None], page: Page) -> None:
    assert ask(page) is None
