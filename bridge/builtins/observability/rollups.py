"""Metrics summed up over minutes and hours, kept longer than the reports themselves (spec 05 §6.5)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

__all__ = ["LEVELS", "Histogram", "HistogramRollup", "Level", "Rollup", "Rollups"]

_MINUTE_NS = 60 * 1_000_000_000
_MOST_METRICS = 500
"""Names summed up; reports of further ones are only kept as they are."""


class Histogram(Protocol):
    """A distribution that was reported."""

    @property
    def count(self) -> int:
        """How many values."""

    @property
    def sum(self) -> float:
        """Their sum."""

    @property
    def min(self) -> float | None:
        """The least of them."""

    @property
    def max(self) -> float | None:
        """The greatest of them."""

    @property
    def bucket_counts(self) -> Sequence[int]:
        """How many are in each bucket."""

    @property
    def explicit_bounds(self) -> Sequence[float]:
        """Where the buckets end."""

    @property
    def timestamp_unix_nano(self) -> int:
        """When it was reported."""


@dataclass(frozen=True, slots=True)
class Level:
    """How long one bucket is, and how long it is kept."""

    bucket_ns: int
    kept_ns: int


LEVELS = (
    Level(_MINUTE_NS, 60 * _MINUTE_NS),
    Level(5 * _MINUTE_NS, 6 * 60 * _MINUTE_NS),
    Level(60 * _MINUTE_NS, 7 * 24 * 60 * _MINUTE_NS),
)


class Rollup(msgspec.Struct):
    """The values of a metric in one bucket."""

    name: str
    bucket_start_ns: int
    bucket_end_ns: int
    count: int = 0
    sum: float = 0.0
    min: float = 0.0
    max: float = 0.0
    avg: float = 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        self.min = min(self.min, value) if self.count else value
        self.max = max(self.max, value) if self.count else value
        self.count += 1
        self.sum += value
        self.avg = self.sum / self.count


class HistogramRollup(msgspec.Struct):
    """The distributions of a metric in one bucket, added up as long as their buckets are the same."""

    name: str
    bucket_start_ns: int
    bucket_end_ns: int
    total_count: int = 0
    total_sum: float = 0.0
    min: float | None = None
    max: float | None = None
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []

    def add(self, point: Histogram) -> None:
        """Add a distribution; other buckets than before replace what was added up."""
        bounds = list(point.explicit_bounds)
        if bounds != self.explicit_bounds or len(point.bucket_counts) != len(self.bucket_counts):
            self.explicit_bounds, self.bucket_counts = bounds, [0] * len(point.bucket_counts)
            self.total_count, self.total_sum, self.min, self.max = 0, 0.0, None, None
        self.total_count += point.count
        self.total_sum += point.sum
        self.min = min((each for each in (self.min, point.min) if each is not None), default=None)
        self.max = max((each for each in (self.max, point.max) if each is not None), default=None)
        self.bucket_counts = [a + b for a, b in zip(self.bucket_counts, point.bucket_counts, strict=True)]


@dataclass(slots=True)
class _Buckets:
    """The buckets of one metric and level, by their beginning."""

    numbers: dict[int, Rollup] = field(default_factory=dict)
    histograms: dict[int, HistogramRollup] = field(default_factory=dict)

    def forget_before(self, oldest_ns: int) -> None:
        for buckets in (self.numbers, self.histograms):
            for start_ns in [each for each in buckets if each < oldest_ns]:
                del buckets[start_ns]


class Rollups:
    """Sums up what is reported, on all levels at once.

    Args:
        now_ns: Unix time.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._metrics: dict[str, tuple[_Buckets, ...]] = {}

    def add_number(self, name: str, at_ns: int, value: float) -> None:
        """Add a value."""
        for start_ns, level, buckets in self._buckets_at(name, at_ns):
            buckets.numbers.setdefault(start_ns, Rollup(name, start_ns, start_ns + level.bucket_ns)).add(
                value
            )

    def add_histogram(self, name: str, point: Histogram) -> None:
        """Add a distribution."""
        for start_ns, level, buckets in self._buckets_at(name, point.timestamp_unix_nano):
            fresh = HistogramRollup(name, start_ns, start_ns + level.bucket_ns)
            buckets.histograms.setdefault(start_ns, fresh).add(point)

    def list(
        self, level: int, start_ns: int, end_ns: int, name: str | None
    ) -> tuple[list[Rollup], list[HistogramRollup]]:
        """Return the buckets of a level that lie in a window, at least in part; by name, oldest first."""
        numbers: list[Rollup] = []
        histograms: list[HistogramRollup] = []
        for metric in sorted(self._metrics) if name is None else [name]:
            if metric in self._metrics:
                buckets = self._metrics[metric][level]
                buckets.forget_before(self._now_ns() - LEVELS[level].kept_ns)
                numbers += _within(buckets.numbers, start_ns, end_ns)
                histograms += _within(buckets.histograms, start_ns, end_ns)
        return numbers, histograms

    def _buckets_at(self, name: str, at_ns: int) -> Iterator[tuple[int, Level, _Buckets]]:
        """Find the bucket of each level that a time is in; a time out of reach is in none."""
        metric = self._metrics.get(name)
        if metric is None:
            if len(self._metrics) >= _MOST_METRICS:
                return
            metric = self._metrics[name] = tuple(_Buckets() for _ in LEVELS)
        now_ns = self._now_ns()
        for level, buckets in zip(LEVELS, metric, strict=True):
            start_ns = at_ns - at_ns % level.bucket_ns
            if now_ns - level.kept_ns <= at_ns <= now_ns + level.bucket_ns:
                buckets.forget_before(now_ns - level.kept_ns - level.bucket_ns)
                yield start_ns, level, buckets


Bucket = TypeVar("Bucket", Rollup, HistogramRollup)


def _within(buckets: dict[int, Bucket], start_ns: int, end_ns: int) -> Iterator[Bucket]:
    return (
        bucket
        for _, bucket in sorted(buckets.items())
        if bucket.bucket_end_ns > start_ns and bucket.bucket_start_ns <= end_ns
    )
