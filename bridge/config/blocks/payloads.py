"""How Temporal is given payloads, and who may have them decoded; ours (docs/payloads.md)."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from bridge.config.block import Bind, Block, Name, Port, conflict
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens

__all__ = ["CodecBlock", "EncryptionBlock", "PayloadsBlock", "StorageBlock"]

_KEY_BYTES = (16, 24, 32)


def _is_a_key(key: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(key.get_secret_value(), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size not in _KEY_BYTES:
        raise PydanticCustomError(
            "key",
            "a key is not 16, 24 or 32 bytes in Base64",
            {"allowed": "for example what `openssl rand -base64 32` prints"},
        )
    return key


class EncryptionBlock(Block):
    """The keys of payloads: AES-GCM.

    Attributes:
        active_key: The id of the key that encrypts.
        keys: Every key that may decrypt, by id: 16, 24 or 32 bytes in Base64.
    """

    keys: Annotated[Mapping[Name, Annotated[SecretStr, AfterValidator(_is_a_key)]], Field(min_length=1)]
    active_key: Name

    @field_validator("active_key")
    @classmethod
    def _is_known(cls, active_key: str, info: ValidationInfo) -> str:
        keys: Any = info.data.get("keys")
        if keys is not None and active_key not in keys:
            raise conflict(
                f"there is no key '{active_key}' among `keys`", f"use one of: {', '.join(sorted(keys))}"
            )
        return active_key


class StorageBlock(Block):
    """Where large payloads are, of which Temporal keeps a reference.

    Attributes:
        directory: What all bridges of a namespace share; made when it is missing.
        from_bytes: The size from which a payload goes there.
        limit_bytes: The largest payload that may be enqueued.
    """

    directory: Annotated[Path, Field(strict=False)]
    from_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024)] = 256 * 1024
    limit_bytes: Annotated[int, Field(ge=1024 * 1024, le=1024**3)] = 16 * 1024 * 1024


class PayloadsBlock(Block):
    """How Temporal is given payloads.

    Attributes:
        compress_from_bytes: The size from which they are compressed; `None` compresses none.
        encryption: Their keys; `None` leaves them readable for everyone who may read the namespace.
        storage: Where large ones are; `None` leaves all to Temporal, and refuses what is too large for it.
    """

    compress_from_bytes: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    encryption: EncryptionBlock | None = None
    storage: StorageBlock | None = None


class CodecBlock(Block):
    """Where Temporal's Web UI and command line have payloads decoded.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        tls: The encryption of the port; `None` is none.
        tokens: Bearer tokens, one of which a client must have.
        allowed_origins: The web pages that may ask: the Web UI's.
    """

    host: Bind = "127.0.0.1"
    port: Port = 9465
    tls: ServerTlsBlock | None = None
    tokens: Tokens = ()
    allowed_origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^https?://[^/\s]+$", description="an origin")], ...],
        Field(strict=False),
    ] = ("http://127.0.0.1:8233", "http://localhost:8233")
