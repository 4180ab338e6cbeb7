"""What one configuration changes of another, and how much of that a running bridge can take."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.config.block import Block
from bridge.config.bridge_config import BridgeConfig
from bridge.config.document import spell

__all__ = ["BlockChange", "change_of"]


@dataclass(frozen=True, slots=True)
class BlockChange:
    """What changes in one block.

    Attributes:
        config: What was served, with everything of this block that can change while the bridge runs.
        live: The keys that do.
        restart: The keys that take effect with the next start.
    """

    config: BridgeConfig
    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


def change_of(name: str, served: BridgeConfig, wanted: BridgeConfig) -> BlockChange:
    """Compare one block of two configurations."""
    old, new = served.block(name), wanted.block(name)
    if old == new:
        return BlockChange(served)
    if isinstance(old, tuple) and isinstance(new, tuple):
        if len(old) != len(new):
            return BlockChange(served, restart=(name,))
        pairs = [
            _merge(f"{name}[{index}]" if len(old) > 1 else name, *pair)
            for index, pair in enumerate(zip(old, new, strict=True))
        ]
        merged: object = tuple(block for block, _, _ in pairs)
        live = tuple(key for _, keys, _ in pairs for key in keys)
        restart = tuple(key for _, _, keys in pairs for key in keys)
    elif isinstance(old, Block) and isinstance(new, Block):
        merged, live, restart = _merge(name, old, new)
    else:
        return BlockChange(served, restart=(name,))
    return BlockChange(served.with_block(name, merged), live, restart)


def _merge(name: str, old: Block, new: Block) -> tuple[Block, tuple[str, ...], tuple[str, ...]]:
    """Take from the new block what can change now, and tell which keys do and which do not."""
    live: list[str] = []
    restart: list[str] = []
    kept: dict[str, Any] = {}
    for attribute, key in _keys(new):
        before, after = getattr(old, attribute), getattr(new, attribute)
        places = [f"{name}.{spell((key, *path))}" for path in _differences(before, after)]
        if places and key not in type(new).live:
            kept[attribute] = before
            restart += places
        else:
            live += places
    return new.model_copy(update=kept) if kept else new, tuple(live), tuple(restart)


def _differences(old: object, new: object) -> Iterator[tuple[str, ...]]:
    """Find the innermost keys at which two values differ."""
    if old == new:
        return
    pairs: dict[str, tuple[object, object]] | None = None
    if isinstance(old, Block) and type(old) is type(new):
        pairs = {key: (getattr(old, name), getattr(new, name)) for name, key in _keys(old)}
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = {key: (old.get(key), new.get(key)) for key in {**old, **new}}
    if pairs is None:
        yield ()
        return
    for key, (before, after) in pairs.items():
        yield from ((key, *path) for path in _differences(before, after))


def _keys(block: Block) -> list[tuple[str, str]]:
    """List the attributes of a block, each with its key in the file."""
    return [(name, field.alias or name) for name, field in type(block).model_fields.items()]
