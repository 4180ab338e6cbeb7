"""The built-in worker `iii-http`: functions behind HTTP routes (spec 04 §1 to §5)."""

import time

from bridge.builtins.http.app import HttpApp
from bridge.builtins.http.connection import ConnectionLimits
from bridge.builtins.http.exchange import Services
from bridge.builtins.http.ports import Channels
from bridge.builtins.http.routes import RouteTable
from bridge.builtins.http.server import HttpServer
from bridge.builtins.http.settings import HttpSettings
from bridge.builtins.http.triggers import SERVED_METHODS, HttpTriggers
from bridge.engine.engine import Engine
from bridge.engine.triggers import TriggerType
from bridge.protocol import payload

__all__ = ["Http"]

OWNER_NAME = "iii-http"
TRIGGER_TYPE = "http"
OLD_TRIGGER_TYPE = "api"
"""What the documentation of old SDKs calls it; no engine registers it, but code written by it exists."""

CLOSE_DEADLINE_S = 10

_STRING_MAP = {"type": "object", "additionalProperties": {"type": "string"}}


class Http:
    """Serves HTTP requests with functions.

    A client that leaves ends its request, not the function: that one goes on, and what it returns is
    dropped. If it streams, its next write fails, as it does in iii (spec 04 §3.1).

    Args:
        engine: Runs the functions.
        channels: Makes the channels for streamed bodies.
        settings: How requests are served.
    """

    def __init__(self, engine: Engine, channels: Channels, settings: HttpSettings) -> None:
        self._settings = settings
        self._routes = RouteTable()
        self._triggers = HttpTriggers(self._routes)
        self._app = HttpApp(Services(engine, channels, time.time_ns), self._routes, settings)
        self._server = self._new_server(settings)

    def register(self, engine: Engine) -> None:
        """Provide the trigger type, under its name and its old one."""
        for type_id in (TRIGGER_TYPE, OLD_TRIGGER_TYPE):
            engine.add_trigger_type(
                TriggerType(
                    id=type_id,
                    description="Runs a function for each HTTP request that matches a path and a method.",
                    provider=self._triggers,
                    owner_name=OWNER_NAME,
                    configuration_schema=_CONFIGURATION_SCHEMA,
                    request_schema=_REQUEST_SCHEMA,
                    response_schema=_RESPONSE_SCHEMA,
                )
            )

    async def start(self) -> int:
        """Begin to listen; returns the port.

        Raises:
            ConfigError: The address cannot be bound.
        """
        return await self._server.start(self._settings.host, self._settings.port)

    @property
    def connection_count(self) -> int:
        """How many clients are connected now."""
        return self._server.connection_count

    async def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Stop: running requests may end until the deadline. Closing again does nothing."""
        await self._server.close(deadline_s)

    async def apply(self, settings: HttpSettings) -> None:
        """Change the settings while running (spec 04 §5.5).

        A new address is bound before the old one is left. Bounds of connections hold for a new address only.

        Raises:
            ConfigError: The new address cannot be bound; nothing has changed.
        """
        moves = (settings.host, settings.port) != (self._settings.host, self._settings.port)
        left = self._server
        if moves:
            self._server = await self._started_elsewhere(settings)
        self._settings = settings
        self._app.apply(settings)
        if moves:
            await left.close(CLOSE_DEADLINE_S)

    async def _started_elsewhere(self, settings: HttpSettings) -> HttpServer:
        server = self._new_server(settings)
        await server.start(settings.host, settings.port)
        return server

    def _new_server(self, settings: HttpSettings) -> HttpServer:
        return HttpServer(
            self._app,
            ConnectionLimits(
                head_bytes=settings.head_limit_bytes,
                head_timeout_s=settings.head_timeout_ms / 1000,
                max_connections=settings.max_connections,
                write_timeout_s=settings.write_timeout_ms / 1000,
            ),
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
        )


_CONFIGURATION_SCHEMA = payload.encode(
    {
        "type": "object",
        "properties": {
            "api_path": {"type": "string", "description": "The path; :name stands for one segment."},
            "http_method": {"type": "string", "enum": SERVED_METHODS, "default": "GET"},
            "condition_function_id": {"type": "string", "description": "Only if it does not return false."},
            "middleware_function_ids": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["api_path"],
    }
)
_REQUEST_SCHEMA = payload.encode(
    {
        "type": "object",
        "properties": {
            "query_params": _STRING_MAP,
            "path_params": _STRING_MAP,
            "headers": _STRING_MAP,
            "path": {"type": "string"},
            "method": {"type": "string"},
            "body": {},
        },
    }
)
_RESPONSE_SCHEMA = payload.encode(
    {
        "type": "object",
        "properties": {
            "status_code": {"type": ["integer", "null"], "minimum": 0, "maximum": 65535},
            "headers": {
                "anyOf": [_STRING_MAP, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]
            },
            "body": {},
        },
    }
)
