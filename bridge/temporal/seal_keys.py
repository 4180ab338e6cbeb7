"""The key with which bridges seal jobs: made by the first one, and found in Temporal by all others."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta

import structlog
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from bridge.errors import EngineError
from bridge.temporal.connection import TemporalConnection
from workflows.contract import Memo, Tenancy, WorkflowType
from workflows.names import seal_key_id, task_queue

__all__ = ["SealKeys"]

log = structlog.get_logger("bridge.temporal")

_KEY_BYTES = 32
_PAUSE_S = 2.0
_RPC_TIMEOUT = timedelta(seconds=10)


class SealKeys:
    """Where the key is: who can read it can use Temporal, and has no need of it.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    async def key(self) -> bytes:
        """Return the key, however long it takes to get it.

        Cancellation: safe.
        """
        while True:
            try:
                if (key := await self._shared(secrets.token_hex(_KEY_BYTES))) is not None:
                    return key
            except RPCError as exc:
                log.warning("waiting for the seal key in temporal", reason=str(exc))
                await asyncio.sleep(_PAUSE_S)

    async def _shared(self, suggestion: str) -> bytes | None:
        """Return the key that is there, else the suggested one; `None` if the one there cannot be read."""
        tenancy, client = self._tenancy(), self._connection.client
        keeper = await client.start_workflow(
            WorkflowType.SEAL_KEY,
            id=seal_key_id(tenancy),
            task_queue=task_queue(tenancy),
            memo={Memo.KEY: suggestion},
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary="lets every bridge recognise the jobs of the others",
            rpc_timeout=_RPC_TIMEOUT,
        )
        description = await keeper.describe(rpc_timeout=_RPC_TIMEOUT)
        try:
            return bytes.fromhex((await description.memo())[Memo.KEY])
        except (EngineError, KeyError) as exc:  # it was encrypted with a key that the bridges have no longer
            log.warning("seal key cannot be read, so there will be a new one", reason=str(exc))
        unreadable = client.get_workflow_handle(keeper.id, run_id=description.run_id)
        await unreadable.terminate("its memo cannot be read any more", rpc_timeout=_RPC_TIMEOUT)
        return None
