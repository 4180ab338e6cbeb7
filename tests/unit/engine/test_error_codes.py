"""Error codes are a contract with every SDK's users; they never change (spec 01 §4.6)."""

import pytest

from bridge import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("BridgeError", "internal_error"),
        ("FunctionNotFoundError", "function_not_found"),
        ("WorkerGoneError", "invocation_stopped"),
        ("InvocationTimeoutError", "TIMEOUT"),
        ("FunctionFailedError", "invocation_failed"),
        ("InvalidInputError", "deserialization_error"),
        ("TriggerRejectedError", "trigger_registration_failed"),
        ("CapacityError", "payload_too_large"),
        ("BusyError", "too_many_calls"),
        ("EnqueueError", "enqueue_error"),
        ("StorageError", "storage_error"),
        ("EngineError", "internal_error"),
    ],
)
def test_the_code_of_an_error_is_pinned(error, code):
    assert getattr(errors, error).code == code
