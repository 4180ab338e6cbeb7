"""The `iii-pubsub` worker: messages to whoever is subscribed now, at most once (spec 03 §4)."""

from bridge.builtins.pubsub.worker import PubSub

__all__ = ["PubSub"]
