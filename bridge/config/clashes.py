"""Blocks that are right by themselves and cannot be served together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.config.block import Block
from bridge.config.blocks.adapters import KvConfig
from bridge.config.blocks.http import HttpBlock
from bridge.config.blocks.listener import ListenerBlock
from bridge.config.blocks.state import StateBlock
from bridge.config.blocks.stream import StreamBlock
from bridge.config.blocks.temporal import TemporalBlock
from bridge.config.document import Document
from bridge.config.entries import Entry
from bridge.config.problems import Problem

__all__ = ["LoadedBlock", "clashes"]

_ANY_HOST = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class LoadedBlock:
    """A block, and where it came from."""

    entry: Entry
    block: Block


@dataclass(frozen=True, slots=True)
class _Address:
    entry: Entry
    user: str
    host: str
    port: int

    def meets(self, other: "_Address") -> bool:
        hosts = {self.host, other.host}
        return self.port == other.port != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_ANY_HOST))


def clashes(loaded: Sequence[LoadedBlock], document: Document) -> Iterator[Problem]:
    """Find blocks that want the same address or the same file."""
    yield from _shared_addresses(loaded, document)
    yield from _shared_database(loaded, document)


def _shared_addresses(loaded: Sequence[LoadedBlock], document: Document) -> Iterator[Problem]:
    addresses = list(_addresses(loaded))
    for index, address in enumerate(addresses):
        for earlier in filter(address.meets, addresses[:index]):
            yield document.problem(
                address.entry.config_path,
                f"{address.user}: address {address.host}:{address.port} is already in use by {earlier.user}",
                found=str(address.port),
                remedy="give one of the two another port",
            )


def _addresses(loaded: Sequence[LoadedBlock]) -> Iterator[_Address]:
    for each in loaded:
        match each.block:
            case ListenerBlock() | HttpBlock() | StreamBlock() as block:
                yield _Address(each.entry, each.entry.written, block.host, block.port)
            case TemporalBlock(admin=admin):
                yield _Address(each.entry, f"{each.entry.written} admin", admin.host, admin.port)
            case _:
                pass


def _shared_database(loaded: Sequence[LoadedBlock], document: Document) -> Iterator[Problem]:
    users: dict[Path, LoadedBlock] = {}
    for each in loaded:
        match each.block:
            case StateBlock(adapter=adapter) | StreamBlock(adapter=adapter):
                path = adapter.config.database_path if isinstance(adapter.config, KvConfig) else None
            case _:
                continue
        if path is not None and (earlier := users.setdefault(path, each)) is not each:
            yield document.problem(
                each.entry.config_path,
                f"{each.entry.written}: cannot share a file with {earlier.entry.written}",
                found=str(path),
                remedy="give each its own `file_path`, or one directory for both",
            )
