"""`iii-queue`: what operators do with named queues and their dead letters (spec 02 §6)."""

from bridge.builtins.queue.functions import DeadLetterStore, Letter, QueueFunctions, Resolver

__all__ = ["DeadLetterStore", "Letter", "QueueFunctions", "Resolver"]
