"""Which spans are kept (spec 05 §6.5, §6.6)."""

from collections import OrderedDict
from collections.abc import Callable

from bridge.builtins.observability.settings import SamplingSettings

__all__ = ["LogSampler", "TraceSampler"]

_MOST_DECISIONS = 10_000
_RANDOM_PART = 16
_POSITIONS = 2**64


class TraceSampler:
    """Decides by the trace id, so that every bridge decides alike.

    The first rule whose operation and service match decides the share, else the default. Following the
    parent, what was decided for the first span seen of a trace holds for all of it.

    Args:
        settings: Which traces are kept.
        now_s: A clock that never goes back.
    """

    def __init__(self, settings: SamplingSettings, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._now_s = now_s
        self._decided: OrderedDict[str, bool] = OrderedDict()
        self._allowance = max(1.0, settings.traces_per_s or 0.0)
        self._allowance_s = now_s()

    def keeps(self, trace_id: str, operation: str, service: str) -> bool:
        """Tell whether a span is kept."""
        if trace_id not in self._decided:
            is_kept = self._is_in_share(trace_id, operation, service) and self._is_within_rate()
            self._decided[trace_id] = is_kept
            if len(self._decided) > _MOST_DECISIONS:
                self._decided.popitem(last=False)
            return is_kept
        if self._settings.parent_based:
            return self._decided[trace_id]
        return self._is_in_share(trace_id, operation, service)

    def _is_in_share(self, trace_id: str, operation: str, service: str) -> bool:
        rate = self._settings.default
        for rule in self._settings.rules:
            if rule.operation in (None, operation) and rule.service in (None, service):
                rate = rule.rate
                break
        return _position(trace_id) < rate * _POSITIONS

    def _is_within_rate(self) -> bool:
        """Take from an allowance that fills up to one second's worth of traces."""
        rate = self._settings.traces_per_s
        if rate is None:
            return True
        now_s = self._now_s()
        self._allowance = min(max(1.0, rate), self._allowance + (now_s - self._allowance_s) * rate)
        self._allowance_s = now_s
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


class LogSampler:
    """Keeps a share of the logs, evenly spread.

    Args:
        ratio: From 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._owed = 0.0

    def keeps(self) -> bool:
        """Tell whether the next log is kept."""
        self._owed += self._ratio
        if self._owed < 1:
            return False
        self._owed -= 1
        return True


def _position(trace_id: str) -> int:
    """Return where a trace is among all: the random part of a W3C trace id is its end."""
    try:
        return int(trace_id[-_RANDOM_PART:], 16)
    except ValueError:
        return 0
