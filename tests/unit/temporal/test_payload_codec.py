"""What is done to payloads before Temporal gets them, without Temporal (docs/payloads.md)."""

import pytest
from temporalio.api.common.v1 import Payload

from bridge.errors import EngineError
from bridge.temporal.payload_codec import PayloadKeys, PayloadsCodec, PayloadSettings

ONE, TWO = bytes(32), bytes([1]) * 32
LONG = Payload(metadata={"encoding": b"json/plain", "own": b"kept"}, data=b'"' + b"a" * 5000 + b'"')


def codec(active: str = "one", compress_from_bytes: int | None = None, **keys: bytes) -> PayloadsCodec:
    encryption = PayloadKeys(active, keys) if keys else None
    return PayloadsCodec(PayloadSettings(compress_from_bytes, encryption))


@pytest.mark.parametrize(
    "settings",
    [{}, {"one": ONE}, {"compress_from_bytes": 100}, {"compress_from_bytes": 100, "one": ONE}],
)
async def test_what_is_encoded_is_decoded_as_it_was(settings: dict[str, object]) -> None:
    each = codec(**settings)  # type: ignore[arg-type]
    assert await each.decode(await each.encode([LONG])) == [LONG]


async def test_a_payload_is_compressed_only_if_it_is_large_and_becomes_smaller() -> None:
    each = codec(compress_from_bytes=100)
    small, noise = Payload(data=b"x" * 99), Payload(data=bytes(range(256)))
    encoded = await each.encode([LONG, small, noise])
    assert len(encoded[0].data) < 200
    assert encoded[1:] == [small, noise]


async def test_two_encryptions_of_one_payload_differ() -> None:
    first, second = await codec(one=ONE).encode([LONG, LONG])
    assert first.data != second.data
    assert b"aaaa" not in first.data


async def test_every_known_key_decrypts_and_the_active_one_encrypts() -> None:
    old = await codec(one=ONE).encode([LONG])
    rotated = codec("two", one=ONE, two=TWO)
    assert await rotated.decode(old) == [LONG]
    (new,) = await rotated.encode([LONG])
    assert new.metadata["encryption-key-id"] == b"two"
    with pytest.raises(EngineError, match=r"'two'.*keys"):
        await codec(one=ONE).decode([new])


async def test_a_payload_that_was_changed_or_meant_for_another_key_is_refused() -> None:
    (encrypted,) = await codec(one=ONE).encode([LONG])
    with pytest.raises(EngineError, match="cannot be decrypted"):
        await codec(one=TWO).decode([encrypted])
    changed = Payload(metadata=encrypted.metadata, data=encrypted.data[:-1] + b"!")
    with pytest.raises(EngineError, match="cannot be decrypted"):
        await codec(one=ONE).decode([changed])
    broken = Payload(metadata={"encoding": b"binary/zlib"}, data=b"not zlib")
    with pytest.raises(EngineError, match="cannot be decompressed"):
        await codec().decode([broken])


async def test_what_was_written_in_the_clear_stays_readable() -> None:
    assert await codec(one=ONE).decode([LONG]) == [LONG]
