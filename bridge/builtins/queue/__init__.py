"""`iii-queue`: what operators do with named queues and their dead letters (spec 02 §6)."""

from bridge.builtins.queue.bulk import BulkFunctions
from bridge.builtins.queue.console import ConsoleFunctions
from bridge.builtins.queue.functions import QueueFunctions
from bridge.builtins.queue.ports import DeadLetterStore, Letter, Resolver
from bridge.builtins.queue.watch import DeadLetterWatch

__all__ = [
    "BulkFunctions",
    "ConsoleFunctions",
    "DeadLetterStore",
    "DeadLetterWatch",
    "Letter",
    "QueueFunctions",
    "Resolver",
]
