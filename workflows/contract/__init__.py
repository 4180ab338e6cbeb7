"""What bridges, workflows and activities exchange. Append-only: new fields have defaults, none is renamed.

A message is a small header; its payload travels beside it as a raw JSON value that nobody here decodes.
"""

from workflows.contract.chains import (
    ChainEvent,
    ChainStart,
    ChainState,
    Hold,
    LateCall,
    Standing,
    StepRecord,
    StepStatus,
    WatchedEnd,
)
from workflows.contract.cron import CronFire, CronResult, CronTick
from workflows.contract.dead_letters import AlarmStart, BulkReport, BulkStart, DeadLetter, LetterFilter
from workflows.contract.dedupe import DedupeStart
from workflows.contract.lanes import (
    AnnexPage,
    AnnexStart,
    ChildEnqueued,
    LaneStart,
    LaneStepEnded,
    Place,
    Ticket,
)
from workflows.contract.messages import (
    Attempt,
    AttemptFailed,
    Delivery,
    FailureDetails,
    LostDelivery,
    Message,
    Parcel,
    Progress,
    RetryRules,
)
from workflows.contract.tenancy import Pace, Tenancy
from workflows.contract.topics import (
    Departure,
    Lease,
    Subscriber,
    SubscribeRequest,
    Subscription,
    TopicEntry,
    TopicStart,
)
from workflows.contract.vocabulary import (
    DELIVERY_POSTPONED,
    Activity,
    Memo,
    Query,
    SearchAttribute,
    Signal,
    Update,
    WorkflowType,
)

__all__ = [
    "DELIVERY_POSTPONED",
    "Activity",
    "AlarmStart",
    "AnnexPage",
    "AnnexStart",
    "Attempt",
    "AttemptFailed",
    "BulkReport",
    "BulkStart",
    "ChainEvent",
    "ChainStart",
    "ChainState",
    "ChildEnqueued",
    "CronFire",
    "CronResult",
    "CronTick",
    "DeadLetter",
    "DedupeStart",
    "Delivery",
    "Departure",
    "FailureDetails",
    "Hold",
    "LaneStart",
    "LaneStepEnded",
    "LateCall",
    "Lease",
    "LetterFilter",
    "LostDelivery",
    "Memo",
    "Message",
    "Pace",
    "Parcel",
    "Place",
    "Progress",
    "Query",
    "RetryRules",
    "SearchAttribute",
    "Signal",
    "Standing",
    "StepRecord",
    "StepStatus",
    "SubscribeRequest",
    "Subscriber",
    "Subscription",
    "Tenancy",
    "Ticket",
    "TopicEntry",
    "TopicStart",
    "Update",
    "WatchedEnd",
    "WorkflowType",
]
