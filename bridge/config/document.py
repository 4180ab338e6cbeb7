"""YAML to plain data, remembering on which line each value stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from bridge.config.problems import InvalidConfigError, Problem

__all__ = ["Document", "KeyPath", "parse_document", "parse_scalar", "spell"]

KeyPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Plain scalars as iii reads them: `on`, `yes` and `007` are text (spec 05 §4.6). PyYAML's own rules are
# those of YAML 1.1, where `on` is true, `007` is octal and `12:30` is 750.
_PLAIN_SCALARS = {
    "null": (re.compile(r"(~|null|Null|NULL|)$"), [*"~nN", ""]),
    "bool": (re.compile(r"(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]),
    "int": (re.compile(r"([-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)$"), [*"-+0123456789"]),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*|(?=[eE])))([eE][-+]?[0-9]+)?$"),
        [*"-+.0123456789"],
    ),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar rules above."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's protocol; filled below, instead of inherited


for _name, (_pattern, _first_characters) in _PLAIN_SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first_characters)


@dataclass(slots=True)
class Document:
    """A parsed file.

    Attributes:
        source: The name of the file, for messages; `None` when there is none.
        data: Its content: mappings, lists, text, numbers, booleans and `None`.
        lines: The line of each value, from 1, by its key path.
        problems: What the file says that YAML allows and a configuration must not.
    """

    source: str | None
    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: KeyPath) -> int | None:
        """Find the line of a value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def problem(
        self,
        path: KeyPath,
        what: str,
        *,
        found: str | None = None,
        allowed: str | None = None,
        remedy: str | None = None,
    ) -> Problem:
        """Describe what is wrong at a place of this file."""
        return Problem(
            what=what,
            source=self.source,
            key_path=spell(path) or None,
            line=self.line(path),
            found=found,
            allowed=allowed,
            remedy=remedy,
        )


def parse_document(text: str, *, source: str) -> Document:
    """Parse the text of a configuration file.

    Raises:
        InvalidConfigError: The text is not YAML.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.YAMLError as exc:
        raise InvalidConfigError([_syntax_problem(exc, source)]) from exc
    finally:
        loader.dispose()
    document = Document(source)
    if root is not None:
        _Builder(document).build_root(root)
    return document


def parse_scalar(text: str) -> object:
    """Read one plain value, such as that of an environment variable, by the rules of the file."""
    for name, (pattern, _) in _PLAIN_SCALARS.items():
        if pattern.match(text):
            return _convert(name, text)
    return text


def spell(path: KeyPath) -> str:
    """Write a key path, for example `workers[1].config.queue_configs."a.b".type`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else f'"{part}"')
    return text


class _Builder:
    """Turns nodes into data, because PyYAML forgets the lines and lets a repeated key win."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()

    def build_root(self, node: yaml.Node) -> None:
        self._document.data = self._build(node, ())

    def _build(self, node: yaml.Node, path: KeyPath) -> object:
        # A mapping's value starts below its key, and the reader looks for the key.
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._report(f"`{spell(path)}` contains itself", path, remedy="remove the alias that points back")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> Mapping[str, object]:
        built: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag != _TAG + "str":
                found = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self._report("a key must be text", path, found=found, remedy="write the key in quotes")
                continue
            key = key_node.value
            inner = (*path, key)
            self._document.lines[inner] = key_node.start_mark.line + 1
            if key in built:
                self._report(f"`{key}` is given twice", inner, remedy="keep one of them")
            else:
                built[key] = self._build(value_node, inner)
        return built

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        name = node.tag.removeprefix(_TAG)
        if name == "str":
            return node.value
        if name in _PLAIN_SCALARS and _PLAIN_SCALARS[name][0].match(node.value):
            return _convert(name, node.value)
        self._report(
            f"the tag {node.tag} cannot be used here", path, found=node.value, remedy="remove the tag"
        )
        return node.value

    def _report(self, what: str, path: KeyPath, *, found: str | None = None, remedy: str) -> None:
        self._document.problems.append(self._document.problem(path, what, found=found, remedy=remedy))


def _convert(name: str, text: str) -> object:
    match name:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0)
        case "float":
            return float(text)
        case _:
            return text


def _syntax_problem(exc: yaml.YAMLError, source: str) -> Problem:
    mark = getattr(exc, "problem_mark", None)
    detail = " ".join(filter(None, (getattr(exc, "context", None), getattr(exc, "problem", None)))) or str(
        exc
    )
    return Problem(
        what=f"Failed to parse config file '{source}': {detail}",
        source=source,
        line=mark.line + 1 if mark else None,
        allowed="YAML",
        remedy="check the indentation and the quotes on this line and the one before",
    )
