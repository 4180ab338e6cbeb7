"""How a function is to be called over HTTP, and the request that does it (spec 04 §7.1, §7.2)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from bridge.errors import FunctionFailedError, InvalidInputError

__all__ = ["Invocation", "Secrets", "decode_invocation", "request_headers", "signature"]

DEFAULT_TIMEOUT_MS = 30_000


class Bearer(msgspec.Struct, frozen=True, tag_field="type", tag="bearer"):
    """`Authorization: Bearer …`."""

    token_key: str


class ApiKey(msgspec.Struct, frozen=True, tag_field="type", tag="api_key"):
    """A header with a secret value."""

    header: str
    value_key: str


class Hmac(msgspec.Struct, frozen=True, tag_field="type", tag="hmac"):
    """A signature over time and body."""

    secret_key: str


class Invocation(msgspec.Struct, frozen=True):
    """The `invocation` of a registration; every `*_key` names an environment variable of the bridge."""

    url: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    timeout_ms: Annotated[int, msgspec.Meta(gt=0)] | None = None
    headers: dict[str, str] | None = None
    auth: Bearer | ApiKey | Hmac | None = None

    @property
    def timeout_s(self) -> float:
        """How long one call may take, from connecting to the last byte of the reply."""
        return (self.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000


_decoder = msgspec.json.Decoder(Invocation)


def decode_invocation(raw: msgspec.Raw) -> Invocation:
    """Read a registration's `invocation`.

    Raises:
        InvalidInputError: It does not have the documented shape.
    """
    try:
        return _decoder.decode(raw)
    except msgspec.MsgspecError as exc:
        raise InvalidInputError(f"invocation cannot be used: {exc}") from exc


class Secrets:
    """What an invocation's environment variables held when it was registered.

    Raises:
        FunctionFailedError: A variable is not set.
    """

    def __init__(self, auth: Bearer | ApiKey | Hmac | None, environ: Mapping[str, str]) -> None:
        self._header: tuple[str, str] | None = None
        self._hmac_secret: bytes | None = None
        match auth:
            case Bearer():
                self._header = ("Authorization", f"Bearer {_read(environ, auth.token_key, 'token')}")
            case ApiKey():
                self._header = (auth.header, _read(environ, auth.value_key, "api_key"))
            case Hmac():
                self._hmac_secret = _read(environ, auth.secret_key, "secret").encode()
            case None:
                pass

    def headers(self, timestamp: str, body: bytes) -> dict[str, str]:
        """Return the headers that prove who calls."""
        if self._hmac_secret is not None:
            return {"x-iii-Signature": signature(self._hmac_secret, timestamp, body)}
        return dict([self._header]) if self._header else {}


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Sign a body and the time it is sent at."""
    message = f"{timestamp}:{base64.b64encode(body).decode()}"
    return f"sha256={hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()}"


def request_headers(
    function_id: str,
    invocation: Invocation,
    secrets: Secrets,
    *,
    invocation_id: str,
    timestamp: str,
    body: bytes,
) -> list[tuple[str, str]]:
    """Return the headers of one call: ours, then the configured ones, then the proof; later ones replace."""
    given = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "x-iii-Function-Path": function_id,
        "x-iii-Invocation-ID": invocation_id,
        "x-iii-Timestamp": timestamp,
        **(invocation.headers or {}),
        **secrets.headers(timestamp, body),
    }
    by_name = {name.lower(): (name, value) for name, value in given.items()}
    return list(by_name.values())


def _read(environ: Mapping[str, str], name: str, kind: str) -> str:
    value = environ.get(name)
    if value is None:
        raise FunctionFailedError(
            f"{kind}_not_found",
            f"The environment variable {name} is not set; set it for the bridge and register again",
        )
    return value
