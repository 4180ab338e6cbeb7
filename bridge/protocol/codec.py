"""Bytes to messages and back (spec 01 §1.5, §1.7)."""

import msgspec

from bridge.errors import RemoteProtocolError
from bridge.protocol.inbound import InboundMessage, Uuid
from bridge.protocol.outbound import OutboundMessage

__all__ = ["TELEMETRY_PREFIXES", "UndecodableCall", "decode", "encode", "find_undecodable_call"]

TELEMETRY_PREFIXES = (b"OTLP", b"MTRC", b"LOGS")
"""What a binary telemetry frame begins with (spec 01 §1.8)."""


class UndecodableCall(msgspec.Struct, frozen=True, tag_field="type", tag="invokefunction"):
    """As much of a broken call as is needed to answer it."""

    invocation_id: Uuid
    function_id: str


_decoder: msgspec.json.Decoder[InboundMessage] = msgspec.json.Decoder(InboundMessage)
_call_decoder = msgspec.json.Decoder(UndecodableCall)
_encoder = msgspec.json.Encoder()


def decode(frame: str | bytes) -> InboundMessage:
    """Decode one frame.

    Raises:
        RemoteProtocolError: The frame is not one JSON object of a known type with the fields of its type.
    """
    try:
        # Payloads stay unparsed, so only this keeps bytes that are not UTF-8 from reaching another worker.
        return _decoder.decode(frame.decode() if isinstance(frame, bytes) else frame)
    except RecursionError as exc:
        raise RemoteProtocolError("the frame is nested too deeply; flatten the payload") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise RemoteProtocolError(str(exc)) from exc


def find_undecodable_call(frame: str | bytes) -> UndecodableCall | None:
    """Return the call in a frame that `decode` refused, if it can be answered at all."""
    try:
        return _call_decoder.decode(frame)
    except (RecursionError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def encode(message: OutboundMessage) -> bytes:
    """Encode one message as the bytes of a text frame."""
    return _encoder.encode(message)
