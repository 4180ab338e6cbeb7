"""Large payloads in a directory, of which Temporal keeps only a reference (docs/payloads.md)."""

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from bridge.errors import EngineError, EnqueueError

__all__ = ["DirectoryStore"]

_DIGEST = "sha256"
_DIGEST_TEXT = re.compile(r"[0-9a-f]{64}")


class DirectoryStore(StorageDriver):
    """Keeps each payload in a file named after its digest, so that equal ones are kept once.

    The time of a file is when its payload was last written, so that whoever cleans up can go by age.

    Args:
        directory: Where; it is made when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def name(self) -> str:
        """Return what references call this store; another directory of that name may have the files too."""
        return "iii-temporal.directory"

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """Write payloads that outlive the process.

        Raises:
            EnqueueError: One cannot be written.
        """
        del context
        return [await asyncio.to_thread(self._write, payload.SerializeToString()) for payload in payloads]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Read payloads.

        Raises:
            EngineError: One is not there, or not what was written.
        """
        del context
        return [
            Payload.FromString(await asyncio.to_thread(self._read, claim.claim_data.get(_DIGEST, "")))
            for claim in claims
        ]

    def _file(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest

    def _write(self, data: bytes) -> StorageDriverClaim:
        digest = hashlib.sha256(data).hexdigest()
        file = self._file(digest)
        try:
            try:
                os.utime(file)
            except FileNotFoundError:
                _write_whole(file, data)
        except OSError as exc:
            raise EnqueueError(
                f"A large payload cannot be written to {self._directory}: {exc.strerror}. "
                "See to the directory in `iii-temporal.payloads.storage`, and try again."
            ) from exc
        return StorageDriverClaim({_DIGEST: digest})

    def _read(self, digest: str) -> bytes:
        # Whoever may write to Temporal chooses this text, and it becomes part of a path.
        if _DIGEST_TEXT.fullmatch(digest) is None:
            raise EngineError(f"A reference to a large payload has no digest: '{digest[:80]}'.")
        try:
            data = self._file(digest).read_bytes()
        except OSError as exc:
            raise EngineError(
                f"The large payload {digest} cannot be read from {self._directory}: {exc.strerror}. All "
                "bridges of a namespace need the same directory in `iii-temporal.payloads.storage`, and its "
                "files as long as Temporal keeps the histories."
            ) from exc
        if hashlib.sha256(data).hexdigest() != digest:
            raise EngineError(f"The large payload {digest} in {self._directory} has been changed.")
        return data


def _write_whole(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(data)
            written.flush()
            os.fsync(written.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
