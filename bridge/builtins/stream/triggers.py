"""The trigger types `stream`, `stream:join` and `stream:leave` (spec 03 §3.3, §3.4)."""

from collections.abc import Sequence

import msgspec

from bridge.builtins.firing import Watcher, fire_in_turn, log_failure
from bridge.builtins.stream.events import Topic
from bridge.engine.calls import Outcome
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError

__all__ = ["ChangeTriggers", "Gate"]


class _Filter(msgspec.Struct, frozen=True):
    """A binding's configuration; a group or item left out or empty matches all."""

    stream_name: str
    group_id: str | None = None
    item_id: str | None = None
    condition_function_id: str | None = None

    def matches(self, topic: Topic) -> bool:
        return self.group_id in (None, "", topic.group_id) and self.item_id in (None, "", topic.item_id)


_filter_decoder = msgspec.json.Decoder(_Filter)


class ChangeTriggers:
    """Runs functions when items change or messages are sent.

    Args:
        engine: Runs the bound functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watchers: dict[str, Watcher[_Filter]] = {}
        self._streams: dict[str, dict[str, Watcher[_Filter]]] = {}

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

    def watching(self, topic: Topic) -> Sequence[Watcher[_Filter]]:
        """Return who wants the events of a topic, in the order of their registration."""
        watchers = self._streams.get(topic.stream_name, {}).values()
        return [watcher for watcher in watchers if watcher.filter.matches(topic)]

    def fire(self, watchers: Sequence[Watcher[_Filter]], event: msgspec.Raw) -> None:
        """Run functions one after another, in a task of their own: the writer does not wait."""
        self._engine.spawn(fire_in_turn(self._engine, watchers, event), "stream triggers")


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
                log_failure(binding, outcome)
                outcomes.append(outcome)
        return outcomes
