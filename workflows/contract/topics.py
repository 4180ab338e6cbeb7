"""Who is subscribed to a durable topic."""

from dataclasses import dataclass, field

from workflows.contract.messages import RetryRules
from workflows.contract.tenancy import Tenancy

__all__ = ["Departure", "Lease", "SubscribeRequest", "Subscriber", "Subscription", "TopicEntry", "TopicStart"]


@dataclass(frozen=True)
class Subscription:
    """What a function that is subscribed to a durable topic wants: each copy of a message takes it along.

    Attributes:
        queue: The internal queue of its copies; names the subscription within the topic.
        group: The one FIFO group of all copies; `None` when their order is free.
        delay_ms: How long after a publish the first delivery may begin.
        condition_function_id: Asked before every delivery.
        events: Of a subscription to the events of chains: which ones.
        function_ids: Of such a subscription: of which functions; empty for all.
    """

    queue: str
    function_id: str
    rules: RetryRules
    namespace: str = "default"
    group: str | None = None
    delay_ms: int = 0
    condition_function_id: str | None = None
    events: tuple[str, ...] = ()
    function_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subscriber:
    """A subscription, as the memo of its topic shows it.

    Attributes:
        triggers: How many triggers ask for it over all bridges; 0 when its worker is away.
    """

    subscription: Subscription
    triggers: int = 0


@dataclass(frozen=True)
class SubscribeRequest:
    """A bridge's word that the function of a subscription has a trigger there.

    Attributes:
        holder: The bridge.
        triggers: How many triggers it has.
        lease_ms: For how long its word holds, unless it renews it.
        keep_ms: How long a subscription is kept while no bridge has a trigger.
        renews: Whether nothing has changed: then the settings of another bridge's newer trigger stay.
    """

    subscription: Subscription
    holder: str
    triggers: int
    lease_ms: int
    keep_ms: int
    renews: bool = False


@dataclass(frozen=True)
class Departure:
    """A bridge's word that it has no trigger of a subscription any more."""

    queue: str
    holder: str


@dataclass(frozen=True)
class Lease:
    """What a topic knows of one bridge's triggers of a subscription, and until when."""

    triggers: int
    until_ms: int


@dataclass(frozen=True)
class TopicEntry:
    """What a topic knows of one subscription.

    Attributes:
        leases: By bridge.
        absent_since_ms: Since when no bridge has a trigger.
        is_ending: Whether its trigger was unregistered, and only bridges that may be gone still hold it.
    """

    subscription: Subscription
    keep_ms: int
    leases: dict[str, Lease] = field(default_factory=dict)
    absent_since_ms: int = 0
    is_ending: bool = False


@dataclass(frozen=True)
class TopicStart:
    """The argument of a topic.

    Attributes:
        entries: What it knew when it continued as new.
    """

    tenancy: Tenancy
    topic: str
    entries: tuple[TopicEntry, ...] = ()
