"""`iii-queue`: durable topics, and what operators do with queues and dead letters (spec 02 §5, §6)."""

from bridge.builtins.queue.bulk import BulkFunctions
from bridge.builtins.queue.console import ConsoleFunctions
from bridge.builtins.queue.functions import QueueFunctions
from bridge.builtins.queue.known_queues import KnownQueues
from bridge.builtins.queue.ports import DeadLetterStore, Letter, Link, Resolver
from bridge.builtins.queue.subscriber import SubscriberDefaults
from bridge.builtins.queue.subscription_keeper import KeeperSettings
from bridge.builtins.queue.topics import DurableTopics
from bridge.builtins.queue.watch import DeadLetterWatch

__all__ = [
    "BulkFunctions",
    "ConsoleFunctions",
    "DeadLetterStore",
    "DeadLetterWatch",
    "DurableTopics",
    "KeeperSettings",
    "KnownQueues",
    "Letter",
    "Link",
    "QueueFunctions",
    "Resolver",
    "SubscriberDefaults",
]
