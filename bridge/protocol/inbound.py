"""What workers send (spec 01 §2). Field names are the wire's; an optional field that is `null` is absent."""

from typing import Annotated

import msgspec

from bridge.protocol.payload import ABSENT, NULL

__all__ = [
    "Caller",
    "Enqueue",
    "ErrorBody",
    "InboundMessage",
    "InvocationResult",
    "InvocationsObserved",
    "InvokeFunction",
    "LocalInvocationStats",
    "Observe",
    "ObserverAck",
    "Ping",
    "Pong",
    "Reattach",
    "RegisterFunction",
    "RegisterService",
    "RegisterTrigger",
    "RegisterTriggerType",
    "TriggerRegistrationResult",
    "Unobserve",
    "UnregisterFunction",
    "UnregisterTrigger",
    "UnregisterTriggerType",
    "Void",
]

UUID_PATTERN = "^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"
Uuid = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call failed: the shape of every error on the wire."""

    code: str
    message: str
    stacktrace: str | None = None


class Void(msgspec.Struct, frozen=True, tag_field="type", tag="void"):
    """Run the function; no answer is wanted (spec 01 §4.2)."""


class Enqueue(msgspec.Struct, frozen=True, tag_field="type", tag="enqueue"):
    """Run the function durably, through a named queue (spec 01 §4.4)."""

    queue: str


class CallerParent(msgspec.Struct, frozen=True):
    """Who has called the handler that makes a call: what the server said of it (spec 01 §4.7)."""

    invocation_id: str | None = None


class Caller(msgspec.Struct, frozen=True):
    """The handler that makes a call, as SDKs name it to a server with `observe.v1` (spec 01 §4.7)."""

    invocation_id: str | None = None
    parent: CallerParent | None = None


class _Inbound(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """Base of the messages: the tag is the class name in lower case."""


class RegisterFunction(_Inbound, frozen=True):
    """The worker offers a function (spec 01 §2.4)."""

    id: str
    description: str | None = None
    request_format: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    metadata: msgspec.Raw = ABSENT
    invocation: msgspec.Raw = ABSENT
    observe: msgspec.Raw = ABSENT
    namespace: str | None = None


class UnregisterFunction(_Inbound, frozen=True):
    """The worker withdraws a function (spec 01 §2.5)."""

    id: str
    namespace: str | None = None


class RegisterService(_Inbound, frozen=True):
    """A cosmetic group of functions, sent by SDKs up to 0.11 (spec 01 §2.6)."""

    id: str
    name: str | None = None
    description: str | None = None
    parent_service_id: str | None = None


class RegisterTriggerType(_Inbound, frozen=True):
    """The worker provides a trigger type (spec 01 §2.7)."""

    id: str
    description: str
    trigger_request_format: msgspec.Raw = ABSENT
    call_request_format: msgspec.Raw = ABSENT
    namespace: str | None = None


class UnregisterTriggerType(_Inbound, frozen=True):
    """The worker withdraws a trigger type."""

    id: str
    namespace: str | None = None


class RegisterTrigger(_Inbound, frozen=True):
    """The worker binds one of its functions to a trigger type (spec 01 §2.8)."""

    id: str
    trigger_type: str
    function_id: str
    config: msgspec.Raw = NULL
    metadata: msgspec.Raw = ABSENT
    namespace: str | None = None
    trigger_namespace: str | None = None


class UnregisterTrigger(_Inbound, frozen=True):
    """The worker removes a binding (spec 01 §2.9)."""

    id: str
    trigger_type: str | None = None


class TriggerRegistrationResult(_Inbound, frozen=True):
    """A provider's answer to a binding it was given (spec 01 §2.10)."""

    id: str
    trigger_type: str
    function_id: str
    error: ErrorBody | None = None


class InvokeFunction(_Inbound, frozen=True):
    """The worker calls a function (spec 01 §2.11). `data` may be missing: SDKs omit an empty payload."""

    function_id: str
    data: msgspec.Raw = NULL
    invocation_id: Uuid | None = None
    traceparent: str | None = None
    baggage: str | None = None
    action: Void | Enqueue | None = None
    metadata: msgspec.Raw = ABSENT
    namespace: str | None = None
    caller: Caller | None = None


class InvocationResult(_Inbound, frozen=True):
    """The worker answers a call (spec 01 §2.12). An error wins over a result."""

    invocation_id: Uuid
    function_id: str
    result: msgspec.Raw = ABSENT
    error: ErrorBody | None = None


class Reattach(_Inbound, frozen=True):
    """The first frame of a reconnect: which connection this one replaces (spec 01 §3.7)."""

    previous_worker_id: str
    reattach_token: str | None = None


class Ping(_Inbound, frozen=True):
    """A message-level ping; the answer is `pong`."""


class Pong(_Inbound, frozen=True):
    """The answer to a message-level ping; ignored."""


class Observe(_Inbound, frozen=True):
    """The worker wants to observe a function (spec 01 §7.3)."""

    id: str


class Unobserve(_Inbound, frozen=True):
    """The worker no longer observes a function."""


class ObserverAck(_Inbound, frozen=True):
    """The owner of an observed function answers about an observer."""


class InvocationsObserved(_Inbound, frozen=True):
    """The worker reports observed calls."""


class LocalInvocationStats(_Inbound, frozen=True):
    """The worker reports calls that it kept to itself."""


InboundMessage = (
    RegisterFunction
    | UnregisterFunction
    | RegisterService
    | RegisterTriggerType
    | UnregisterTriggerType
    | RegisterTrigger
    | UnregisterTrigger
    | TriggerRegistrationResult
    | InvokeFunction
    | InvocationResult
    | Reattach
    | Ping
    | Pong
    | Observe
    | Unobserve
    | ObserverAck
    | InvocationsObserved
    | LocalInvocationStats
)
