"""What every block of the configuration is made of."""

from collections.abc import Container, Iterator
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

__all__ = [
    "Bind",
    "Block",
    "EveryKeyBut",
    "FunctionId",
    "Milliseconds",
    "Name",
    "Port",
    "PositiveMilliseconds",
    "Unsigned32",
    "Unsigned64",
    "conflict",
]

_YEAR_MS = 365 * 24 * 3600 * 1000

Port = Annotated[
    int, Field(ge=0, le=65535, description="an integer from 0 to 65535; 0 lets the system choose a port")
]
"""A TCP port; 0 lets the system choose."""
Name = Annotated[str, StringConstraints(min_length=1)]
FunctionId = Name
Bind = Annotated[Name, Field(description="a host name or an IP address to listen on")]
Milliseconds = Annotated[int, Field(ge=0, le=_YEAR_MS)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=_YEAR_MS)]
Unsigned32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
Unsigned64 = Annotated[int, Field(ge=0, le=2**64 - 1)]


class EveryKeyBut:
    """Contains every key but some."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is none of the exceptions."""
        return key not in self._keys


class Block(BaseModel):
    """A frozen mapping of the file: every key is known, and types are what YAML says they are.

    An attribute has the name of its key, or one that says more; the key is then the field's alias.

    Attributes:
        live: The keys of which a change takes effect while the bridge runs; others need a restart.
        file_only: The keys that only the file holds, because no worker is to read them.
    """

    live: ClassVar[Container[str]] = ()
    file_only: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def notices(self) -> Iterator[str]:
        """Tell what was accepted and does not do what the author may expect."""
        yield from ()

    @classmethod
    def subject(cls, path: tuple[str | int, ...]) -> str | None:
        """Name the thing that the key at this path is about, when that is less than the whole block."""
        del path
        return None


def conflict(what: str, remedy: str) -> PydanticCustomError:
    """Describe a value that only another one makes wrong; raise it from the validator of its field."""
    # Pydantic formats the template, so the text goes in as a value.
    return PydanticCustomError("conflict", "{what}", {"what": what, "remedy": remedy})
