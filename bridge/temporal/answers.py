"""What Temporal answers to those who ask about queues: in time, or an error of ours with cause and remedy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from bridge.errors import EngineError

__all__ = ["LOOK_S", "answering"]

LOOK_S = 4.5
"""How long a look may take: iii's console waits for 5 s."""


@asynccontextmanager
async def answering(within_s: float = LOOK_S) -> AsyncIterator[None]:
    """Bound the time that the body waits for Temporal, and translate what it fails with.

    Raises:
        EngineError: Temporal did not answer, or not in time.
    """
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as exc:
        raise EngineError(
            f"Temporal did not answer within {within_s:g} s. Try again when it is back; no restart is needed."
        ) from exc
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise EngineError(
            "Temporal did not answer in time, or no bridge runs the dead letter; it may still be decided."
        ) from exc
    except RPCError as exc:
        raise EngineError(f"Temporal did not answer ({exc.status.name}): {exc.message}") from exc
