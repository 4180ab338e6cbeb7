"""Large payloads in a directory: written whole, read only if they are what was written."""

import os
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from bridge.errors import EngineError, EnqueueError
from bridge.temporal.payload_directory import DirectoryStore

PAYLOAD = Payload(metadata={"encoding": b"json/plain"}, data=b'"large"')


async def put(store: DirectoryStore, *payloads: Payload) -> list[StorageDriverClaim]:
    return await store.store(StorageDriverStoreContext(), payloads)


async def get(store: DirectoryStore, *claims: StorageDriverClaim) -> list[Payload]:
    return await store.retrieve(StorageDriverRetrieveContext(), claims)


def files_of(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_payloads_come_back_in_their_order(tmp_path: Path) -> None:
    other = Payload(data=b"other")
    claims = await put(DirectoryStore(tmp_path / "new"), PAYLOAD, other)
    assert await get(DirectoryStore(tmp_path / "new"), *reversed(claims)) == [other, PAYLOAD]


async def test_equal_payloads_share_a_file_whose_time_is_that_of_the_last(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await put(store, PAYLOAD)
    (file,) = files_of(tmp_path)
    os.utime(file, (1, 1))
    await put(store, PAYLOAD)
    assert files_of(tmp_path) == [file]
    assert file.stat().st_mtime > 1


async def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    (claim,) = await put(store, PAYLOAD)
    files_of(tmp_path)[0].unlink()
    with pytest.raises(EngineError, match=f"{claim.claim_data['sha256']} cannot be read from {tmp_path}"):
        await get(store, claim)


async def test_a_file_that_somebody_changed_is_not_used(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    (claim,) = await put(store, PAYLOAD)
    files_of(tmp_path)[0].write_bytes(Payload(data=b"forged").SerializeToString())
    with pytest.raises(EngineError, match="has been changed"):
        await get(store, claim)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "/etc/passwd", "", "A" * 64])
async def test_a_reference_does_not_lead_out_of_the_directory(tmp_path: Path, digest: str) -> None:
    with pytest.raises(EngineError, match="has no digest"):
        await get(DirectoryStore(tmp_path), StorageDriverClaim({"sha256": digest}))


async def test_a_directory_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnqueueError, match=r"cannot be written to .*payloads\.storage"):
        await put(DirectoryStore(tmp_path / "file"), PAYLOAD)
    assert files_of(tmp_path) == [tmp_path / "file"]
