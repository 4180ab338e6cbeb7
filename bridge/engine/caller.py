"""The calls that one worker makes, and their answers (spec 01 §4)."""

import asyncio
from dataclasses import replace

import msgspec
import structlog

from bridge.engine.attribution import attribute, enclosing_trace, seal_shown_with
from bridge.engine.calls import DEFAULT_NAMESPACE, Call, Job, Outcome
from bridge.engine.engine import Engine, Spawn
from bridge.engine.workers import REGISTER_WORKER, Worker
from bridge.errors import BridgeError, BusyError, EnqueueError, FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.inbound import Enqueue, InvokeFunction, Void
from bridge.protocol.outbound import CallResult

__all__ = ["Caller"]

log = structlog.get_logger("bridge.session")

_MESSAGES_AT_ONCE = 256
"""How many messages of one worker are on their way to Temporal at a time; enough for its full throughput."""

_LONGEST_WAIT_S = 20
"""How long a message may wait for its turn: an SDK gives up after 30 s, and it must not come later."""


class Caller:
    """Makes the calls of one worker.

    Calls run concurrently and may be answered in any order.

    Args:
        engine: Where calls go.
        worker: Who makes them.
        spawn: Runs what must wait, in the connection's own task group, so that it ends with the connection.
    """

    def __init__(self, engine: Engine, worker: Worker, spawn: Spawn) -> None:
        self._engine = engine
        self._worker = worker
        self._spawn = spawn
        self._turns = asyncio.Semaphore(_MESSAGES_AT_ONCE)
        self._is_open = True
        self._log = log.bind(worker_id=worker.id)

    def close(self) -> None:
        """Answer no more: the connection is gone."""
        self._is_open = False

    def take(self, message: InvokeFunction) -> None:
        """Make a call, or answer why it is not made."""
        if message.namespace is not None and not message.namespace.strip():
            text = "namespace is blank; name a namespace or leave it out"
            self._answer(message, Outcome.failed(FunctionFailedError("INVALID_NAMESPACE", text)))
            return
        if refusal := self._refusal_of(message):
            self._log.warning("call refused", function_id=message.function_id, reason=str(refusal))
            self._answer(self._with_an_answer(message), Outcome.failed(refusal))
            return
        if self._worker.backlog.is_full and (excess := self._excess_of(message)):
            if not isinstance(message.action, Void):
                self._answer(message, Outcome.failed(excess))
            return
        self._make(message)

    def _make(self, message: InvokeFunction) -> None:
        executing = self._worker.executing
        call = Call(
            function_id=message.function_id,
            data=message.data,
            namespace=message.namespace or DEFAULT_NAMESPACE,
            metadata=message.metadata if payload.is_present(message.metadata) else payload.ABSENT,
            traceparent=message.traceparent or enclosing_trace(executing, baggage=message.baggage),
            baggage=message.baggage,
            job=self._job_of(message),
            caller=self._worker,
        )
        if (middleware_id := self._middleware_of(call)) is not None:
            wanting = _without_payload(self._with_an_answer(message))
            data = _middleware_input(message, call, self._worker.access.rights.context)
            self._engine.start(
                replace(call, function_id=middleware_id, data=data),
                lambda outcome: self._answer(wanting, outcome),
            )
        elif isinstance(message.action, Enqueue):
            self._worker.backlog.begin(call.payload_bytes)
            self._spawn(self._enqueue(message, call, message.action.queue), f"enqueue {call.function_id}")
        elif isinstance(message.action, Void):
            self._engine.start(self._with_caller(call), _ignore)
        else:
            asked = _without_payload(message)
            self._engine.start(self._with_caller(call), lambda outcome: self._answer(asked, outcome))

    def _job_of(self, message: InvokeFunction) -> Job | None:
        """Find the job that the call's handler works for, even if its attempt has been given up since."""
        job = attribute(
            self._worker.executing,
            invocation_id=message.caller.invocation_id if message.caller else None,
            baggage=message.baggage,
            traceparent=message.traceparent,
        )
        if job is None and (seal := seal_shown_with(message)):
            job = self._engine.handed_jobs.find(seal, self._worker)
        return job

    def _refusal_of(self, message: InvokeFunction) -> FunctionFailedError | None:
        """Return why the session may not make a call, if so (spec 05 §5.4)."""
        access = self._worker.access
        if not access.is_restricted:
            return None
        namespace = message.namespace or DEFAULT_NAMESPACE
        metadata = self._engine.functions.metadata_of(message.function_id, namespace)
        refusal = access.refusal_of_call(message.function_id, namespace, metadata)
        if refusal is None and isinstance(message.action, Enqueue):
            refusal = access.refusal_of_indirect_call(message.function_id)
        return refusal

    def _excess_of(self, message: InvokeFunction) -> BridgeError | None:
        """Return why a call is refused that would add to a full backlog, as a call of a worker does not."""
        text = self._worker.backlog.reason
        if isinstance(message.action, Enqueue):
            return EnqueueError(text)
        if message.function_id == REGISTER_WORKER:  # without it the connection has no name and no namespace
            return None
        function = self._engine.functions.find(message.function_id, message.namespace or DEFAULT_NAMESPACE)
        is_ours = function is not None and not isinstance(function.provider, Worker)
        return BusyError(text) if is_ours else None

    def _middleware_of(self, call: Call) -> str | None:
        """Return what is called instead, if anything: the engine's own functions are called as they are."""
        middleware_id = self._worker.access.rules.middleware_function_id
        if middleware_id is None or not call.function_id.startswith("engine::"):
            return middleware_id
        function = self._engine.functions.find(call.function_id, call.namespace)
        return None if function is None or function.worker is None else middleware_id

    def _with_an_answer(self, message: InvokeFunction) -> InvokeFunction:
        """Return the call as one that is answered, though its caller does not ask (spec 05 §5.4-5.5)."""
        return msgspec.structs.replace(message, invocation_id=message.invocation_id or self._engine.new_id())

    def _with_caller(self, call: Call) -> Call:
        """Add the caller to an object payload (spec 01 §4.3)."""
        if not payload.is_object(call.data):
            return call
        return replace(call, data=payload.with_entry(call.data, "_caller_worker_id", self._worker.id))

    async def _enqueue(self, message: InvokeFunction, call: Call, queue: str) -> None:
        try:
            outcome = Outcome(payload.encode({"messageReceiptId": await self._receipt(call, queue)}))
        except BridgeError as exc:
            outcome = Outcome.failed(exc)
        finally:
            self._worker.backlog.end(call.payload_bytes)
        self._answer(message, outcome)

    async def _receipt(self, call: Call, queue: str) -> str:
        if self._engine.enqueuer is None:
            raise EnqueueError("This bridge has no queues.")
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S) as waiting, self._turns:
                waiting.reschedule(None)
                return await self._engine.enqueuer.enqueue(call, queue)
        except TimeoutError as exc:
            raise EnqueueError(
                f"{_MESSAGES_AT_ONCE} messages of this worker are on their way to Temporal, and this one had "
                f"no turn within {_LONGEST_WAIT_S} s; it was not sent. Await receipts before enqueueing more."
            ) from exc

    def _answer(self, message: InvokeFunction, outcome: Outcome) -> None:
        if message.invocation_id is None or not self._is_open:
            return
        error = outcome.error
        texts = (error.code, error.message, error.stacktrace) if error else ()
        if too_large := self._worker.refusal_of(len(outcome.result), *texts):
            outcome = Outcome.failed(too_large)
        self._worker.send(
            CallResult(
                invocation_id=message.invocation_id,
                function_id=message.function_id,
                result=outcome.result,
                error=outcome.error,
                traceparent=message.traceparent,
                baggage=message.baggage,
            )
        )


class _MiddlewareInput(msgspec.Struct, frozen=True):
    """What a middleware is told of a call (spec 05 §5.5)."""

    function_id: str
    payload: msgspec.Raw
    action: Void | Enqueue | None
    context: msgspec.Raw
    namespace: str


def _middleware_input(message: InvokeFunction, call: Call, context: msgspec.Raw) -> msgspec.Raw:
    return payload.encode(
        _MiddlewareInput(call.function_id, call.data, message.action, context, call.namespace)
    )


def _without_payload(message: InvokeFunction) -> InvokeFunction:
    """Return what the answer to a call needs: the payload would stay in memory until the function ends."""
    return msgspec.structs.replace(message, data=payload.NULL, metadata=payload.ABSENT)


def _ignore(_: Outcome) -> None:
    """Take no notice of how a void call ended."""
