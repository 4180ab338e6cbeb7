"""The entries of `configuration::*` that hold the settings of the bridge's own workers (spec 05 §4.6)."""

from functools import partial
from typing import Any

import msgspec
import structlog

from bridge.builtins.configuration import Configuration, OwnedEntry
from bridge.config import BLOCKS, Block, BridgeConfig, InvalidConfigError, load_block
from bridge.errors import BridgeError, FunctionFailedError
from bridge.live import LiveConfig
from bridge.protocol import payload

__all__ = ["OwnEntries"]

log = structlog.get_logger("bridge.config")

_TITLES = {
    "iii-http": ("HTTP", "Where the HTTP API listens and how requests are served."),
    "iii-stream": ("Streams", "Where stream clients connect and where items are kept."),
    "iii-state": ("State", "Where shared state is kept and how large a value may be."),
    "iii-queue": ("Queues", "The named queues: order, concurrency and retries."),
    "iii-pubsub": ("Pub/sub", "What carries messages to subscribers."),
    "iii-cron": ("Cron", "Schedules; Temporal keeps them."),
    "iii-observability": ("Observability", "Which logs, traces and metrics are kept and where they go."),
}


class OwnEntries:
    """Connects the entries with the configuration in force.

    An entry that nobody has set follows the file. One that was set beats the file, until it is set to `null`.

    Args:
        configuration: Keeps the entries.
        config: What is in force.
    """

    def __init__(self, configuration: Configuration, config: LiveConfig) -> None:
        self._configuration = configuration
        self._config = config
        self._served = [name for name in _TITLES if _block(config.file, name) is not None]

    async def begin(self) -> None:
        """Offer the entries, and begin with what was set in earlier runs; what cannot be used is logged."""
        for name in self._served:
            title, description = _TITLES[name]
            entry = OwnedEntry(
                name,
                title,
                description,
                payload.encode(_schema(BLOCKS[name])),
                partial(self._from_file, name),
                partial(_check, name),
            )
            self._configuration.own(entry, partial(self._apply, name))
            try:
                block = await self._read(name)
            except BridgeError as exc:
                log.error("configuration entry cannot be used; the file is", id=name, reason=str(exc))  # noqa: TRY400
                continue
            if block is not None:
                self._config.begin_with(name, block)

    async def follow_file(self, file: BridgeConfig) -> None:
        """Put a new content of the file in force where no entry beats it, and announce what has changed."""
        before = {name: self._from_file(name) for name in self._served}
        await self._config.follow_file(file)
        for name, was in before.items():
            if _block(file, name) is None or self._from_file(name) == was:
                continue
            if self._config.is_overridden(name):
                log.warning(
                    "the file has changed a block, but what was set with configuration::set stays in force; "
                    "set the entry to null to follow the file again",
                    id=name,
                )
            else:
                self._configuration.entries.follow_file(name, was)

    async def _apply(self, name: str) -> None:
        try:
            block = await self._read(name)
        except BridgeError as exc:
            log.error(  # noqa: TRY400 - the text says it all
                "configuration entry cannot be used; what was in force stays", id=name, reason=str(exc)
            )
            return
        await self._config.override(name, block)

    async def _read(self, name: str) -> Block | None:
        value = await self._configuration.entries.override(name)
        file = _block(self._config.file, name)
        if value is None or file is None:
            return None
        block = load_block(name, msgspec.json.decode(value))
        from_file = set(block.file_only)
        if "adapter" in type(block).model_fields and "adapter" not in block.model_fields_set:
            from_file.add("adapter")  # or a value about something else would move the data (spec 03 §5.6)
        return block.model_copy(update={key: getattr(file, key) for key in from_file})

    def _from_file(self, name: str) -> msgspec.Raw:
        block = _block(self._config.file, name)
        if block is None:
            return payload.NULL
        return msgspec.Raw(block.model_dump_json(by_alias=True, exclude=set(block.file_only)).encode())


def _block(config: BridgeConfig, name: str) -> Block | None:
    block = config.block(name)
    return block if isinstance(block, Block) else None


def _schema(model: type[Block]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for key in model.file_only:
        del schema["properties"][key]
    return schema


def _check(name: str, value: object) -> None:
    try:
        load_block(name, value)
    except InvalidConfigError as exc:
        raise FunctionFailedError("SCHEMA_INVALID", str(exc)) from exc
