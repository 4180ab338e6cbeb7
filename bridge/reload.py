"""The configuration files while the bridge runs: a change of one is loaded, checked and put in force."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from bridge.config import BridgeConfig, InvalidConfigError

__all__ = ["Reloading"]

log = structlog.get_logger("bridge.config")

_LOOK_EVERY_S = 0.5

_Signature = tuple[tuple[int, int, int] | None, ...]


class Reloading:
    """Loads the configuration again when a file of it has changed and come to rest, or when asked to.

    The files are looked at, not their directories watched: so links that are exchanged, as Kubernetes does
    it, and network file systems are noticed too. An edit that cannot be used changes nothing.

    Make it as soon as the configuration is loaded: from then on no edit is missed.

    Args:
        files: What it consists of; without any it is only loaded when asked to.
        load: Loads it; raises `InvalidConfigError`.
        follow: Puts what was loaded in force.
        look_every_s: How often the files are looked at, and how long they have to be at rest.
    """

    def __init__(
        self,
        files: Sequence[Path],
        load: Callable[[], BridgeConfig],
        follow: Callable[[BridgeConfig], Awaitable[None]],
        *,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._files = files
        self._load = load
        self._follow = follow
        self._look_every_s = look_every_s
        self._asked = asyncio.Event()
        self._loaded = _signature(files)

    def ask(self) -> None:
        """Load the configuration even if no file has changed."""
        self._asked.set()

    async def run(self) -> None:
        """Reload again and again.

        Cancellation: safe.
        """
        seen = self._loaded
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s):
                    await self._asked.wait()
            now = await asyncio.to_thread(_signature, self._files)
            is_asked, is_at_rest = self._asked.is_set(), now == seen
            seen = now
            if is_asked or (now != self._loaded and is_at_rest):
                self._asked.clear()
                self._loaded = now
                await self._reload()

    async def _reload(self) -> None:
        try:
            config = await asyncio.to_thread(self._load)
        except InvalidConfigError as exc:
            log.error("configuration not reloaded; the one in force stays", problems=str(exc))  # noqa: TRY400
            return
        for warning in config.warnings:
            log.warning(warning)
        await self._follow(config)
        log.info("configuration reloaded", file=str(config.source) if config.source else None)


def _signature(files: Sequence[Path]) -> _Signature:
    """Return what changes when a file does."""
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino
