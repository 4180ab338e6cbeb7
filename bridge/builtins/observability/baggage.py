"""`engine::baggage::*`: the baggage of the call itself (spec 05 §6.1)."""

import msgspec

from bridge.builtins.observability.offer import offer
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.protocol import payload

__all__ = ["register_baggage"]


class _Key(msgspec.Struct, frozen=True):
    key: str


class _Entry(msgspec.Struct, frozen=True):
    key: str
    value: str


_key_decoder = msgspec.json.Decoder(_Key)
_entry_decoder = msgspec.json.Decoder(_Entry)


def register_baggage(engine: Engine) -> None:
    """Offer the functions."""
    offer(engine, "engine::baggage::get", _get, "Reads one entry of the call's baggage")
    offer(engine, "engine::baggage::set", _set, "Has no lasting effect: set baggage in the SDK")
    offer(engine, "engine::baggage::get_all", _get_all, "Reads the call's baggage")


async def _get(call: Call) -> msgspec.Raw:
    return payload.encode({"value": _entries(call).get(decode_input(call, _key_decoder).key)})


async def _set(call: Call) -> msgspec.Raw:
    decode_input(call, _entry_decoder)
    note = "Baggage belongs to one call; set it in the SDK so that it travels with the calls it makes."
    return payload.encode({"success": True, "note": note})


async def _get_all(call: Call) -> msgspec.Raw:
    return payload.encode({"baggage": _entries(call)})


def _entries(call: Call) -> dict[str, str]:
    pairs = (entry.partition(";")[0].partition("=") for entry in (call.baggage or "").split(","))
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip()}
