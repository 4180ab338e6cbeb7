"""The configuration in force, and the only way to change it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Generic, TypeVar

import structlog

from bridge.config import (
    BLOCK_FIELDS,
    Block,
    BlockChange,
    BridgeConfig,
    HttpBlock,
    StreamBlock,
    change_of,
    is_loopback,
)
from bridge.errors import BridgeError

__all__ = ["Apply", "LiveConfig", "LiveMapping"]

log = structlog.get_logger("bridge.config")

Apply = Callable[[BridgeConfig], Awaitable[None]]
"""Puts one block of a configuration in force; raises `BridgeError` when it cannot, with nothing changed."""

Value = TypeVar("Value")


class LiveConfig:
    """What is served: the file, and over it the blocks that were set while the bridge ran.

    Changes are made one after the other and block by block: one that cannot be put in force leaves its block
    as it was, and the others change.

    Args:
        file: What the file says.

    Attributes:
        file: What the file says now.
        served: What is in force.
    """

    def __init__(self, file: BridgeConfig) -> None:
        self.file = file
        self.served = file
        self._overrides: dict[str, Block] = {}
        self._parts: dict[str, Apply] = {}
        self._changing = asyncio.Lock()

    def begin_with(self, block: str, value: Block) -> None:
        """Serve a block that was set in an earlier run; before anything is served."""
        self._overrides[block] = value
        self.served = self.served.with_block(block, value)

    def fall_back(self, name: str) -> bool:
        """Serve a block at the address of the file, because the one set in an earlier run cannot be bound.

        Returns:
            Whether that is another address, and not one that more of the world reaches (spec 04 §5.5).
        """
        served, file = self.served.block(name), self.file.block(name)
        if not isinstance(served, HttpBlock | StreamBlock) or not isinstance(file, HttpBlock | StreamBlock):
            return False
        is_the_same = (served.host, served.port) == (file.host, file.port)
        if is_the_same or (is_loopback(served.host) and not is_loopback(file.host)):
            return False
        address = {"host": file.host, "port": file.port}
        self.served = self.served.with_block(name, served.model_copy(update=address))
        return True

    def on_change(self, block: str, apply: Apply) -> None:
        """Have changes of a block put in force."""
        self._parts[block] = apply

    def is_overridden(self, block: str) -> bool:
        """Tell whether something else than the file decides about a block."""
        return block in self._overrides

    async def follow_file(self, file: BridgeConfig) -> None:
        """Put a new content of the file in force, as far as that goes without a restart.

        Cancellation: some blocks may have changed and others not.
        """
        self.file = file
        await self._become(*BLOCK_FIELDS)

    async def override(self, block: str, value: Block | None) -> None:
        """Put a block in force whatever the file says; `None` lets it follow the file again.

        Cancellation: the block may not have changed.
        """
        if value is not None:
            self._overrides[block] = value
        elif self._overrides.pop(block, None) is None:
            return
        await self._become(block)

    async def _become(self, *blocks: str) -> None:
        """Serve these blocks as they are wanted."""
        async with self._changing:
            wanted = self.file
            for block, value in self._overrides.items():
                wanted = wanted.with_block(block, value)
            applied: list[str] = []
            restart: list[str] = []
            for block in blocks:
                change = change_of(block, self.served, wanted)
                restart += change.restart
                if change.live and await self._has_applied(block, change):
                    applied += change.live
        if applied:
            log.info("configuration changed", keys=applied)
        if restart:
            log.warning("configuration changes that need a restart of the bridge", keys=restart)

    async def _has_applied(self, block: str, change: BlockChange) -> bool:
        try:
            if apply := self._parts.get(block):
                await apply(change.config)
        except BridgeError as exc:
            log.error(  # noqa: TRY400 - the text says it all
                "configuration cannot be put in force; what was stays", keys=change.live, reason=str(exc)
            )
            return False
        self.served = change.config
        return True


class LiveMapping(Mapping[str, Value], Generic[Value]):
    """Something by name that follows from the configuration in force, whenever one looks.

    Args:
        config: What is in force.
        read: Derives it.
    """

    def __init__(self, config: LiveConfig, read: Callable[[BridgeConfig], Mapping[str, Value]]) -> None:
        self._config = config
        self._read = read
        self._seen = config.served
        self._derived = read(config.served)

    def __getitem__(self, name: str) -> Value:
        """Return what has a name."""
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._now)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._now)

    @property
    def _now(self) -> Mapping[str, Value]:
        if self._seen is not self._config.served:
            self._seen = self._config.served
            self._derived = self._read(self._seen)
        return self._derived
