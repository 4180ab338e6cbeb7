"""Telemetry in memory is bounded by count, size and age."""

from bridge.builtins.observability.store import BoundedStore


def store(**bounds: float) -> BoundedStore[str]:
    return BoundedStore(**{"max_count": 10, "retention_s": None, "now_ns": lambda: 0, **bounds})  # type: ignore[arg-type]


def test_the_oldest_makes_room_when_there_are_too_many() -> None:
    kept = store(max_count=2)
    for each in "abc":
        kept.add(each, 1)

    assert (list(kept), kept.dropped) == (["b", "c"], 1)


def test_the_oldest_makes_room_when_they_are_too_large() -> None:
    kept = store(max_bytes=10)
    for each in "abc":
        kept.add(each, 4)

    assert list(kept) == ["b", "c"]


def test_what_is_larger_than_everything_may_be_is_not_kept() -> None:
    kept = store(max_bytes=10)
    kept.add("a", 11)

    assert (list(kept), len(kept)) == ([], 0)


def test_what_is_too_old_is_gone_without_anything_new() -> None:
    now_ns = [0]
    kept: BoundedStore[str] = BoundedStore(max_count=10, retention_s=1, now_ns=lambda: now_ns[0])
    kept.add("a", 1)
    now_ns[0] = 1_000_000_000
    kept.add("b", 1)
    now_ns[0] = 1_500_000_000

    assert list(kept) == ["b"]
