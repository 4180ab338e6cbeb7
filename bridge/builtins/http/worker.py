"""The built-in worker `iii-http`: functions behind HTTP routes (spec 04 §1 to §5)."""

import asyncio
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
from bridge.entrance import OPEN_ENTRANCE, Entrance
from bridge.errors import ConfigError
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
        entrance: How clients get in; it stays when the settings change.
    """

    def __init__(
        self, engine: Engine, channels: Channels, settings: HttpSettings, entrance: Entrance = OPEN_ENTRANCE
    ) -> None:
        self._entrance = entrance
        self._settings = settings
        self._routes = RouteTable()
        self._triggers = HttpTriggers(self._routes)
        self._app = HttpApp(Services(engine, channels, time.time_ns), self._routes, settings, entrance)
        self._server = self._new_server(settings)
        self._moving = asyncio.Lock()
        self._is_closed = False

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
        async with self._moving:
            self._is_closed = True
        await self._server.close(deadline_s)

    async def apply(self, settings: HttpSettings) -> None:
        """Change the settings while running (spec 04 §5.5).

        They hold for requests and for connections that begin from now on. A new address is bound before the
        old one is left; this returns when the requests that run there have ended, or were cut off after 10 s.

        Raises:
            ConfigError: The new address cannot be bound; nothing has changed.

        Cancellation: the old address may be left with requests that nobody waits for.
        """
        async with self._moving:
            left = await self._move(settings)
            self._settings = settings
            self._app.apply(settings)
            self._server.apply(_limits(settings), keep_alive_timeout_s=settings.keep_alive_timeout_s)
        if left is not None:
            await left.close(CLOSE_DEADLINE_S)

    async def _move(self, settings: HttpSettings) -> HttpServer | None:
        """Listen where the settings say; returns the server that is to be closed, if they say elsewhere."""
        if self._is_closed or settings.address == self._settings.address:
            return None
        server = self._new_server(settings)
        try:
            await server.start(settings.host, settings.port)
        except ConfigError as exc:
            if settings.port != self._settings.port:
                raise
            raise ConfigError(
                f"{exc}; or, as it may overlap with {self._settings.host}, where the bridge listens on "
                "that port, change the host and restart"
            ) from exc
        left, self._server = self._server, server
        return left

    def _new_server(self, settings: HttpSettings) -> HttpServer:
        return HttpServer(
            self._app,
            _limits(settings),
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            tls=self._entrance.tls,
        )


def _limits(settings: HttpSettings) -> ConnectionLimits:
    return ConnectionLimits(
        head_bytes=settings.head_limit_bytes,
        head_timeout_s=settings.head_timeout_ms / 1000,
        max_connections=settings.max_connections,
        write_timeout_s=settings.write_timeout_ms / 1000,
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
