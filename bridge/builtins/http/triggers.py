"""The `http` trigger type: bindings become routes (spec 04 §1.1, §1.2)."""

from typing import Any

import msgspec
import structlog

from bridge.builtins.http.routes import Route, RouteTable, parse_pattern
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload

__all__ = ["SERVED_METHODS", "HttpTriggers"]

log = structlog.get_logger("bridge.http")

SERVED_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


class HttpTriggers:
    """Turns bindings into routes.

    Args:
        routes: Where the routes go.
    """

    def __init__(self, routes: RouteTable) -> None:
        self._routes = routes

    def bind(self, binding: Binding) -> None:
        """Add a route.

        Raises:
            TriggerRejectedError: There is no usable path, or another route matches the same paths.
        """
        config = msgspec.json.decode(binding.config) if payload.is_object(binding.config) else {}
        api_path = _text(config, "api_path")
        if api_path is None:
            raise TriggerRejectedError('api_path is required; give it as a string, for example "/orders/:id"')
        method = (_text(config, "http_method") or "GET").upper()
        middleware = config.get("middleware_function_ids")
        route = Route(
            binding=binding,
            method=method,
            api_path=api_path,
            pattern=parse_pattern(api_path),
            condition_function_id=_text(config, "condition_function_id"),
            middleware_function_ids=tuple(
                each for each in (middleware if isinstance(middleware, list) else ()) if isinstance(each, str)
            ),
        )
        if method not in SERVED_METHODS:
            log.warning("route never served: unsupported method", method=method, api_path=api_path)
            return
        self._routes.add(route)

    def unbind(self, binding: Binding) -> None:
        """Remove the route, unless another binding replaced it."""
        self._routes.remove(binding)


def _text(config: dict[str, Any], key: str) -> str | None:
    value = config.get(key)
    return value if isinstance(value, str) else None
