"""From a path, the environment and the command line to a `BridgeConfig`, with every problem at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from bridge.config.block import Block
from bridge.config.blocks.configuration import ConfigurationBlock
from bridge.config.blocks.cron import CronBlock
from bridge.config.blocks.exec import ExecBlock
from bridge.config.blocks.http import HttpBlock
from bridge.config.blocks.http_functions import HttpFunctionsBlock
from bridge.config.blocks.listener import ListenerBlock
from bridge.config.blocks.observability import ObservabilityBlock
from bridge.config.blocks.pubsub import PubSubBlock
from bridge.config.blocks.queue import QueueBlock
from bridge.config.blocks.state import StateBlock
from bridge.config.blocks.stream import StreamBlock
from bridge.config.blocks.temporal import TemporalBlock
from bridge.config.bridge_config import BridgeConfig
from bridge.config.clashes import LoadedBlock, clashes
from bridge.config.document import Document, parse_document, parse_scalar, spell
from bridge.config.entries import CLASS_NAMES, SHORT_NAMES, Entry, FileContent, read_entries
from bridge.config.environment import Setting, expand, settings_from, slips
from bridge.config.problems import InvalidConfigError, Problem, show, suggest
from bridge.config.profiles import profile_settings
from bridge.config.schema import locate, scalar_paths
from bridge.config.validation import validate

__all__ = ["BLOCKS", "DEFAULT_PATHS", "load_block", "load_config"]

DEFAULT_PATHS = (Path("iii-config.yaml"), Path("config.yaml"))
"""Where the file is looked for in the working directory, in this order."""

BLOCKS: Mapping[str, type[Block]] = {
    "iii-temporal": TemporalBlock,
    "iii-worker-manager": ListenerBlock,
    "iii-queue": QueueBlock,
    "iii-http": HttpBlock,
    "iii-state": StateBlock,
    "iii-stream": StreamBlock,
    "iii-pubsub": PubSubBlock,
    "iii-cron": CronBlock,
    "iii-http-functions": HttpFunctionsBlock,
    "iii-exec": ExecBlock,
    "configuration": ConfigurationBlock,
    "iii-observability": ObservabilityBlock,
}
"""What each block has to be, by its name since 0.11."""
_SERVED_WITHOUT_A_FILE = ("iii-http", "iii-state", "iii-stream", "iii-pubsub", "iii-cron")
_ALWAYS_SERVED = ("iii-temporal", "iii-worker-manager", "iii-queue", "configuration")
_MAY_REPEAT = ("iii-worker-manager", "iii-exec")
# Part of every iii engine and with nothing to configure here, so not worth a warning.
_SILENT = ("iii-engine-functions", "iii-telemetry")
_DEFAULT_NAMESPACE_GRACE_MS = 5000
_MAX_NAMESPACE_GRACE_MS = 3_600_000

BlockT = TypeVar("BlockT", bound=Block)


def load_config(
    path: Path | None, *, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> BridgeConfig:
    """Read the configuration; an override beats the environment, which beats the file.

    Weaker than all is the profile of Temporal's own tools that one of them names.

    Args:
        path: The file. `None` takes the first of `DEFAULT_PATHS` that exists, and without one the
            built-in defaults.
        environ: The environment: for the placeholders of the file, and for `III_TEMPORAL_…`.
        overrides: Values by block and key, such as `{"iii-temporal.address": "127.0.0.1:7233"}`; `None`
            overrides nothing. A block the file does not list is served if one of its keys is overridden.

    Raises:
        InvalidConfigError: With all problems that could be found.
    """
    source = path or next(filter(Path.is_file, DEFAULT_PATHS), None)
    return _Loader(source, environ, overrides or {}).load()


def load_block(name: str, value: object) -> Block:
    """Read one block that is not in the file.

    Args:
        name: Of the block, for example `iii-queue`.
        value: Its keys.

    Raises:
        InvalidConfigError: With all its problems.
    """
    document = Document(source=f"entry {name}")
    if not isinstance(value, dict):
        raise InvalidConfigError([document.problem((), f"{name}: not a mapping", found=show(value))])
    entry = Entry.unlisted(name)
    entry.config = value
    block, problems = validate(BLOCKS[name], entry, document)
    if block is None:
        raise InvalidConfigError(problems)
    return block


class _Loader:
    def __init__(
        self, source: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]
    ) -> None:
        self._source = source
        self._environ = environ
        self._overrides = overrides
        self._document = Document(source=None)
        self._unset: list[Problem] = []
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._loaded: list[LoadedBlock] = []

    def load(self) -> BridgeConfig:
        content = self._built_in() if self._source is None else self._read(self._source)
        self._apply_settings(content.entries)
        temporal = _entry_of("iii-temporal", content.entries)
        self._apply_profiles(temporal)
        for block in _ALWAYS_SERVED:
            _entry_of(block, content.entries)
        grace_ms = self._namespace_grace_ms(content)
        for entry in self._without_repeated(content.entries):
            self._load_entry(entry)
        self._problems += clashes(self._loaded, self._document)
        self._reject_problems()
        return BridgeConfig(
            source=self._source,
            temporal=self._all(TemporalBlock)[0],
            listeners=self._all(ListenerBlock),
            queue=self._all(QueueBlock)[0],
            http=self._one(HttpBlock),
            state=self._one(StateBlock),
            stream=self._one(StreamBlock),
            pubsub=self._one(PubSubBlock),
            cron=self._one(CronBlock),
            http_functions=self._one(HttpFunctionsBlock),
            configuration=self._all(ConfigurationBlock)[0],
            observability=self._one(ObservabilityBlock) or ObservabilityBlock.in_memory(),
            processes=self._all(ExecBlock),
            namespace_grace_ms=grace_ms,
            warnings=tuple(dict.fromkeys(self._warnings)),
            origins=temporal.origins,
        )

    def _built_in(self) -> FileContent:
        names = " or ".join(map(str, DEFAULT_PATHS))
        self._warnings.append(f"no {names} in {Path.cwd()}; running with the built-in defaults")
        return FileContent(entries=[Entry.unlisted(block) for block in _SERVED_WITHOUT_A_FILE])

    def _read(self, source: Path) -> FileContent:
        expansion = expand(_text_of(source), self._environ, source=str(source))
        self._unset = expansion.problems
        try:
            self._document = parse_document(expansion.text, source=str(source))
        except InvalidConfigError as exc:
            raise InvalidConfigError([*self._unset, *exc.problems]) from exc
        content = read_entries(self._document)
        self._problems += [*self._document.problems, *content.problems]
        self._warnings += content.warnings
        return content

    def _apply_settings(self, entries: list[Entry]) -> None:
        variables = {"_".join(path).upper(): path for path in scalar_paths(TemporalBlock)}
        for setting in settings_from(self._environ, variables):
            is_text = locate(TemporalBlock, setting.path).is_text
            value = setting.value if is_text else parse_scalar(str(setting.value))
            _entry_of("iii-temporal", entries).put(setting, value)
        self._warnings += slips(self._environ, variables)
        for key, value in self._overrides.items():
            block, *path = key.split(".")
            if value is not None:
                setting = Setting(path=tuple(path), value=value, source="command line")
                _entry_of(block, entries).put(setting, value)

    def _apply_profiles(self, entry: Entry) -> None:
        """Let profiles give what neither the command line nor the environment nor the file gives."""
        config_file = entry.config.get("config_file")
        self._apply_profile(entry, config_file)
        mapped = entry.config.get("namespaces")
        if not isinstance(mapped, list):
            return
        for index, written in enumerate(mapped):
            if isinstance(written, dict) and "profile" in written:
                inner = Entry(entry.block, entry.written, entry.place, entry.config_path, dict(written))
                self._apply_profile(inner, config_file)
                mapped[index] = inner.config
                entry.origins |= {
                    ("namespaces", index, *path): source for path, source in inner.origins.items()
                }

    def _apply_profile(self, entry: Entry, written: object) -> None:
        """Let the profile that an entry names give what it does not give itself.

        Args:
            entry: The keys that may name one.
            written: The `config_file` in which it stands, if that is given.
        """
        profile = entry.config.get("profile")
        if (profile is None and written is None) or not isinstance(profile, str | None):
            return
        file = Path(written) if isinstance(written, str) else None
        if written is not None and (file is None or not file.is_file()):
            return  # which its own key is blamed for
        try:
            settings = profile_settings(profile, file)
        except InvalidConfigError as exc:
            self._problems += exc.problems
            return
        for setting in settings:
            *parents, key = setting.path
            spellings = {key, f"{key}_file", key.replace("_file", "_data"), key.replace("_data", "_file")}
            if not any(entry.has((*parents, spelling)) for spelling in spellings):
                entry.put(setting, setting.value)

    def _namespace_grace_ms(self, content: FileContent) -> int:
        written = self._environ.get("III_NAMESPACE_GRACE_MS", "").strip()
        if not written:
            return (
                _DEFAULT_NAMESPACE_GRACE_MS
                if content.namespace_grace_ms is None
                else content.namespace_grace_ms
            )
        value = parse_scalar(written)
        if type(value) is int and 0 <= value <= _MAX_NAMESPACE_GRACE_MS:
            return value
        self._problems.append(
            Problem(
                what="III_NAMESPACE_GRACE_MS is wrong",
                source="III_NAMESPACE_GRACE_MS",
                found=written,
                allowed=f"an integer from 0 to {_MAX_NAMESPACE_GRACE_MS}",
            )
        )
        return _DEFAULT_NAMESPACE_GRACE_MS

    def _without_repeated(self, entries: list[Entry]) -> Iterator[Entry]:
        first: dict[str, Entry] = {}
        for entry in entries:
            earlier = first.setdefault(entry.block, entry)
            if earlier is entry or entry.block not in BLOCKS or entry.block in _MAY_REPEAT:
                yield entry
            elif (earlier.written in SHORT_NAMES) == (entry.written in SHORT_NAMES):
                # Otherwise the two are the old and the new name of one block, which was already reported.
                self._problems.append(
                    self._document.problem(
                        entry.place,
                        f"{entry.written}: the block is listed twice",
                        found=f"the first one is {spell(earlier.place)}",
                        remedy=f"merge the two; only {' and '.join(_MAY_REPEAT)} may be listed several times",
                    )
                )

    def _load_entry(self, entry: Entry) -> None:
        if entry.block in _SILENT:
            return
        model = BLOCKS.get(entry.block)
        if model is None:
            hint = suggest(entry.written, [*BLOCKS, *SHORT_NAMES, *CLASS_NAMES])
            self._warnings.append(
                f"`{entry.written}` is not served by iii-temporal; {hint or 'the block has no effect'}"
            )
            return
        if entry.has_image:
            self._problems.append(
                self._document.problem(
                    (*entry.place, "image"),
                    f"{entry.written} is a built-in worker and takes no `image`",
                    remedy="remove `image`",
                )
            )
        block, problems = validate(model, entry, self._document)
        self._problems += problems
        if block is not None:
            self._loaded.append(LoadedBlock(entry, block))
            self._warnings += block.notices()

    def _reject_problems(self) -> None:
        # What stands on the line of an unset variable is judged once the variable has a value.
        open_lines = {problem.line for problem in self._unset}
        judged = [each for each in self._problems if each.line is None or each.line not in open_lines]
        if problems := [*self._unset, *judged]:
            raise InvalidConfigError(problems)

    def _all(self, model: type[BlockT]) -> tuple[BlockT, ...]:
        return tuple(loaded.block for loaded in self._loaded if isinstance(loaded.block, model))

    def _one(self, model: type[BlockT]) -> BlockT | None:
        return next(iter(self._all(model)), None)


def _entry_of(block: str, entries: list[Entry]) -> Entry:
    for entry in entries:
        if entry.block == block:
            return entry
    entry = Entry.unlisted(block)
    entries.append(entry)
    return entry


def _text_of(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        problem = Problem(
            what=f"Config file not found: '{source}'",
            source=str(source),
            remedy=f"create it, for a start with the one line `workers: []`: echo 'workers: []' > {source}",
        )
        raise InvalidConfigError([problem]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        problem = Problem(
            what=f"Config file '{source}' cannot be read: {exc}",
            source=str(source),
            allowed="a UTF-8 text file that this user may read",
        )
        raise InvalidConfigError([problem]) from exc
