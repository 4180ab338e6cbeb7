"""What is written of Temporal's frontend, in more than one place: its address, key, headers and Web UI."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from bridge.config.block import conflict
from bridge.config.hosts import is_loopback
from bridge.credentials import read_key

__all__ = ["Address", "HeaderName", "HeaderValue", "KeyFile", "UiUrl", "web_ui_of"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_HEADER = re.compile(r"[a-z0-9_.-]+")
_CLOUD_HOST_SUFFIXES = (".tmprl.cloud", ".api.temporal.io")


def _host_and_port(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found["port"]) <= 65535:  # noqa: PLR2004 - the ports of TCP
        raise PydanticCustomError(
            "address",
            "`address` is not `host:port`",
            {"allowed": "host:port without a scheme, such as 127.0.0.1:7233"},
        )
    return address


def _names_text(header: str) -> str:
    if _HEADER.fullmatch(header) is None or header.endswith("-bin"):
        raise PydanticCustomError(
            "header",
            "this is not the name of a header with text",
            {"allowed": "lower-case letters, digits, `-`, `_`, `.`; names that end in `-bin` are for bytes"},
        )
    return header


def _fits_in_a_header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise PydanticCustomError(
            "header", "the value does not fit in a header", {"allowed": "printable ASCII characters"}
        )
    return value


def _holds_the_only_key(file: Path | None, info: ValidationInfo) -> Path | None:
    if file is None:
        return None
    if info.data.get("api_key") is not None:
        raise conflict("`api_key_file` and `api_key` exclude each other", "give one of them")
    try:
        read_key(file)
    except (OSError, ValueError) as exc:
        raise conflict(
            f"`api_key_file` cannot be used: {exc}", "write the key, and nothing else, into the file"
        ) from exc
    return file


Address = Annotated[str, AfterValidator(_host_and_port)]
HeaderName = Annotated[str, AfterValidator(_names_text)]
HeaderValue = Annotated[SecretStr, AfterValidator(_fits_in_a_header)]
KeyFile = Annotated[FilePath | None, Field(strict=False), AfterValidator(_holds_the_only_key)]
"""A file that holds the key; of a field after one called `api_key`."""
UiUrl = Annotated[str, Field(pattern=r"^https?://", description="an http or https URL")]


def web_ui_of(address: str) -> str | None:
    """Return where the Web UI of a frontend usually is, if that is known."""
    host = address.rpartition(":")[0].strip("[]")
    if host.endswith(_CLOUD_HOST_SUFFIXES):
        return "https://cloud.temporal.io"
    return "http://127.0.0.1:8233" if is_loopback(host) else None
