"""What Temporal keeps of payloads: compressed, encrypted, or both (docs/payloads.md).

The formats are those of Temporal's own samples, so that other codec servers with the same keys can read them.
"""

import os
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from bridge.errors import EngineError
from bridge.temporal.payload_storage import StoreSettings, is_reference, open_storage

__all__ = ["PayloadKeys", "PayloadSettings", "PayloadsCodec", "open_converter"]

_ENCODING = "encoding"
_COMPRESSED = b"binary/zlib"
_ENCRYPTED = b"binary/encrypted"
_KEY_ID = "encryption-key-id"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class PayloadKeys:
    """The keys of payloads.

    Attributes:
        active: The id of the one that encrypts.
        keys: Every one that may decrypt, by id: 16, 24 or 32 bytes.
    """

    active: str
    keys: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PayloadSettings:
    """How Temporal is given payloads.

    Attributes:
        compress_from_bytes: The size from which they are compressed; `None` compresses none.
        encryption: The keys; `None` leaves payloads readable.
        store: Where large ones are, after all of this; `None` gives all to Temporal.
    """

    compress_from_bytes: int | None = None
    encryption: PayloadKeys | None = None
    store: StoreSettings | None = None


class PayloadsCodec(PayloadCodec):
    """Compresses and encrypts, in this order; reads whatever was written with other settings and known keys.

    Args:
        settings: What to do with payloads that are written.
    """

    def __init__(self, settings: PayloadSettings) -> None:
        self._compress_from_bytes = settings.compress_from_bytes
        self._encryption = settings.encryption
        keys = settings.encryption.keys if settings.encryption else {}
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return payloads as Temporal is to keep them; what only says where one is stays readable."""
        return [
            payload if is_reference(payload) else self._encrypt(self._compress(payload))
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return payloads as they were.

        Raises:
            EngineError: The key of one is not known, or somebody has changed it.
        """
        return [_unwrapped(payload, self._readers) for payload in payloads]

    @property
    def _readers(self) -> Mapping[bytes, Callable[[Payload], bytes]]:
        return {_ENCRYPTED: self._decrypt, _COMPRESSED: _decompress}

    def _compress(self, payload: Payload) -> Payload:
        least = self._compress_from_bytes
        if least is None or len(payload.data) < least:
            return payload
        data = zlib.compress(payload.SerializeToString())
        if len(data) >= len(payload.data):
            return payload
        return Payload(metadata={_ENCODING: _COMPRESSED}, data=data)

    def _encrypt(self, payload: Payload) -> Payload:
        if self._encryption is None:
            return payload
        key_id = self._encryption.active
        nonce = os.urandom(_NONCE_BYTES)
        data = self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={_ENCODING: _ENCRYPTED, _KEY_ID: key_id.encode()}, data=nonce + data)

    def _decrypt(self, payload: Payload) -> bytes:
        key_id = payload.metadata.get(_KEY_ID, b"").decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise EngineError(
                f"A payload is encrypted with the key '{key_id}', which this bridge does not have. Add it "
                "to `iii-temporal.payloads.encryption.keys`; a key stays there as long as Temporal keeps "
                "histories that were written with it."
            )
        try:
            return cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as exc:
            raise EngineError(
                f"A payload cannot be decrypted with the key '{key_id}': it was encrypted with another key "
                "of that id, or changed since."
            ) from exc


@asynccontextmanager
async def open_converter(settings: PayloadSettings) -> AsyncIterator[DataConverter]:
    """Give how the bridge writes and reads payloads, until the body ends.

    Encryption includes the texts and stacks of errors, which Temporal would otherwise show.
    """
    async with AsyncExitStack() as closing:
        converter = DataConverter.default
        if settings != PayloadSettings():
            converter = replace(converter, payload_codec=PayloadsCodec(settings))
        if settings.encryption is not None:
            failures = DefaultFailureConverterWithEncodedAttributes
            converter = replace(converter, failure_converter_class=failures)
        if settings.store is not None:
            storage = await closing.enter_async_context(open_storage(settings.store))
            converter = replace(converter, external_storage=storage)
        yield converter


def _unwrapped(payload: Payload, readers: Mapping[bytes, Callable[[Payload], bytes]]) -> Payload:
    while (read := readers.get(payload.metadata.get(_ENCODING, b""))) is not None:
        payload = Payload.FromString(read(payload))
    return payload


def _decompress(payload: Payload) -> bytes:
    try:
        return zlib.decompress(payload.data)
    except zlib.error as exc:
        raise EngineError(f"A payload cannot be decompressed: {exc}") from exc
