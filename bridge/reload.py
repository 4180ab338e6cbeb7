"""The configuration file while the bridge runs: a change of it is loaded, checked and put in force."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from bridge.config import BridgeConfig, InvalidConfigError

__all__ = ["Reloading"]

log = structlog.get_logger("bridge.config")

_LOOK_EVERY_S = 0.5

_Signature = tuple[int, int, int]


class Reloading:
    """Loads the file again when it has changed and come to rest, or when asked to.

    The file is looked at, not its directory watched: so links that are exchanged, as Kubernetes does it, and
    network file systems are noticed too. An edit that cannot be used changes nothing.

    Make it as soon as the file is loaded: from then on no edit is missed.

    Args:
        path: The file; `None` only reloads when asked to.
        load: Loads it; raises `InvalidConfigError`.
        follow: Puts what was loaded in force.
        look_every_s: How often the file is looked at, and how long it has to be at rest.
    """

    def __init__(
        self,
        path: Path | None,
        load: Callable[[], BridgeConfig],
        follow: Callable[[BridgeConfig], Awaitable[None]],
        *,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._path = path
        self._load = load
        self._follow = follow
        self._look_every_s = look_every_s
        self._asked = asyncio.Event()
        self._loaded = _signature(path)

    def ask(self) -> None:
        """Load the file even if it has not changed."""
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
            now = await asyncio.to_thread(_signature, self._path)
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


def _signature(path: Path | None) -> _Signature | None:
    """Return what changes when the file does; `None` when it is not there."""
    try:
        about = path.stat() if path else None
    except OSError:
        return None
    return (about.st_mtime_ns, about.st_size, about.st_ino) if about else None
