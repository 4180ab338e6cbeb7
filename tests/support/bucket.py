"""An S3 server that answers over HTTP on a loopback port, and a bucket on it."""

import asyncio
import sysconfig
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session
from botocore.exceptions import ClientError
from temporalio.contrib.aws.s3driver import S3StorageDriver, S3StorageDriverClient

from tests.support.temporal_server import free_port
from tests.support.waiting import eventually

REGION = "eu-central-1"
KEYS = {"access_key_id": "a-key", "secret_access_key": "a-secret"}
_SERVER = Path(sysconfig.get_path("scripts")) / "moto_server"


@dataclass(frozen=True)
class Bucket:
    """A bucket, as its owner sees it."""

    url: str
    name: str
    client: Any

    @property
    def block(self) -> dict[str, Any]:
        """What the bridge is configured with."""
        return {"bucket": self.name, "region": REGION, "endpoint_url": self.url, **KEYS}

    async def keys(self) -> list[str]:
        listed = await self.client.list_objects_v2(Bucket=self.name)
        return [each["Key"] for each in listed.get("Contents", [])]

    async def objects(self) -> dict[str, bytes]:
        found = {}
        for key in await self.keys():
            answer = await self.client.get_object(Bucket=self.name, Key=key)
            async with answer["Body"] as body:
                found[key] = await body.read()
        return found

    async def empty(self) -> None:
        for key in await self.keys():
            await self.client.delete_object(Bucket=self.name, Key=key)

    def driver_of_others(self) -> S3StorageDriver:
        """Return Temporal's own driver with a client of the user's, as its documentation says."""
        return S3StorageDriver(client=_ClientOfOthers(self.client), bucket=self.name)


class _ClientOfOthers(S3StorageDriverClient):
    def __init__(self, client: Any) -> None:
        self._client = client

    async def put_object(self, *, bucket: str, key: str, data: bytes) -> None:
        await self._client.put_object(Bucket=bucket, Key=key, Body=data)

    async def object_exists(self, *, bucket: str, key: str) -> bool:
        try:
            await self._client.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    async def get_object(self, *, bucket: str, key: str) -> bytes:
        answer = await self._client.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            return bytes(await body.read())


@asynccontextmanager
async def bucket_server(port: int | None = None) -> AsyncIterator[str]:
    """Run a server and yield its URL."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        str(_SERVER),
        *("-H", "127.0.0.1", "-p", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def listens() -> bool:
        assert process.returncode is None, "the S3 server has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(listens, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def new_bucket(url: str, name: str | None = None) -> AsyncIterator[Bucket]:
    """Make a bucket on a server."""
    session = get_session()
    async with session.create_client(
        "s3",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret_access_key"],
    ) as client:
        bucket = Bucket(url, name or f"payloads-{uuid.uuid4().hex[:8]}", client)
        place = {"LocationConstraint": REGION}
        await client.create_bucket(Bucket=bucket.name, CreateBucketConfiguration=place)
        yield bucket
