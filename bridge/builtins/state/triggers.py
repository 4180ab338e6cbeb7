"""The `state` trigger type: run a function when an entry changes (spec 03 §2)."""

import msgspec
import structlog

from bridge.builtins.firing import Watcher, fire_in_turn
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError

__all__ = ["StateTriggers"]

log = structlog.get_logger("bridge.state")


class _Entry(msgspec.Struct, frozen=True):
    """What an event is about."""

    scope: str
    key: str


class _Filter(msgspec.Struct, frozen=True):
    """A binding's configuration; a filter left out matches everything, an empty string only itself."""

    scope: str | None = None
    key: str | None = None
    condition_function_id: str | None = None

    def matches(self, entry: _Entry) -> bool:
        return self.scope in (None, entry.scope) and self.key in (None, entry.key)


_entry_decoder = msgspec.json.Decoder(_Entry)
_filter_decoder = msgspec.json.Decoder(_Filter)


class StateTriggers:
    """Watches entries on behalf of bindings.

    Args:
        engine: Runs the bound functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watchers: dict[str, Watcher[_Filter]] = {}

    def bind(self, binding: Binding) -> None:
        """Begin to watch.

        Raises:
            TriggerRejectedError: The configuration is no object, or a filter is no string.
        """
        try:
            wanted = _filter_decoder.decode(binding.config)
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of state trigger {binding.id} cannot be used: {exc}. "
                "It is an object with the optional strings scope, key and condition_function_id."
            ) from exc
        self._watchers[binding.id] = Watcher(binding, wanted)

    def unbind(self, binding: Binding) -> None:
        """Stop watching."""
        self._watchers.pop(binding.id, None)

    def receive(self, message: bytes) -> None:
        """Run the functions that wait for an event, in a task of their own: the writer does not wait.

        Args:
            message: The event as JSON, from whichever bridge it happened on.
        """
        if not self._watchers:
            return
        try:
            entry = _entry_decoder.decode(message)
        except (msgspec.MsgspecError, RecursionError) as exc:
            log.warning("state event skipped: it cannot be read", reason=str(exc))
            return
        watchers = [each for each in self._watchers.values() if each.filter.matches(entry)]
        if watchers:
            self._engine.spawn(fire_in_turn(self._engine, watchers, msgspec.Raw(message)), "state triggers")
