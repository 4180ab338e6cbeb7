"""The notes of schedules: who is responsible for their state, in words that people can read.

Ours are recognised by their wording; every other note is a person's, and a pause that carries one is never
undone by a bridge.
"""

import re
from datetime import UTC, datetime

__all__ = ["away_note", "away_since_ms", "keeper_of", "kept_note"]

_KEPT = "Kept by iii-temporal bridge "
_AWAY = re.compile(r"Paused by iii-temporal: the trigger's worker is away since (\S+)")


def kept_note(identity: str) -> str:
    """Write that a bridge keeps the schedule running."""
    return _KEPT + identity


def keeper_of(note: str | None) -> str | None:
    """Return the bridge that keeps the schedule running, if one does."""
    return note.removeprefix(_KEPT) if note and note.startswith(_KEPT) else None


def away_note(since_ms: int) -> str:
    """Write that a bridge paused the schedule because its worker is away."""
    since = datetime.fromtimestamp(since_ms // 1000, UTC).isoformat()
    return f"Paused by iii-temporal: the trigger's worker is away since {since}"


def away_since_ms(note: str | None) -> int | None:
    """Return since when its worker is away, if a bridge paused the schedule for that."""
    found = _AWAY.fullmatch(note or "")
    if found is None:
        return None
    try:
        return int(datetime.fromisoformat(found[1]).timestamp() * 1000)
    except ValueError:  # a person's imitation of our note
        return None
