"""How many deliveries of each queue run on this bridge."""

from collections import Counter

from bridge.engine.observation import DeliveryStart, Observer, OnEnd
from bridge.protocol.inbound import ErrorBody

__all__ = ["InFlight"]


class InFlight(Observer):
    """Counts deliveries that have begun and not ended."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def of(self, queue: str) -> int:
        """Return how many run now."""
        return self._counts[queue]

    def delivery_started(self, start: DeliveryStart) -> OnEnd:
        """Count a delivery until it ends."""
        self._counts[start.queue] += 1

        def end(_: ErrorBody | None) -> None:
            self._counts[start.queue] -= 1

        return end
