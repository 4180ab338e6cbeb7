"""The trigger type `temporal`: functions that are run when workflows have closed (docs/interop.md).

Each subscription has a cursor in a store: the time up to which closes have been found. Visibility tells of
a close late, so every look begins a little before the cursor; a close that is found again is enqueued under
the same receipt, which begins one chain.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

import msgspec
import structlog

from bridge.builtins.temporal_functions.functions import OWNER_NAME
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding, TriggerType
from bridge.engine.workflows import ListWorkflows, Status, Workflows, WorkflowView
from bridge.errors import BridgeError, TriggerRejectedError
from bridge.protocol import payload
from bridge.storage import KeyValueStore

__all__ = ["ClosedWorkflows"]

log = structlog.get_logger("bridge.interop")

_SCOPE = "closed-workflows"
_LOOK_AGAIN_S = 2.0
_OVERLAP_MS = 60_000
"""How late visibility may tell of a close."""
_PAGE = 1000
_IDS = uuid.UUID("0d4f3a52-0c5e-4e0c-8a0f-6d3d0b8f7a11")

SendOnce = Callable[[Call, str, str], Awaitable[None]]
"""Enqueues a call on a queue under a receipt; a second time changes nothing."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class _Config(msgspec.Struct, frozen=True):
    """Which closes run the function, and the named queue on which it runs."""

    workflow: Text
    task_queue: Text | None = None
    namespace: Text | None = None
    status: Status | None = None
    queue: Text = "default"


class _Cursor(msgspec.Struct, frozen=True):
    """From when on closes count, and up to when they have been found; Unix time in milliseconds."""

    began_ms: int
    until_ms: int


_config = msgspec.json.Decoder(_Config)
_cursor = msgspec.json.Decoder(_Cursor)


class _Subscription:
    """A binding in force.

    Attributes:
        key: The same for every binding of the kind, on every bridge.
        sent: When each run near the cursor has closed that was enqueued.
        problem: Why the last look failed, to be logged once.
    """

    def __init__(self, binding: Binding, config: _Config) -> None:
        self.binding = binding
        self.config = config
        what = payload.encode([binding.function_id, binding.namespace, config])
        self.key = hashlib.sha256(bytes(what)).hexdigest()
        self.sent: dict[str, int] = {}
        self.problem: str | None = None


class ClosedWorkflows:
    """Finds closed workflows and enqueues the functions that want to know.

    Args:
        workflows: Finds them.
        store: Keeps the cursors; `None` when the bridge has no store.
        send: Enqueues.
        now_ms: The Unix time.
    """

    def __init__(
        self, workflows: Workflows, store: KeyValueStore | None, send: SendOnce, now_ms: Callable[[], int]
    ) -> None:
        self._workflows = workflows
        self._store = store
        self._send = send
        self._now_ms = now_ms
        self._subscriptions: dict[str, _Subscription] = {}
        self._is_new = asyncio.Event()

    def register(self, engine: Engine) -> None:
        """Provide the trigger type."""
        engine.add_trigger_type(
            TriggerType(
                id="temporal",
                description="Runs a function when a workflow of Temporal has closed.",
                provider=self,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(msgspec.json.schema(_Config)),
            )
        )

    def bind(self, binding: Binding) -> None:
        """Look for closes from now on, or from where an earlier binding of the kind has stopped.

        Raises:
            TriggerRejectedError: The configuration cannot be used, or there is no store.
        """
        if self._store is None:
            raise TriggerRejectedError(
                "The trigger type `temporal` keeps its place in the store of `iii-state`; add that block to "
                "the configuration of the bridge"
            )
        try:
            config = _config.decode(binding.config)
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(f"The configuration of a `temporal` trigger is wrong: {exc}") from exc
        try:
            self._workflows.check_namespace(config.namespace)
        except BridgeError as exc:
            raise TriggerRejectedError(str(exc)) from exc
        self._subscriptions[binding.id] = _Subscription(binding, config)
        self._is_new.set()

    def unbind(self, binding: Binding) -> None:
        """Look no more; the place is kept for the next binding of the kind."""
        self._subscriptions.pop(binding.id, None)

    async def run(self) -> None:
        """Look again and again, and at once for a new subscription.

        Cancellation: safe; what was not enqueued is found by the next run.
        """
        while True:
            self._is_new.clear()
            for subscription in list(self._subscriptions.values()):
                await self._try(subscription)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._is_new.wait()

    async def _try(self, subscription: _Subscription) -> None:
        try:
            await self._look(subscription)
        except BridgeError as exc:
            if str(exc) != subscription.problem:
                subscription.problem = str(exc)
                log.warning(
                    "closed workflows not found, or not enqueued; trying again",
                    function_id=subscription.binding.function_id,
                    workflow=subscription.config.workflow,
                    reason=subscription.problem,
                )
        else:
            subscription.problem = None

    async def _look(self, subscription: _Subscription) -> None:
        cursor = await self._place(subscription.key)
        since_ms = max(cursor.began_ms, cursor.until_ms - _OVERLAP_MS)
        found = await self._closed(subscription.config, since_ms)
        for view in found:
            await self._fire(subscription, view)
        until_ms = max([cursor.until_ms, *subscription.sent.values()])
        if until_ms > cursor.until_ms:
            await self._keep(subscription.key, _Cursor(cursor.began_ms, until_ms))
        subscription.sent = {
            run_id: ended_ms
            for run_id, ended_ms in subscription.sent.items()
            if ended_ms >= until_ms - _OVERLAP_MS
        }

    async def _fire(self, subscription: _Subscription, view: WorkflowView) -> None:
        if view.run_id in subscription.sent:
            return
        binding = subscription.binding
        call = Call(
            function_id=binding.function_id,
            data=payload.encode(view),
            namespace=binding.namespace,
            metadata=binding.metadata,
        )
        receipt = str(uuid.uuid5(_IDS, f"{subscription.key}/{view.run_id}"))
        await self._send(call, subscription.config.queue, receipt)
        subscription.sent[view.run_id] = view.ended_at_ms or 0

    async def _closed(self, config: _Config, since_ms: int) -> list[WorkflowView]:
        found: list[WorkflowView] = []
        cursor: str | None = None
        while True:
            page = await self._workflows.list(
                ListWorkflows(
                    workflow=config.workflow,
                    task_queue=config.task_queue,
                    namespace=config.namespace,
                    status=config.status,
                    closed_after_ms=since_ms,
                    limit=_PAGE,
                    cursor=cursor,
                )
            )
            # A run that goes on in another one is no end, unless it is asked for.
            found += [
                each
                for each in page.workflows
                if each.status != "continued_as_new" or config.status is not None
            ]
            cursor = page.next
            if cursor is None:
                return found

    async def _place(self, key: str) -> _Cursor:
        if self._store is None:
            raise TypeError("there is no subscription without a store")
        entry = await self._store.get(_SCOPE, key)
        if entry is not None:
            return _cursor.decode(entry.value)
        now_ms = self._now_ms()
        await self._keep(key, cursor := _Cursor(now_ms, now_ms))
        return cursor

    async def _keep(self, key: str, cursor: _Cursor) -> None:
        if self._store is not None:
            await self._store.set(_SCOPE, key, bytes(payload.encode(cursor)))
