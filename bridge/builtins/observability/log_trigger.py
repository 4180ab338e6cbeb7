"""The trigger type `log`: run a function for every log of a level (spec 05 §6.3)."""

from typing import Literal

import msgspec
import structlog

from bridge.builtins.observability.logs import LogEntry
from bridge.builtins.observability.offer import OWNER_NAME
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding, TriggerType
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload

__all__ = ["LogTrigger"]

log = structlog.get_logger("bridge.observability")

_MOST_IN_FLIGHT = 1000
"""Calls that have no outcome yet; while there are so many, further logs do not fire."""


class _Config(msgspec.Struct, frozen=True):
    level: Literal["all", "trace", "debug", "info", "warn", "error"] | None = None


_decoder = msgspec.json.Decoder(_Config)


class LogTrigger:
    """Fires for logs. The level of a binding is compared for equality: it is no minimum.

    Args:
        engine: Runs the bound functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bindings: dict[str, tuple[Binding, str]] = {}
        self._in_flight = 0
        self._is_overrun = False

    def register(self, engine: Engine) -> None:
        """Provide the trigger type."""
        engine.add_trigger_type(
            TriggerType(
                id="log",
                description="Runs a function for every log of a level",
                provider=self,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(msgspec.json.schema(_Config)),
                request_schema=payload.encode(msgspec.json.schema(LogEntry)),
            )
        )

    def bind(self, binding: Binding) -> None:
        """Fire for the logs of the binding's level.

        Raises:
            TriggerRejectedError: There is no such level.
        """
        try:
            config = _decoder.decode(binding.config) if payload.is_present(binding.config) else _Config()
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of log trigger {binding.id} cannot be used: {exc}. "
                "It is an object with the optional key level: all, trace, debug, info, warn or error."
            ) from exc
        self._bindings[binding.id] = (binding, config.level or "all")

    def unbind(self, binding: Binding) -> None:
        """Fire no more."""
        self._bindings.pop(binding.id, None)

    def fire(self, entry: LogEntry) -> None:
        """Run the functions that are bound to a log's level; how that ends concerns nobody."""
        severity = entry.severity_text.lower()
        bound = [binding for binding, level in self._bindings.values() if level in ("all", severity)]
        if not bound or not self._has_room():
            return
        data = payload.encode(entry)
        for binding in bound:
            self._in_flight += 1
            self._engine.start(Call(binding.function_id, data, metadata=binding.metadata), self._ended)

    def _has_room(self) -> bool:
        was_overrun, self._is_overrun = self._is_overrun, self._in_flight >= _MOST_IN_FLIGHT
        if self._is_overrun and not was_overrun:
            log.warning("log triggers left out: their functions are too slow", in_flight=self._in_flight)
        return not self._is_overrun

    def _ended(self, _: Outcome) -> None:
        self._in_flight -= 1
