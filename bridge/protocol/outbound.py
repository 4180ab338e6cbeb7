"""What the bridge sends to workers (spec 01 §2). Absent fields are omitted, never `null`."""

import msgspec

from bridge.protocol.inbound import ErrorBody
from bridge.protocol.payload import ABSENT

__all__ = [
    "CallFunction",
    "CallResult",
    "CalledBy",
    "HandshakeRefused",
    "ObserveResult",
    "OutboundMessage",
    "PongReply",
    "RegistrationRejected",
    "TriggerBound",
    "TriggerRejected",
    "TriggerUnbound",
    "WorkerRegistered",
]


class _Outbound(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Base of the messages."""


class WorkerRegistered(_Outbound, frozen=True, tag="workerregistered"):
    """The first frame of every connection (spec 01 §2.2)."""

    worker_id: str
    reattach_token: str
    features: list[str] | None = None


class HandshakeRefused(_Outbound, frozen=True, tag="error"):
    """The only frame of a connection that may not be (spec 05 §5.3)."""

    error: ErrorBody


class RegistrationRejected(_Outbound, frozen=True, tag="registrationrejected"):
    """Refuse a function or a worker name (spec 01 §2.3). SDKs before 0.23 do not know this frame."""

    code: str
    namespace: str
    owner_worker_id: str
    worker_name: str | None = None
    function_id: str | None = None


class CalledBy(msgspec.Struct, frozen=True):
    """Who has called a handler. SDKs that know `observe.v1` name it again as the parent of their `caller`.

    Attributes:
        invocation_id: What the bridge wants to be told again, whatever it is.
    """

    worker_id: str
    worker_name: str
    invocation_id: str


class CallFunction(_Outbound, frozen=True, tag="invokefunction"):
    """Call a function of the worker. `data` is always sent: the Rust SDK rejects the frame without it."""

    invocation_id: str
    function_id: str
    data: msgspec.Raw
    traceparent: str | None = None
    baggage: str | None = None
    metadata: msgspec.Raw = ABSENT
    caller: CalledBy | None = None


class CallResult(_Outbound, frozen=True, tag="invocationresult"):
    """The answer to a call the worker made."""

    invocation_id: str
    function_id: str
    result: msgspec.Raw = ABSENT
    error: ErrorBody | None = None
    traceparent: str | None = None
    baggage: str | None = None


class TriggerBound(_Outbound, frozen=True, tag="registertrigger"):
    """Hand a binding to the worker that provides its trigger type (spec 01 §5.2)."""

    id: str
    trigger_type: str
    function_id: str
    config: msgspec.Raw
    metadata: msgspec.Raw = ABSENT
    namespace: str | None = None
    trigger_namespace: str | None = None


class TriggerUnbound(_Outbound, frozen=True, tag="unregistertrigger"):
    """Take a binding back from its provider. The type is always named: the Rust SDK requires it."""

    id: str
    trigger_type: str


class TriggerRejected(_Outbound, frozen=True, tag="triggerregistrationresult"):
    """Tell a binding's owner why it is not in force. Success is never reported (spec 01 §2.10)."""

    id: str
    trigger_type: str
    function_id: str
    error: ErrorBody


class ObserveResult(_Outbound, frozen=True, tag="observeresult"):
    """Answer a worker that wants to observe; without an answer its SDK waits for ever (spec 01 §7.3)."""

    id: str
    state: str
    error: ErrorBody


class PongReply(_Outbound, frozen=True, tag="pong"):
    """Answer a message-level ping."""


OutboundMessage = (
    WorkerRegistered
    | HandshakeRefused
    | RegistrationRejected
    | CallFunction
    | CallResult
    | TriggerBound
    | TriggerUnbound
    | TriggerRejected
    | ObserveResult
    | PongReply
)
