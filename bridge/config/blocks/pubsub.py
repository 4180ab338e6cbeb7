"""`iii-pubsub` (spec 03 §5.3)."""

from collections.abc import Container
from typing import ClassVar

from bridge.config.block import Block
from bridge.config.blocks.adapters import LocalAdapter, PubSubAdapter

__all__ = ["PubSubBlock"]


class PubSubBlock(Block):
    """Topics without durability: who listens now gets the message."""

    live: ClassVar[Container[str]] = ("adapter",)

    adapter: PubSubAdapter = LocalAdapter()
