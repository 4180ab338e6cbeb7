"""What the functions of state and streams do alike with the store that keeps their entries."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bridge.builtins.update_ops import OpError, UpdateOp, apply_update
from bridge.errors import FunctionFailedError, StorageError
from bridge.storage.port import KeyValueStore, Written

__all__ = ["failures_reported_as", "update_entry"]


async def update_entry(
    store: KeyValueStore, scope: str, key: str, ops: Sequence[UpdateOp], *, dotted_paths: bool
) -> tuple[Written, Sequence[OpError]]:
    """Apply operations to an entry in one atomic step.

    Returns:
        What was replaced by what, and the operations that failed.

    Raises:
        StorageError: The store failed; nothing was written.
        InvalidInputError: A value is nested too deeply, or holds a number beyond the range of a double.

    Cancellation: safe; the update may still happen.
    """
    failed: Sequence[OpError] = ()

    def change(current: bytes | None) -> bytes:
        nonlocal failed
        updated = apply_update(current, ops, dotted_paths=dotted_paths)
        failed = updated.errors
        return updated.new_value

    written = await store.update(scope, key, change)
    return written, failed


@contextmanager
def failures_reported_as(code: str) -> Iterator[None]:
    """Give a failure of the store or broker the code that callers of a function know."""
    try:
        yield
    except StorageError as exc:
        raise FunctionFailedError(code, str(exc)) from exc
