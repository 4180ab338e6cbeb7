"""What separates bridges that share a Temporal namespace, and how patient their workflows are."""

from dataclasses import dataclass

__all__ = ["Pace", "Tenancy"]


@dataclass(frozen=True)
class Pace:
    """How patient our workflows are.

    Attributes:
        provider_check_ms: First wait for somebody to offer a function; each next is as long as all before.
        turn_check_ms: After how long a step that has no turn asks the lane whether it stands in the line.
        lane_check_ms: After how long a lane asks after the step whose turn it is, and a chain after its lane.
        longest_check_ms: To which these waits grow.
        events_per_run: The length at which a history continues as new; 0 leaves it to the server.
        busy_events: The length of a history from which on Temporal may have refused it a signal.
        places_per_run: How much of its line a lane takes along into a fresh history.
    """

    provider_check_ms: int = 1000
    turn_check_ms: int = 5000
    lane_check_ms: int = 30_000
    longest_check_ms: int = 300_000
    events_per_run: int = 0
    busy_events: int = 5000
    places_per_run: int = 200


@dataclass(frozen=True)
class Tenancy:
    """What separates bridges that share a Temporal namespace.

    Attributes:
        prefix: Begins every workflow id and task queue.
        has_search_attributes: Whether the namespace knows our search attributes.
        stored_bytes: The largest payload where large ones are stored beside Temporal; `None` where Temporal
            keeps them all.
    """

    prefix: str = "iii"
    has_search_attributes: bool = True
    pace: Pace = Pace()
    stored_bytes: int | None = None
