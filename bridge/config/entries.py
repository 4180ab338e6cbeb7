"""The list of blocks in the file, in both styles, under one set of names (spec 05 §4.1, §4.3)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.config.document import Document, KeyPath
from bridge.config.environment import Setting
from bridge.config.problems import Problem, show, suggest

__all__ = ["CLASS_NAMES", "SHORT_NAMES", "Entry", "FileContent", "read_entries"]

CLASS_NAMES = {
    "modules::worker::WorkerModule": "iii-worker-manager",
    "modules::api::RestApiModule": "iii-http",
    "modules::rest_api::RestApiModule": "iii-http",
    "modules::stream::StreamModule": "iii-stream",
    "modules::state::StateModule": "iii-state",
    "modules::queue::QueueModule": "iii-queue",
    "modules::pubsub::PubSubModule": "iii-pubsub",
    "modules::cron::CronModule": "iii-cron",
    "modules::observability::OtelModule": "iii-observability",
    "modules::observability::ObservabilityModule": "iii-observability",
    "modules::http_functions::HttpFunctionsModule": "iii-http-functions",
    "modules::shell::ExecModule": "iii-exec",
    "modules::bridge_client::BridgeClientModule": "iii-bridge",
    "modules::telemetry::TelemetryModule": "iii-telemetry",
    "modules::temporal::TemporalModule": "iii-temporal",
}
SHORT_NAMES = {
    "http": "iii-http",
    "state": "iii-state",
    "queue": "iii-queue",
    "pubsub": "iii-pubsub",
    "cron": "iii-cron",
}
_INSTANCE_SUFFIX = re.compile(r"#[0-9]+$")
_TOP_LEVEL_KEYS = ("workers", "modules", "port", "registration_namespace_grace_ms")
_ENTRY_KEYS = ("name", "class", "config", "image")
_HIGHEST_PORT = 65535


@dataclass(slots=True)
class Entry:
    """One block as it was given.

    Attributes:
        block: The name since 0.11, whatever style was used.
        written: The name or class in the file.
        place: Where it stands in the file.
        config_path: Where its `config` stands.
        config: The keys, not validated.
        has_config: Whether the file gives any.
        has_image: Whether the file names a container image to run.
        origins: For each value that did not come from the file, who brought it.
    """

    block: str
    written: str
    place: KeyPath
    config_path: KeyPath
    config: dict[str, Any] = field(default_factory=dict)
    has_config: bool = False
    has_image: bool = False
    origins: dict[KeyPath, str] = field(default_factory=dict)

    @classmethod
    def unlisted(cls, block: str) -> "Entry":
        """Make the entry of a block that the file does not have."""
        return cls(block, block, place=(block,), config_path=(block,))

    def has(self, path: tuple[str, ...]) -> bool:
        """Tell whether there is a value at a path already."""
        found: object = self.config
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found is not None

    def put(self, setting: Setting, value: object) -> None:
        """Let a value from outside take the place of the file's."""
        target = self.config
        for key in setting.path[:-1]:
            inner = target.get(key)
            target[key] = dict(inner) if isinstance(inner, Mapping) else {}
            target = target[key]
        target[setting.path[-1]] = value
        self.origins[setting.path] = setting.source


