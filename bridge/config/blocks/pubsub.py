"""`iii-pubsub` (spec 03 §5.3)."""

from bridge.config.block import Block
from bridge.config.blocks.adapters import LocalAdapter, PubSubAdapter

__all__ = ["PubSubBlock"]


class PubSubBlock(Block):
    """Topics without durability: who listens now gets the message."""

    adapter: PubSubAdapter = LocalAdapter()
