"""What the bridge gives a handler to keep, so that any bridge knows which job its calls belong to.

The handler's invocation is known to one bridge, and to none when that was killed or has given the attempt up.
The text says all that it takes to go on with the job, and nobody can make it who lacks the key that the
bridges share: whoever could would put messages into other people's chains.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection

import msgspec

from bridge.engine.calls import Job

__all__ = ["JobSeal"]

_MAC_BYTES = 16
_FUNCTION_BYTES = 6
_HOME = "\0"
"""Stands in a workflow id for the home, which is in the id of every chain."""


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What a seal holds, UUIDs as bytes. Append-only: bridges of two versions may read each other's."""

    chain_id: bytes
    home: bytes
    receipt: bytes
    delivery_id: bytes
    function: bytes
    restarts: int
    is_undoing: bool
    is_unwatched: bool
    workflow_id: str


_decoder = msgspec.msgpack.Decoder(_Sealed)


class JobSeal:
    """Seals the jobs of one keeper and opens the seals of other bridges.

    Args:
        key: What the bridges share.
        keeper: Who keeps the jobs, as this bridge calls it.
    """

    def __init__(self, key: bytes, keeper: str = "") -> None:
        self._key = key
        self._keeper = keeper

    def seal(self, job: Job, function_id: str) -> str | None:
        """Return the text for a handler: letters, digits, `-` and `_`, as baggage takes them.

        Args:
            job: What the handler works for; one without a step has no seal.
            function_id: The handler's function, as its worker knows it.
        """
        if job.receipt is None or job.delivery_id is None:
            return None
        sealed = _Sealed(
            chain_id=_packed(job.chain_id),
            home=_packed(job.home),
            receipt=_packed(job.receipt),
            delivery_id=_packed(job.delivery_id),
            function=_digest(function_id),
            restarts=job.restarts,
            is_undoing=job.is_undoing,
            is_unwatched=job.is_unwatched,
            workflow_id=job.workflow_id.replace(job.home, _HOME),
        )
        data = msgspec.msgpack.encode(sealed)
        return base64.urlsafe_b64encode(data + self._mac(data)).decode().rstrip("=")

    def open(self, text: str, offered: Collection[str]) -> Job | None:
        """Return the job of a seal; `None` if it is none, or not for this worker.

        Args:
            text: The seal.
            offered: The functions that the worker which shows it offers. Baggage travels on to other
                programs, and what they enqueue are messages of their own.
        """
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            return None
        data, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(data)):
            return None
        sealed = _decoder.decode(data)
        is_for_it = any(sealed.function == _digest(function_id) for function_id in offered)
        return _job(sealed, self._keeper) if is_for_it else None

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_MAC_BYTES]


def _job(sealed: _Sealed, keeper: str) -> Job:
    chain_id, receipt = _uuid(sealed.chain_id), _uuid(sealed.receipt)
    home = _uuid(sealed.home)
    workflow_id = sealed.workflow_id.replace(_HOME, home)
    return Job(
        chain_id=chain_id,
        home=home,
        workflow_id=workflow_id,
        receipt=receipt,
        delivery_id=_uuid(sealed.delivery_id),
        restarts=sealed.restarts,
        is_undoing=sealed.is_undoing,
        is_unwatched=sealed.is_unwatched,
        keeper=keeper,
        context={"chain_id": chain_id, "workflow_id": workflow_id, "receipt": receipt},
        is_doubtful=True,
    )


def _digest(function_id: str) -> bytes:
    return hashlib.sha256(function_id.encode(errors="replace")).digest()[:_FUNCTION_BYTES]


def _packed(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))


def _uuid(packed: bytes) -> str:
    digits = packed.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
