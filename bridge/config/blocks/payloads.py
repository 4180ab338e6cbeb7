"""How Temporal is given payloads, and who may have them decoded; ours (docs/payloads.md)."""

import base64
import binascii
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from bridge.config.block import Bind, Block, Name, Port, conflict
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens

__all__ = ["BucketBlock", "CodecBlock", "EncryptionBlock", "PayloadsBlock", "StorageBlock"]

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


class BucketBlock(Block):
    """A bucket on Amazon S3, or on a server that speaks its protocol.

    Attributes:
        bucket: Its name; it must exist.
        region: Where it is; `None` leaves it to AWS's own settings.
        endpoint_url: The server; `None` is Amazon's.
        addressing: Whether the bucket's name is in the host or in the path; `auto` is what the server's
            address asks for.
        access_key_id: Who we are; `None` leaves it to AWS's own chain of credentials.
        secret_access_key: The proof.
        session_token: What temporary keys have besides.
        profile: Which of the profiles in AWS's own files to use.
    """

    bucket: Name
    region: Name | None = None
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$", description="a URL")] | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: SecretStr | None = None
    secret_access_key: Annotated[SecretStr | None, Field(validate_default=True)] = None
    session_token: SecretStr | None = None
    profile: Name | None = None

    @field_validator("bucket")
    @classmethod
    def _can_be_reached(cls, bucket: str) -> str:
        if find_spec("aiobotocore") is None:
            raise conflict(
                "a bucket needs the package aiobotocore, which is not installed",
                "install it with: pip install 'iii-temporal[s3]'",
            )
        return bucket

    @field_validator("secret_access_key")
    @classmethod
    def _has_its_other_half(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (secret is None) != (info.data.get("access_key_id") is None):
            raise conflict(
                "`access_key_id` and `secret_access_key` belong together",
                "give both, or neither to use AWS's own chain of credentials",
            )
        return secret

    @field_validator("session_token", "profile")
    @classmethod
    def _fits_the_keys(cls, given: Any, info: ValidationInfo) -> Any:
        has_keys = info.data.get("access_key_id") is not None
        if given is not None and has_keys == (info.field_name == "profile"):
            raise conflict(
                f"`{info.field_name}` {'does not go with' if has_keys else 'needs'} `access_key_id`",
                "give keys, with a `session_token` if they are temporary, or a `profile`",
            )
        return given


class StorageBlock(Block):
    """Where large payloads are, of which Temporal keeps a reference.

    Attributes:
        directory: What all bridges of a namespace share; made when it is missing.
        s3: A bucket that they share.
        write_to: Where new payloads go when there are both; the other one is read.
        from_bytes: The size from which a payload goes there.
        limit_bytes: The largest payload that may be enqueued.
    """

    directory: Annotated[Path, Field(strict=False)] | None = None
    s3: BucketBlock | None = None
    write_to: Annotated[Literal["directory", "s3"] | None, Field(validate_default=True)] = None
    from_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024)] = 256 * 1024
    limit_bytes: Annotated[int, Field(ge=1024 * 1024, le=1024**3)] = 16 * 1024 * 1024

    @field_validator("write_to")
    @classmethod
    def _is_there(cls, write_to: str | None, info: ValidationInfo) -> str | None:
        if not {"directory", "s3"} <= info.data.keys():
            return write_to  # one of them is wrong already
        given = [place for place in ("directory", "s3") if info.data[place] is not None]
        if not given:
            raise conflict("there is no place for large payloads", "give a `directory`, or a bucket in `s3`")
        if write_to is None and len(given) > 1:
            raise conflict(
                "`directory` and `s3` are both given, and nothing says where new payloads go",
                "set `write_to` to directory or s3; the other one is still read",
            )
        if write_to is not None and write_to not in given:
            raise conflict(f"there is no `{write_to}` to write to", f"give it, or write to: {given[0]}")
        return write_to or given[0]


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
