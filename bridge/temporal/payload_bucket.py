"""Large payloads in a bucket on S3, by Temporal's own driver: SDKs of other languages read the references."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Protocol

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, NoCredentialsError
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.aws.s3driver import S3StorageDriver, S3StorageDriverClient
from temporalio.converter import (
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from bridge.errors import EngineError, EnqueueError
from bridge.temporal.payload_storage import BucketSettings

__all__ = ["BucketStore"]

_NO_LIMIT = 2**63
"""Who makes a payload knows what it may have; here it is late to refuse one."""
_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 20
_TRIES = 3
_YOUNG = timedelta(days=1)
_LONGEST_REASON = 300
_DATA_FILES = ("endpoints", "partitions", "_retry", "sdk-default-configuration")


class BucketStore(S3StorageDriver):
    """Keeps payloads as objects, in the format and under the keys of Temporal's driver.

    Nothing is asked of the server before the first payload, so that a bridge starts without it.

    Args:
        settings: Which bucket.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._objects = _Objects(settings)
        self._name = settings.bucket
        self._upload_timeout_s = settings.upload_timeout_s
        super().__init__(self._objects, settings.bucket, max_payload_size=_NO_LIMIT)

    async def close(self) -> None:
        """Give up the connections to the server."""
        await self._objects.close()

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """Upload payloads.

        Raises:
            EnqueueError: One did not get there in time.

        Cancellation: safe; some may be there.
        """
        try:
            async with asyncio.timeout(self._upload_timeout_s):
                return await super().store(context, payloads)
        except TimeoutError as exc:
            reason = f"it did not take it within {self._upload_timeout_s:g} s"
            raise self._not_written(reason) from exc
        except RuntimeError as exc:
            raise self._not_written(_reason(exc)) from exc

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Download payloads.

        Raises:
            EngineError: One is not there, or not what was written.

        Cancellation: safe.
        """
        try:
            return await super().retrieve(context, claims)
        except (RuntimeError, ValueError, KeyError, DecodeError) as exc:
            where = ", ".join(
                f"{each.claim_data.get('key')} in the bucket {each.claim_data.get('bucket')}"
                for each in claims
            )
            raise EngineError(
                f"The large payload {where} cannot be read: {_reason(exc)}. All bridges of a namespace need "
                "`iii-temporal.payloads.storage` with the same bucket, and its objects as long as Temporal "
                "keeps the histories."
            ) from exc

    def _not_written(self, reason: str) -> EnqueueError:
        return EnqueueError(
            f"A large payload cannot be written to the bucket {self._name}: {reason}. See to the bucket and "
            "the credentials in `iii-temporal.payloads.storage`, and try again."
        )


class _S3(Protocol):
    """What is used of the untyped client."""

    async def put_object(self, **asked: Any) -> Any: ...
    async def head_object(self, **asked: Any) -> Any: ...
    async def get_object(self, **asked: Any) -> Any: ...


class _Objects(S3StorageDriverClient):
    """Objects of a server, which is looked for when the first one is wanted."""

    def __init__(self, settings: BucketSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._client: _S3 | None = None

    async def put_object(self, *, bucket: str, key: str, data: bytes) -> None:
        async with self._connected() as client:
            await client.put_object(Bucket=bucket, Key=key, Body=data)

    async def object_exists(self, *, bucket: str, key: str) -> bool:
        """Tell whether an object need not be written: an old one is, or it would be cleaned up by its age."""
        async with self._connected() as client:
            try:
                head = await client.head_object(Bucket=bucket, Key=key)
            except ClientError as exc:
                # Who may not list a bucket is told 403 of what is not there.
                if _status(exc) in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
                    return False
                raise
        written_at: datetime = head["LastModified"]
        return datetime.now(UTC) - written_at < _YOUNG

    async def get_object(self, *, bucket: str, key: str) -> bytes:
        async with self._connected() as client:
            found = await client.get_object(Bucket=bucket, Key=key)
            async with found["Body"] as body:
                data: bytes = await body.read()
        return data

    async def close(self) -> None:
        async with self._lock:
            self._client = None
            await self._exits.aclose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_S3]:
        try:
            yield await self._open()
        except NoCredentialsError:
            await self.close()  # who gives them out may have been away; they are looked for only once
            raise

    async def _open(self) -> _S3:
        async with self._lock:
            if self._client is None:
                settings = self._settings
                session = AioSession(profile=settings.profile)
                await asyncio.to_thread(_read_ahead, session)
                client: _S3 = await self._exits.enter_async_context(
                    session.create_client(
                        "s3",
                        region_name=settings.region,
                        endpoint_url=settings.endpoint_url,
                        aws_access_key_id=settings.access_key_id,
                        aws_secret_access_key=settings.secret_access_key,
                        aws_session_token=settings.session_token,
                        config=_config(settings),
                    )
                )
                self._client = client
            return self._client


def _config(settings: BucketSettings) -> AioConfig:
    return AioConfig(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        s3={"addressing_style": settings.addressing},
        # A driver compares digests itself; other checksums are what some servers do not know.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _read_ahead(session: AioSession) -> None:
    """Read the files that making a client would otherwise read while everybody waits."""
    loader = session.get_component("data_loader")
    for name in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", name)
    for name in _DATA_FILES:
        loader.load_data(name)


def _status(exc: ClientError) -> int | None:
    status: int | None = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _reason(exc: Exception) -> str:
    """Return why the driver failed: it wraps what the server said."""
    return str(exc.__cause__ or exc)[:_LONGEST_REASON].rstrip(".")
