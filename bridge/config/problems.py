"""What can be wrong with a configuration, told so that it can be mended at once."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from bridge.errors import ConfigError

__all__ = ["InvalidConfigError", "Problem", "hide_credentials", "show", "suggest"]

_SHOWN_CHARACTERS = 80
_URL_CREDENTIALS = re.compile(r"(?<=//)[^/@\s\"]+(?=@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, where it stands, and how to mend it.

    Attributes:
        what: The problem in one sentence, naming the worker or queue it is about.
        source: The file, environment variable or flag that brought the value; `None` for none of them.
        key_path: The place inside the file, for example `workers[2].config.port`.
        line: The line in the file, from 1, when it is known.
        found: The value that was found, as it would be written in the file.
        allowed: The values that would be accepted.
        remedy: What to do, when naming the allowed values does not already say it.
    """

    what: str
    source: str | None = None
    key_path: str | None = None
    line: int | None = None
    found: str | None = None
    allowed: str | None = None
    remedy: str | None = None

    @property
    def where(self) -> str | None:
        """The source, line and key path in one text."""
        source = self.source if self.line is None else f"{self.source}:{self.line}"
        return " ".join(filter(None, (source, self.key_path))) or None

    def __str__(self) -> str:
        details = {
            "where": self.where,
            "found": self.found,
            "allowed": self.allowed,
            "remedy": self.remedy,
        }
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in details.items() if text)])


class InvalidConfigError(ConfigError):
    """The configuration has problems; all of them, so that one pass mends the file.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def show(value: object) -> str:
    """Write a value as in the file, cut to a readable length and without the credentials of a URL."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    text = hide_credentials(text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def hide_credentials(text: str) -> str:
    """Replace user and password of every URL in a text."""
    return _URL_CREDENTIALS.sub("***", text)


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Offer the known name that the given one is probably a slip of."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"did you mean `{matches[0]}`?" if matches else None
