"""The environment's part in the configuration: placeholders in the file, and variables that beat the file."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bridge.config.document import parse_scalar
from bridge.config.problems import Problem

__all__ = ["ENGINE_VERSION", "Expansion", "Setting", "expand", "expand_value", "settings_from", "slips"]

ENGINE_VERSION = "0.23.0"
"""The iii version we answer for; what the default text `__III_ENGINE_VERSION__` turns into."""

_PLACEHOLDER = re.compile(r"\$\{(?P<name>[^}:]+)(?::(?P<default>[^}]*))?\}")
_OUR_PREFIX = "III_TEMPORAL_"
_OUTSIDE_THE_FILE = ("III_TEMPORAL_CONFIG", "III_TEMPORAL_LOG_FORMAT")
# What Temporal's own tools read; ours beats it, so that one bridge can differ from the rest of a shell.
_TEMPORAL_VARIABLES = {
    "TEMPORAL_PROFILE": ("profile",),
    "TEMPORAL_CONFIG_FILE": ("config_file",),
    "TEMPORAL_ADDRESS": ("address",),
    "TEMPORAL_NAMESPACE": ("namespace",),
    "TEMPORAL_API_KEY": ("api_key",),
    "TEMPORAL_TLS": ("tls", "enabled"),
    "TEMPORAL_TLS_SERVER_NAME": ("tls", "server_name"),
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH": ("tls", "ca_file"),
    "TEMPORAL_TLS_SERVER_CA_CERT_DATA": ("tls", "ca_data"),
    "TEMPORAL_TLS_CLIENT_CERT_PATH": ("tls", "cert_file"),
    "TEMPORAL_TLS_CLIENT_CERT_DATA": ("tls", "cert_data"),
    "TEMPORAL_TLS_CLIENT_KEY_PATH": ("tls", "key_file"),
    "TEMPORAL_TLS_CLIENT_KEY_DATA": ("tls", "key_data"),
}
_TEMPORAL_HEADER_PREFIX = "TEMPORAL_GRPC_META_"


@dataclass(slots=True)
class Expansion:
    """A text with its placeholders replaced, and the variables that could not be."""

    text: str
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value from outside the file.

    Attributes:
        path: Keys inside the block, outermost first.
        value: The text of a variable, or what the caller passed.
        source: The variable's or flag's name, for messages.
    """

    path: tuple[str, ...]
    value: object
    source: str


def expand(text: str, environ: Mapping[str, str], *, source: str) -> Expansion:
    """Replace `${NAME}` and `${NAME:default}` in raw text, as iii does before it reads YAML (spec 05 §4.2).

    A set variable wins, even when empty. There is no nesting and no escape; comments are expanded too;
    `$NAME` and an unterminated `${NAME` stay as they are.
    """
    expansion = Expansion(text)

    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name in environ:
            return environ[name]
        if default is None:
            expansion.problems.append(_unset(name, source, line=text.count("\n", 0, match.start()) + 1))
            return ""
        return _default(default)

    expansion.text = _PLACEHOLDER.sub(replacement, text)
    return expansion


def expand_value(text: str, environ: Mapping[str, str]) -> object:
    """Replace the placeholders in one text of a stored value (spec 05 §4.6).

    A text that is one placeholder and nothing else becomes what it would be in the file: `${PORT:80}` is a
    number. One that turns out empty stays text.

    Raises:
        KeyError: A variable is not set and no default is given; its argument is the name.
    """

    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if default is None:
            return environ[name]
        return environ.get(name, _default(default))

    expanded = _PLACEHOLDER.sub(replacement, text)
    return parse_scalar(expanded) if expanded and _PLACEHOLDER.fullmatch(text) else expanded


def settings_from(environ: Mapping[str, str], paths: Mapping[str, tuple[str, ...]]) -> Iterator[Setting]:
    """Read the variables that beat the file, weaker ones first. A blank variable counts as not set.

    Args:
        environ: The environment.
        paths: For each variable name without `III_TEMPORAL_`, the keys inside our block.
    """
    headers = {
        name: ("grpc_meta", name.removeprefix(_TEMPORAL_HEADER_PREFIX).lower().replace("_", "-"))
        for name in environ
        if name.startswith(_TEMPORAL_HEADER_PREFIX)
    }
    variables = _TEMPORAL_VARIABLES | headers | {_OUR_PREFIX + name: path for name, path in paths.items()}
    for name, path in variables.items():
        if value := environ.get(name, "").strip():
            yield Setting(path=path, value=value, source=name)


def slips(environ: Mapping[str, str], paths: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Name the variables that look like a misspelt setting of ours.

    Only near misses: Kubernetes itself injects `III_TEMPORAL_SERVICE_HOST` and its like.
    """
    known = [*(_OUR_PREFIX + name for name in paths), *_OUTSIDE_THE_FILE]
    for name in sorted(environ):
        if not name.startswith(_OUR_PREFIX) or name in known:
            continue
        if close := difflib.get_close_matches(name, known, n=1, cutoff=0.9):
            yield f"environment variable {name} is not a setting and has no effect; did you mean {close[0]}?"


def _default(written: str) -> str:
    return ENGINE_VERSION if written == "__III_ENGINE_VERSION__" else written


def _unset(name: str, source: str, *, line: int) -> Problem:
    return Problem(
        what=f"Environment variable '{name}' not set and no default provided",
        source=source,
        line=line,
        found=f"${{{name}}}",
        remedy=f"set {name}, or give a default: ${{{name}:value}}",
    )
