"""The `configuration` trigger type: run a function when an entry changes (spec 05 §4.6)."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from bridge.builtins.configuration.messages import ConfigurationEvent, EventType
from bridge.builtins.firing import Watcher, fire_in_turn
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload

__all__ = ["ConfigurationTriggers"]


class _Filter(msgspec.Struct, frozen=True):
    """A binding's configuration; what is left out matches everything."""

    configuration_id: str | None = None
    event_types: Sequence[EventType] | None = None
    condition_function_id: str | None = None

    def matches(self, event: ConfigurationEvent) -> bool:
        return self.configuration_id in (None, event.id) and (
            self.event_types is None or event.event_type in self.event_types
        )


_filter_decoder = msgspec.json.Decoder(_Filter)


class ConfigurationTriggers:
    """Watches entries on behalf of bindings.

    Args:
        engine: Runs the bound functions.
        on_watched: Called with the id of an entry that a binding begins to watch.
        on_abandoned: Called with the id of an entry when the last binding that named it is gone.
    """

    def __init__(
        self, engine: Engine, on_watched: Callable[[str], None], on_abandoned: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._on_watched = on_watched
        self._on_abandoned = on_abandoned
        self._watchers: dict[str, Watcher[_Filter]] = {}
        self._watched: Counter[str] = Counter()

    def bind(self, binding: Binding) -> None:
        """Begin to watch.

        Raises:
            TriggerRejectedError: The configuration is no object, or a filter has the wrong type.
        """
        try:
            wanted = _filter_decoder.decode(binding.config)
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of configuration trigger {binding.id} cannot be used: {exc}. It is an "
                "object with the optional keys configuration_id, event_types and condition_function_id."
            ) from exc
        self._watchers[binding.id] = Watcher(binding, wanted)
        if wanted.configuration_id is not None:
            self._watched[wanted.configuration_id] += 1
            self._on_watched(wanted.configuration_id)

    def unbind(self, binding: Binding) -> None:
        """Stop watching."""
        watcher = self._watchers.pop(binding.id, None)
        if watcher is None or (watched := watcher.filter.configuration_id) is None:
            return
        self._watched[watched] -= 1
        if not self._watched[watched]:
            del self._watched[watched]
            self._on_abandoned(watched)

    def announce(self, event: ConfigurationEvent) -> None:
        """Run the functions that wait for an event, in a task of their own, one after the other."""
        watchers = [each for each in self._watchers.values() if each.filter.matches(event)]
        if watchers:
            self._engine.spawn(
                fire_in_turn(self._engine, watchers, payload.encode(event)),
                f"configuration triggers of {event.id}",
            )
