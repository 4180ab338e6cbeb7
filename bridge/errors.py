"""Errors of the bridge: one class per wire code, the text says cause and remedy.

```
BridgeError
├── ConfigError                 the configuration cannot be used; the process exits with 2
├── ProtocolError
│   └── RemoteProtocolError     the peer broke the protocol
├── RoutingError
│   ├── FunctionNotFoundError   nobody offers the function now
│   └── WorkerGoneError         the worker left while it was executing
├── InvocationError
│   ├── InvocationTimeoutError  no answer in time
│   └── FunctionFailedError     the function answered with an error: its code, message and stack
├── InvalidInputError           the payload does not fit the built-in function
├── TriggerRejectedError        the trigger's configuration cannot be used
├── CapacityError               a limit was reached: queue full, payload too large
├── BusyError                   too much is in progress, of the caller's or for the worker it calls
├── EnqueueError                Temporal did not take the message; no receipt exists
├── StorageError                the state or stream store failed
└── EngineError                 a foreign failure, wrapped once
```

Codes are a wire contract (spec 01 §4.6) and never renamed; texts may change.
"""

from typing import ClassVar


class BridgeError(Exception):
    """Something the bridge reports to a caller.

    Attributes:
        code: The wire constant callers match on.
        retryable: Whether the same call may succeed later without a change by the caller.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


class ConfigError(BridgeError):
    """The configuration cannot be used; raised at start-up only."""

    code = "config_error"


class ProtocolError(BridgeError):
    """A frame broke the worker protocol."""

    code = "protocol_error"


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow."""


class RoutingError(BridgeError):
    """A call could not reach its function."""

    retryable = True


class FunctionNotFoundError(RoutingError):
    """No connected worker offers the function; one may be restarting."""

    code = "function_not_found"


class WorkerGoneError(RoutingError):
    """The worker disconnected while it was executing the call (spec 01 §3.4)."""

    code = "invocation_stopped"


class InvocationError(BridgeError):
    """The function was reached and did not succeed."""

    retryable = True


class InvocationTimeoutError(InvocationError):
    """The function did not answer in time."""

    code = "TIMEOUT"


class FunctionFailedError(InvocationError):
    """The function answered with an error.

    Attributes:
        failure_code: The code the function's SDK sent, for example `invocation_failed`.
        message: The text of the handler's exception.
        stacktrace: The handler's stack, if its SDK sent one.
    """

    code = "invocation_failed"

    def __init__(self, failure_code: str, message: str, stacktrace: str | None = None) -> None:
        super().__init__(message)
        self.failure_code = failure_code
        self.message = message
        self.stacktrace = stacktrace


class InvalidInputError(BridgeError):
    """The payload of a built-in function does not have the documented shape (spec 03 §0)."""

    code = "deserialization_error"


class TriggerRejectedError(BridgeError):
    """A trigger's configuration cannot be used; its owner is told (spec 01 §5.2)."""

    code = "trigger_registration_failed"


class CapacityError(BridgeError):
    """A limit was reached; the text names the limit and where it is set."""

    code = "payload_too_large"


class BusyError(BridgeError):
    """Too many calls of a worker are in progress in the bridge, or wait for it; the text names the limit."""

    code = "too_many_calls"
    retryable = True


class EnqueueError(BridgeError):
    """The message was not accepted for durable execution, so no receipt exists (spec 02 §2.3)."""

    code = "enqueue_error"
    retryable = True


class StorageError(BridgeError):
    """The store of state or streams failed."""

    code = "storage_error"
    retryable = True


class EngineError(BridgeError):
    """A foreign failure, wrapped once."""

    code = "internal_error"
