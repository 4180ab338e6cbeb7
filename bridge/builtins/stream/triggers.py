"""The trigger types `stream`, `stream:join` and `stream:leave` (spec 03 §3.3, §3.4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from bridge.builtins.stream.events import Topic
from bridge.engine.calls import Outcome
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError

__all__ = ["ChangeTriggers", "Gate", "Watcher"]

log = structlog.get_logger("bridge.stream")


class _Filter(msgspec.Struct, frozen=True):
    """A binding's configuration; a group or item left out or empty matches all."""

    stream_name: str
    group_id: str | None = None
    item_id: str | None = None
    condition_function_id: str | None = None

    def matches(self, topic: Topic) -> bool:
        return self.group_id in (None, "", topic.group_id) and self.item_id in (None, "", topic.item_id)


_filter_decoder = msgspec.json.Decoder(_Filter)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A binding of type `stream`, and which events it wants."""

    binding: Binding
    filter: _Filter


class ChangeTriggers:
    """Runs functions when items change or messages are sent.

    Args:
        engine: Runs the bound functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watchers: dict[str, Watcher] = {}
        self._streams: dict[str, dict[str, Watcher]] = {}

    def bind(self, binding: Binding) -> None:
        """Begin to watch.

        Raises:
            TriggerRejectedError: The configuration names no stream, or a filter is no string.
        """
        try:
            wanted = _filter_decoder.decode(binding.config)
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of stream trigger {binding.id} cannot be used: {exc}. "
                "It is an object with the string stream_name and the optional strings group_id, item_id and "
                "condition_function_id."
            ) from exc
        watcher = Watcher(binding, wanted)
        self._watchers[binding.id] = watcher
        self._streams.setdefault(wanted.stream_name, {})[binding.id] = watcher

    def unbind(self, binding: Binding) -> None:
        """Stop watching."""
        watcher = self._watchers.pop(binding.id, None)
        if watcher is None:
            return
        stream_name = watcher.filter.stream_name
        del self._streams[stream_name][binding.id]
        if not self._streams[stream_name]:
            del self._streams[stream_name]

    def watching(self, topic: Topic) -> Sequence[Watcher]:
        """Return who wants the events of a topic, in the order of their registration."""
        watchers = self._streams.get(topic.stream_name, {}).values()
        return [watcher for watcher in watchers if watcher.filter.matches(topic)]

    def fire(self, watchers: Sequence[Watcher], event: msgspec.Raw) -> None:
        """Run functions one after another, in a task of their own: the writer does not wait."""
        self._engine.spawn(self._fire_in_turn(watchers, event), "stream triggers")

    async def _fire_in_turn(self, watchers: Sequence[Watcher], event: msgspec.Raw) -> None:
        for watcher in watchers:
            outcome = await self._engine.fire(
                watcher.binding, event, condition_function_id=watcher.filter.condition_function_id
            )
            if outcome is not None:
                _log_failure(watcher.binding, outcome)


class Gate:
    """Bindings of type `stream:join` or `stream:leave`: each hears of every subscription of every stream.

    Args:
        engine: Runs the bound functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bindings: dict[str, Binding] = {}

    def bind(self, binding: Binding) -> None:
        """Put a binding in force; iii takes no notice of its configuration, so any will do."""
        self._bindings[binding.id] = binding

    def unbind(self, binding: Binding) -> None:
        """Take a binding out of force."""
        self._bindings.pop(binding.id, None)

    async def ask(self, event: msgspec.Raw) -> Sequence[Outcome]:
        """Run the functions one after another and return what each answered.

        Cancellation: safe; a function that was started keeps running.
        """
        outcomes = []
        for binding in list(self._bindings.values()):
            outcome = await self._engine.fire(binding, event)
            if outcome is not None:
                _log_failure(binding, outcome)
                outcomes.append(outcome)
        return outcomes


def _log_failure(binding: Binding, outcome: Outcome) -> None:
    if outcome.error is not None:
        log.warning(
            "trigger failed",
            trigger_id=binding.id,
            trigger_type=binding.trigger_type,
            function_id=binding.function_id,
            error=outcome.error.message,
        )
