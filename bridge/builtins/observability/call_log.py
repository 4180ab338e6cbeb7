"""Lines of the bridge's log about calls and attempts: who, where, how long, and never what."""

import logging
from collections.abc import Callable
from typing import Any

import structlog

from bridge.engine.calls import Outcome
from bridge.engine.observation import BROKEN_OFF, POSTPONED, CallStart, DeliveryStart, Observer, OnEnd
from bridge.protocol.inbound import ErrorBody

__all__ = ["CallLog"]

_NAME = "bridge.calls"
_MILLISECONDS = 1000

log = structlog.get_logger(_NAME)


class CallLog(Observer):
    """Writes a line when a call or an attempt has ended: on level debug, failed attempts as warnings.

    A line holds ids and times. Payloads are never in it; error texts are those of the handlers.

    Args:
        clock_s: A clock that never goes back.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._attempts: dict[str, dict[str, Any]] = {}

    def call_started(self, start: CallStart) -> Callable[[Outcome], None] | None:
        """Log a call when it ends, if such lines are wanted at all."""
        # An attempt learns who runs it from its call, which has the same trace context.
        if (attempt := self._attempts.get(start.call.traceparent or "")) is not None and start.worker:
            attempt["worker_id"] = start.worker.id
        if not _is_wanted(logging.DEBUG):
            return None
        call, began_s = start.call, self._clock_s()

        def end(outcome: Outcome) -> None:
            log.debug(
                "call ended",
                function_id=call.function_id,
                namespace=call.namespace,
                worker_id=start.worker.id if start.worker else None,
                chain_id=call.job.chain_id if call.job else None,
                step=call.job.receipt if call.job else None,
                duration_ms=self._milliseconds_since(began_s),
                code=outcome.error.code if outcome.error else None,
            )

        return end

    def delivery_started(self, start: DeliveryStart) -> OnEnd | None:
        """Log an attempt when it ends."""
        if not _is_wanted(logging.WARNING):
            return None
        began_s = self._clock_s()
        about: dict[str, Any] = {
            "function_id": start.function_id,
            "queue": start.queue,
            "chain_id": start.chain_id,
            "step": start.receipt,
            "workflow_id": start.workflow_id,
            "attempt": start.attempt,
            "max_attempts": start.max_attempts,
            "worker_id": None,
        }
        self._attempts[start.traceparent] = about

        def end(error: ErrorBody | None) -> None:
            self._attempts.pop(start.traceparent, None)
            about["duration_ms"] = self._milliseconds_since(began_s)
            if error is None:
                log.debug("attempt succeeded", **about)
            elif error.code == POSTPONED:
                log.debug("attempt postponed", reason=error.message, **about)
            elif error.code == BROKEN_OFF:  # whoever broke it off says why
                log.debug("attempt broken off", **about)
            else:
                log.warning("attempt failed", code=error.code, error=error.message, **about)

        return end

    def _milliseconds_since(self, began_s: float) -> float:
        return round((self._clock_s() - began_s) * _MILLISECONDS, 3)


def _is_wanted(level: int) -> bool:
    return logging.getLogger(_NAME).isEnabledFor(level)
