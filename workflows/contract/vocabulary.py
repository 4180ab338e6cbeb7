"""Names of workflows, activities, signals, updates, queries and search attributes."""

from enum import StrEnum

__all__ = [
    "DELIVERY_POSTPONED",
    "Activity",
    "Memo",
    "Query",
    "SearchAttribute",
    "Signal",
    "Update",
    "WorkflowType",
]

DELIVERY_POSTPONED = "iii.delivery_postponed"
"""Error type of an attempt that did not count: nobody offers the function, or the bridge is stopping."""


class WorkflowType(StrEnum):
    """Types of our own workflows. A chain has the id of its first function as its type."""

    FIFO_LANE = "iii.fifo_lane"
    DEAD_LETTER = "iii.dead_letter"
    CRON_FIRE = "iii.cron_fire"
    BULK = "iii.bulk"
    DEDUPE = "iii.dedupe"
    ALARM = "iii.dead_letter_alarm"
    TOPIC = "iii.topic"
    FIFO_ANNEX = "iii.fifo_annex"
    SEAL_KEY = "iii.seal_key"


class Activity(StrEnum):
    """Types of our own activities. A delivery has the function id as its type."""

    JOIN_LANE = "iii.join_lane"
    LANE_HOLDS = "iii.lane_holds"
    MOVE_TO_CHAIN = "iii.move_to_chain"
    REDRIVE = "iii.redrive"
    FIRE_CRON = "iii.fire_cron"
    DEAD_LETTER_IS_OPEN = "iii.dead_letter_is_open"
    SETTLE_DEAD_LETTERS = "iii.settle_dead_letters"
    SEND_APART = "iii.send_apart"
    ALERT = "iii.alert"
    WATCH = "iii.watch"
    PUBLISH_CHAIN_EVENTS = "iii.publish_chain_events"
    LEAVE_IN_ANNEX = "iii.leave_in_annex"
    READ_ANNEX = "iii.read_annex"
    ANNOUNCE_ANNEX = "iii.announce_annex"


class Memo(StrEnum):
    """What memos tell bridges, without asking a workflow: that of a topic, and that of the seal key."""

    TOPIC = "topic"
    SUBSCRIBERS = "subscribers"
    KEY = "key"


class Signal(StrEnum):
    """Signals between bridges, chains, lanes and topics."""

    ENQUEUE = "iii.enqueue"
    JOIN_MESSAGE = "iii.join_message"
    JOIN_TURN = "iii.join_turn"
    TURN = "iii.turn"
    TURN_ENDED = "iii.turn_ended"
    PROVIDER_OFFERED = "iii.provider_offered"
    CHILD_ENQUEUED = "iii.child_enqueued"
    LANE_STEP_ENDED = "iii.lane_step_ended"
    FELL_BELOW_THRESHOLD = "iii.fell_below_threshold"
    TURN_LOST = "iii.turn_lost"
    HOLD_ENDED = "iii.hold_ended"
    SENT = "iii.sent"
    COMPENSATE = "iii.compensate"
    HOLD = "iii.hold"
    EVENT = "iii.event"
    WATCH = "iii.watch"
    WATCHED_ENDED = "iii.watched_ended"
    RESTART_INSTEAD = "iii.restart_instead"
    SUPERSEDED = "iii.superseded"
    ATTEMPT_FAILED = "iii.attempt_failed"
    RELEASE = "iii.release"
    LEAVE = "iii.leave"
    ANNEX_LEFT = "iii.annex_left"


class Update(StrEnum):
    """Updates of a dead letter, a topic, and an annex."""

    REDRIVE = "iii.redrive"
    DISCARD = "iii.discard"
    SUBSCRIBE = "iii.subscribe"
    UNSUBSCRIBE = "iii.unsubscribe"
    CLOSE_ANNEX = "iii.close_annex"


class Query(StrEnum):
    """Queries of a lane, a chain, and an annex."""

    HOLDS = "iii.holds"
    CHAIN = "iii.chain"
    ANNEXES = "iii.annexes"
    READ_ANNEX = "iii.read_annex"
    STANDING = "iii.standing"


class SearchAttribute(StrEnum):
    """Search attributes: `WAITING` of type KeywordList, the others Keyword."""

    QUEUE = "IiiQueue"
    FUNCTION = "IiiFunction"
    CHAIN = "IiiChain"
    GROUP = "IiiGroup"
    WAITING = "IiiWaiting"
