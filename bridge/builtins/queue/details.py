"""A dead letter as JSON: iii's keys first, then what is ours and only told when asked for (spec 02 §6.2)."""

from typing import Any

from bridge.builtins.queue.ports import Letter, Link

__all__ = ["letter_row"]

_MS_PER_S = 1000


def letter_row(letter: Letter, link: Link | None) -> dict[str, Any]:
    """Return a dead letter as lists show it.

    Args:
        letter: The dead letter.
        link: Returns the Web UI's page of a run; `None` leaves out everything that is ours.
    """
    dead = letter.letter
    row = {
        "id": dead.message.receipt,
        "payload": letter.payload,
        "error": letter.listed_error,
        "failed_at": dead.failed_at_ms // _MS_PER_S,
        "retries": dead.attempts_made,
        "size_bytes": len(letter.payload),
    }
    return row if link is None else row | _details(letter, link)


def _details(letter: Letter, link: Link) -> dict[str, Any]:
    dead, message = letter.letter, letter.letter.message
    return {
        "error": dead.error,
        "code": dead.code,
        "stacktrace": dead.stacktrace,
        "attempts": [
            {
                "number": attempt.number,
                "failed_at_ms": attempt.failed_at_ms,
                "code": attempt.code,
                "error": attempt.error,
            }
            for attempt in dead.attempts
        ],
        "function_id": message.function_id,
        "namespace": message.namespace,
        "queue": message.queue,
        "group": message.group,
        "receipt": message.receipt,
        "chain_id": message.chain_id,
        "parent": message.parent,
        "redrives": message.redrives,
        "traceparent": message.traceparent,
        "enqueued_at_ms": message.enqueued_at_ms,
        "failed_at_ms": dead.failed_at_ms,
        "workflow_id": dead.workflow_id,
        "run_id": dead.run_id,
        "web_url": link(letter.keeper, dead.workflow_id, dead.run_id),
        "dead_letter_id": letter.workflow_id,
        "dead_letter_url": link(letter.keeper, letter.workflow_id, letter.run_id),
    }
