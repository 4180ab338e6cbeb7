"""Payloads read for people who look at Temporal: decoded, and fetched from where large ones are."""

import json
from collections.abc import Sequence

import structlog
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter, PayloadCodec

from bridge.errors import BridgeError
from bridge.temporal.payload_storage import is_reference

__all__ = ["PayloadReader"]

log = structlog.get_logger("bridge.codec")

_MOST_BYTES = 32 * 1024 * 1024
"""What may be fetched for one request: a page of a history refers to more than anybody reads."""


class PayloadReader:
    """Reads what Temporal keeps.

    Args:
        converter: Knows where large payloads are.
        codec: Decodes the others.
        most_bytes: What is fetched at most for those who ask at once.
    """

    def __init__(self, converter: DataConverter, codec: PayloadCodec, most_bytes: int = _MOST_BYTES) -> None:
        self._converter = converter
        self._codec = codec
        self._most_bytes = most_bytes

    async def read(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return payloads as they were.

        In place of a large one that cannot be had stands why, so that the rest can still be seen.

        Raises:
            EngineError: One that is not kept elsewhere cannot be decoded.

        Cancellation: safe.
        """
        found: list[Payload] = []
        room = self._most_bytes
        for payload in payloads:
            if not (payload.external_payloads or is_reference(payload)):
                found += await self._codec.decode([payload])
                continue
            size_bytes = sum(each.size_bytes for each in payload.external_payloads)
            if size_bytes > room:
                text = f"It has {size_bytes} bytes, and {self._most_bytes} are fetched for one request"
                found.append(_not_shown(payload, text))
                continue
            room -= size_bytes
            found.append(await self._fetched(payload))
        return found

    async def _fetched(self, payload: Payload) -> Payload:
        if self._converter.external_storage is None:
            return _not_shown(payload, "This bridge has no `payloads.storage` to fetch it from")
        try:
            (value,) = await self._converter.decode([payload], [RawValue])
        except (BridgeError, RuntimeError, ValueError) as exc:
            log.warning("large payload not shown", reason=str(exc))
            return _not_shown(payload, str(exc))
        fetched: Payload = value.payload
        return fetched


def _not_shown(payload: Payload, why: str) -> Payload:
    told = {"not_shown": why, "reference": payload.data.decode(errors="replace")}
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(told).encode())
