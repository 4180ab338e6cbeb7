"""Where large payloads are beside Temporal, which keeps only a reference (docs/payloads.md)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import ExternalStorageReference
from temporalio.converter import (
    ExternalStorage,
    JSONProtoPayloadConverter,
    StorageDriver,
    StorageDriverClaim,
)

from bridge.temporal.payload_directory import DirectoryStore

__all__ = ["BucketSettings", "StoreSettings", "is_reference", "open_storage", "reference"]

_MESSAGE_TYPE = ExternalStorageReference.DESCRIPTOR.full_name.encode()
_converter = JSONProtoPayloadConverter()


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Which bucket, and how to get in; what is `None` is left to AWS's own settings.

    Attributes:
        endpoint_url: The server.
        addressing: `auto`, `path` or `virtual`.
        upload_timeout_s: How long payloads may take to get there, from the first to the last try.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    addressing: str = "auto"
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    upload_timeout_s: float = 6


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where large payloads are: in a directory, in a bucket, or in both.

    Attributes:
        writes_to: Where new ones go.
        from_bytes: The size from which a payload goes there.
    """

    writes_to: Literal["directory", "s3"]
    from_bytes: int
    directory: Path | None = None
    bucket: BucketSettings | None = None


@asynccontextmanager
async def open_storage(settings: StoreSettings) -> AsyncIterator[ExternalStorage]:
    """Give what the Temporal SDK stores and finds large payloads with, until the body ends."""
    drivers: dict[str, StorageDriver] = {}
    async with AsyncExitStack() as closing:
        if settings.directory is not None:
            drivers["directory"] = DirectoryStore(settings.directory)
        if settings.bucket is not None:
            # Its packages are an extra, and take a moment to be imported.
            from bridge.temporal.payload_bucket import BucketStore  # noqa: PLC0415

            bucket = BucketStore(settings.bucket)
            closing.push_async_callback(bucket.close)
            drivers["s3"] = bucket
        writes_to = drivers[settings.writes_to]
        yield ExternalStorage(
            drivers=list(drivers.values()),
            driver_selector=lambda _, payload: None if is_reference(payload) else writes_to,
            payload_size_threshold=settings.from_bytes,
        )


def is_reference(payload: Payload) -> bool:
    """Tell whether a payload only says where another one is."""
    return payload.metadata.get("messageType") == _MESSAGE_TYPE


def reference(driver: StorageDriver, claim: StorageDriverClaim, size_bytes: int = 0) -> Payload:
    """Return what Temporal keeps of a payload that a driver has stored."""
    said = ExternalStorageReference(driver_name=driver.name(), claim_data=claim.claim_data)
    payload = _converter.to_payload(said)
    if payload is None:
        raise TypeError("a reference is a message of Protocol Buffers")
    payload.external_payloads.add().size_bytes = size_bytes
    return payload