@dataclass(slots=True)
class FileContent:
    """What a file says on its top level.

    Attributes:
        entries: The blocks, in the order of the file.
        namespace_grace_ms: The 0.23 key `registration_namespace_grace_ms`.
        warnings: What was accepted and has no effect.
        problems: What cannot be used.
    """

    entries: list[Entry] = field(default_factory=list)
    namespace_grace_ms: int | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_entries(document: Document) -> FileContent:
    """Read the blocks of a file of any generation.

    `port` with `modules: - class:` (0.9, 0.10), `workers: - name:` (0.11 and later) and the short names of
    0.22 may stand side by side.
    """
    return _Reader(document).read()


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._content = FileContent()

    def read(self) -> FileContent:
        data = self._document.data
        if data is None:
            return self._content
        if not isinstance(data, dict):
            self._report("the file is not a mapping", (), found=show(data), allowed="workers: […]")
            return self._content
        for key in data.keys() - set(_TOP_LEVEL_KEYS):
            self._report(
                f"unknown key `{key}`",
                (key,),
                found=key,
                allowed=", ".join(_TOP_LEVEL_KEYS),
                remedy=suggest(key, _TOP_LEVEL_KEYS),
            )
        for list_key in ("workers", "modules"):
            self._content.entries += self._list(list_key, data)
        self._content.namespace_grace_ms = self._integer(
            data, "registration_namespace_grace_ms", highest=3_600_000
        )
        self._top_level_port(self._integer(data, "port", highest=_HIGHEST_PORT))
        self._reject_old_and_new_names()
        return self._content

    def _list(self, list_key: str, data: Mapping[str, Any]) -> Iterator[Entry]:
        if list_key not in data:
            return
        items = data[list_key]
        if not isinstance(items, list):
            self._report(
                f"`{list_key}` is not a list",
                (list_key,),
                found=show(items),
                allowed="a list of blocks",
                remedy=f"write `{list_key}: []` for none",
            )
            return
        for index, item in enumerate(items):
            if entry := self._entry(item, (list_key, index)):
                yield entry

    def _entry(self, item: object, path: KeyPath) -> Entry | None:
        if not isinstance(item, dict):
            self._report("a block is not a mapping", path, found=show(item), allowed="- name: …")
            return None
        given = [key for key in ("name", "class") if key in item]
        if len(given) != 1 or not isinstance(item[given[0]], str):
            self._report(
                "a block needs either `name` or `class`",
                path,
                found=show({key: item[key] for key in given}) if given else "neither",
                allowed="name: iii-…, or class: modules::… as in 0.10",
            )
            return None
        written = item[given[0]]
        for key in item.keys() - set(_ENTRY_KEYS):
            hint = suggest(key, _ENTRY_KEYS) or "remove it"
            self._content.warnings.append(f"{written}: key `{key}` beside `{given[0]}` has no effect; {hint}")
        config = item.get("config")
        if config is not None and not isinstance(config, dict):
            self._report(
                f"{written}: `config` is not a mapping",
                (*path, "config"),
                found=show(config),
                allowed="a mapping",
            )
            config = None
        return Entry(
            block=_canonical_name(written),
            written=written,
            place=path,
            config_path=(*path, "config"),
            config=dict(config or {}),
            has_config=config is not None,
            has_image="image" in item,
        )

    def _integer(self, data: Mapping[str, Any], key: str, *, highest: int) -> int | None:
        value = data.get(key)
        if key not in data or (type(value) is int and 0 <= value <= highest):
            return value
        self._report(
            f"`{key}` is wrong", (key,), found=show(value), allowed=f"an integer from 0 to {highest}"
        )
        return None

    def _top_level_port(self, port: int | None) -> None:
        """Apply the 0.9/0.10 key `port`, where 0 meant the default."""
        if not port:
            return
        listeners = [entry for entry in self._content.entries if entry.block == "iii-worker-manager"]
        if not listeners:
            listeners = [Entry("iii-worker-manager", "port", place=("port",), config_path=())]
            self._content.entries += listeners
        if listeners[0].config.setdefault("port", port) != port:
            self._report(
                "the port of the worker listener is given twice",
                ("port",),
                found=f"{port} here, {show(listeners[0].config['port'])} in {listeners[0].written}",
                remedy="remove the top-level `port`",
            )

    def _reject_old_and_new_names(self) -> None:
        written = {entry.written for entry in self._content.entries}
        pairs = [(short, name) for short, name in SHORT_NAMES.items() if {short, name} <= written]
        if pairs:
            lines = "; ".join(f"`{name}` is the deprecated name of `{short}`" for short, name in pairs)
            self._report(
                f"Duplicate worker configurations: {lines}",
                ("workers",),
                found=", ".join(f"{name} and {short}" for short, name in pairs),
                remedy="remove " + ", ".join(f"`- name: {name}`" for _, name in pairs),
            )

    def _report(self, what: str, path: KeyPath, **details: str | None) -> None:
        self._content.problems.append(self._document.problem(path, what, **details))


def _canonical_name(written: str) -> str:
    name = _INSTANCE_SUFFIX.sub("", written)
    return SHORT_NAMES.get(name) or CLASS_NAMES.get(name) or name
