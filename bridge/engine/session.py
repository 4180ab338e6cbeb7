"""What the frames of one worker connection mean (spec 01 §2 to §4). No I/O: text in, messages out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeGuard

import msgspec
import structlog

from bridge.engine.admission import Admission, Registration
from bridge.engine.attribution import attribute, enclosing_trace
from bridge.engine.calls import DEFAULT_NAMESPACE, Call, Outcome, error_body
from bridge.engine.engine import Engine, Spawn
from bridge.engine.functions import BuiltinHandler, Function, FunctionSchema
from bridge.engine.triggers import Binding, TriggerType, WorkerTriggers
from bridge.engine.workers import Worker
from bridge.errors import (
    BridgeError,
    EnqueueError,
    FunctionFailedError,
    FunctionNotFoundError,
    InvalidInputError,
    RemoteProtocolError,
)
from bridge.protocol import codec, payload
from bridge.protocol.inbound import (
    Enqueue,
    ErrorBody,
    InboundMessage,
    InvocationResult,
    InvocationsObserved,
    InvokeFunction,
    LocalInvocationStats,
    Observe,
    ObserverAck,
    Ping,
    Pong,
    Reattach,
    RegisterFunction,
    RegisterService,
    RegisterTrigger,
    RegisterTriggerType,
    TriggerRegistrationResult,
    Unobserve,
    UnregisterFunction,
    UnregisterTrigger,
    UnregisterTriggerType,
    Void,
)
from bridge.protocol.outbound import (
    CallResult,
    ObserveResult,
    PongReply,
    RegistrationRejected,
    TriggerRejected,
    WorkerRegistered,
)

__all__ = ["REGISTER_WORKER", "WorkerSession"]

REGISTER_WORKER = "engine::workers::register"
"""The function with which a worker says who it is."""

OBSERVE = "observe.v1"
"""The feature at which an SDK says which handler makes a call; observers, its purpose, are not served."""

log = structlog.get_logger("bridge.session")


class WorkerSession:
    """One worker's conversation with the engine.

    Frames take effect strictly in order; calls run concurrently and may be answered in any order. Only
    registrations wait until the worker has said which namespace they belong to, which most SDKs do after
    registering (spec 01 §3.3).

    Args:
        engine: Where calls go.
        worker: The connection's worker.
        spawn: Runs what must wait, in the connection's own task group, so that it ends with the connection.
    """

    def __init__(self, engine: Engine, worker: Worker, spawn: Spawn) -> None:
        self._engine = engine
        self._worker = worker
        self._spawn = spawn
        self._open = True
        self._held: list[Registration | InvokeFunction] | None = []
        self._held_function_ids: set[str] = set()
        worker.settle_namespace = self.settle_namespace
        self._log = log.bind(worker_id=worker.id)
        self._admission = Admission(engine, worker, self._apply) if worker.access.is_restricted else None
        self._handlers: dict[type, Callable[[Any], None]] = {
            InvokeFunction: self._call,
            InvocationResult: self._complete,
            RegisterFunction: self._register_function,
            UnregisterFunction: self._unregister_function,
            RegisterTrigger: self._register_trigger,
            UnregisterTrigger: self._unregister_trigger,
            RegisterTriggerType: self._register_trigger_type,
            UnregisterTriggerType: self._unregister_trigger_type,
            TriggerRegistrationResult: self._settle_binding,
            Reattach: self._reattach,
            Ping: self._pong,
            Pong: _ignore,
            RegisterService: _ignore,
            Observe: self._refuse_observer,
            Unobserve: _ignore,
            ObserverAck: _ignore,
            InvocationsObserved: _ignore,
            LocalInvocationStats: _ignore,
        }

    def open(self) -> None:
        """Greet the worker: the first frame of every connection."""
        features = [OBSERVE] if self._worker.is_asked_for_its_handlers else None
        self._worker.send(WorkerRegistered(self._worker.id, self._worker.reattach_token, features))
        self._engine.connect(self._worker)
        if REGISTER_WORKER not in self._engine.functions:
            self.settle_namespace()  # nobody can say a namespace, so there is nothing to wait for

    def close(self) -> None:
        """Forget the worker; answers to calls it made are dropped."""
        self._open = False
        self._engine.disconnect(self._worker)

    def settle_namespace(self, namespace: str | None = None) -> None:
        """Decide, once, where this worker's registrations go; those that wait take effect in order.

        Args:
            namespace: What the worker declared; `None` when it declared nothing, or took too long.
        """
        if self._held is None:
            if namespace not in (None, self._worker.namespace):
                self._log.warning("namespace ignored: already settled", namespace=namespace)
            return
        held, self._held = self._held, None
        if not self._is_connected:
            return
        self._worker.namespace = namespace or DEFAULT_NAMESPACE
        for message in held:
            self._take(message)

    def receive(self, frame: str | bytes) -> None:
        """Take one frame. A frame that cannot be understood is logged, answered if it can be, and dropped."""
        if not self._is_connected or not frame.strip():
            return
        try:
            message = codec.decode(frame)
        except RemoteProtocolError as exc:
            self._refuse(frame, exc)
            return
        if self._held is not None and self._must_wait(message):
            self._held.append(message)
            return
        self._take(message)

    def _take(self, message: InboundMessage) -> None:
        admission = self._admission
        if admission is not None and (
            isinstance(message, Registration)
            or (isinstance(message, InvokeFunction) and admission.must_wait(message))
        ):
            admission.take(message)
        else:
            self._apply(message)

    def _apply(self, message: InboundMessage) -> None:
        self._handlers[type(message)](message)

    @property
    def _is_connected(self) -> bool:
        """Tell whether the engine still knows the worker: an evicted one may have frames on their way."""
        return self._engine.workers.get(self._worker.id) is self._worker

    def _must_wait(self, message: InboundMessage) -> TypeGuard[Registration | InvokeFunction]:
        """Tell whether a message belongs after the registrations that wait: a call of one's own function."""
        if isinstance(message, RegisterFunction):
            self._held_function_ids |= {message.id, self._worker.access.stored_id(message.id)}
        if isinstance(message, InvokeFunction):
            return message.function_id in self._held_function_ids
        return isinstance(message, Registration)

    def _refuse(self, frame: str | bytes, reason: RemoteProtocolError) -> None:
        self._log.warning("frame dropped", reason=str(reason), size_bytes=len(frame))
        if call := codec.find_undecodable_call(frame):
            error = ErrorBody(InvalidInputError.code, f"The invocation is malformed: {reason}")
            self._worker.send(CallResult(call.invocation_id, call.function_id, error=error))

    def _call(self, message: InvokeFunction) -> None:
        if message.namespace is not None and not message.namespace.strip():
            self._answer(message, Outcome.failed(_blank("namespace")))
            return
        if refusal := self._refusal_of(message):
            self._log.warning("call refused", function_id=message.function_id, reason=str(refusal))
            self._answer(self._with_an_answer(message), Outcome.failed(refusal))
            return
        executing = self._worker.executing
        call = Call(
            function_id=message.function_id,
            data=message.data,
            namespace=message.namespace or DEFAULT_NAMESPACE,
            metadata=message.metadata if payload.is_present(message.metadata) else payload.ABSENT,
            traceparent=message.traceparent or enclosing_trace(executing, baggage=message.baggage),
            baggage=message.baggage,
            job=attribute(
                executing,
                invocation_id=message.caller.invocation_id if message.caller else None,
                baggage=message.baggage,
                traceparent=message.traceparent,
            ),
            caller=self._worker,
        )
        if (middleware_id := self._middleware_of(call)) is not None:
            wanting = self._with_an_answer(message)
            data = _middleware_input(message, call, self._worker.access.rights.context)
            self._engine.start(
                replace(call, function_id=middleware_id, data=data),
                lambda outcome: self._answer(wanting, outcome),
            )
            return
        if isinstance(message.action, Enqueue):
            self._spawn(self._enqueue(message, call, message.action.queue), f"enqueue {call.function_id}")
            return
        self._engine.start(
            self._with_caller(call),
            _ignore if isinstance(message.action, Void) else lambda outcome: self._answer(message, outcome),
        )

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

    def _complete(self, message: InvocationResult) -> None:
        self._engine.complete(self._worker, message)

    def _unregister_function(self, message: UnregisterFunction) -> None:
        self._engine.functions.withdraw(self._worker, message.id, self._worker.namespace)

    def _unregister_trigger(self, message: UnregisterTrigger) -> None:
        self._engine.triggers.unbind(message.id)

    def _unregister_trigger_type(self, message: UnregisterTriggerType) -> None:
        namespace = message.namespace or self._worker.namespace
        self._engine.triggers.withdraw(WorkerTriggers(self._worker), message.id, namespace)

    def _pong(self, _: Ping) -> None:
        self._worker.send(PongReply())

    async def _enqueue(self, message: InvokeFunction, call: Call, queue: str) -> None:
        if self._engine.enqueuer is None:
            outcome = Outcome.failed(EnqueueError("This bridge has no queues."))
        else:
            try:
                receipt = await self._engine.enqueuer.enqueue(call, queue)
                outcome = Outcome(payload.encode({"messageReceiptId": receipt}))
            except BridgeError as exc:
                outcome = Outcome.failed(exc)
        self._answer(message, outcome)

    def _answer(self, message: InvokeFunction, outcome: Outcome) -> None:
        if message.invocation_id is None or not self._open:
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

    def _register_function(self, message: RegisterFunction) -> None:
        if payload.is_present(message.observe):
            self._log.warning("observe hooks never run: no observers are served", function_id=message.id)
        try:
            provider = self._provider_of(message)
        except BridgeError as exc:
            self._log.warning("function ignored", function_id=message.id, reason=str(exc))
            return
        schema = FunctionSchema(
            message.description, message.request_format, message.response_format, message.metadata
        )
        namespace = self._worker.namespace
        if namespace != DEFAULT_NAMESPACE and message.id.startswith("engine::"):
            self._refuse_function(message.id, owner_worker_id="")
            return
        function = Function(message.id, namespace, provider, schema, registrar=self._worker)
        owner = self._engine.functions.offer(function)
        if owner is not None:
            self._refuse_function(message.id, owner_worker_id=owner.id)

    def _refuse_observer(self, message: Observe) -> None:
        reason = "This bridge serves no observers; register a trigger instead."
        self._worker.send(ObserveResult(message.id, "error", ErrorBody("UNSUPPORTED", reason)))

    def _provider_of(self, message: RegisterFunction) -> Worker | BuiltinHandler:
        """Return who runs a function: the worker, or the bridge for a function behind a URL."""
        if not payload.is_present(message.invocation):
            return self._worker
        if self._engine.http_functions is None:
            raise FunctionNotFoundError("functions behind a URL need iii-http-functions in the configuration")
        return self._engine.http_functions.offer(message)

    def _refuse_function(self, function_id: str, *, owner_worker_id: str) -> None:
        self._log.warning("function refused", function_id=function_id, owner_worker_id=owner_worker_id)
        self._worker.send(
            RegistrationRejected(
                code="FUNCTION_NAMESPACE_CONFLICT",
                namespace=self._worker.namespace,
                owner_worker_id=owner_worker_id,
                function_id=function_id,
            )
        )

    def _register_trigger(self, message: RegisterTrigger) -> None:
        for field, value in (
            ("namespace", message.namespace),
            ("trigger_namespace", message.trigger_namespace),
        ):
            if value is not None and not value.strip():
                self._reject(message, _blank(field))
                return
        try:
            self._engine.triggers.bind(
                Binding(
                    id=message.id,
                    trigger_type=message.trigger_type,
                    function_id=message.function_id,
                    config=message.config,
                    metadata=message.metadata,
                    namespace=message.namespace or DEFAULT_NAMESPACE,
                    type_namespace=message.trigger_namespace,
                    owner=self._worker,
                )
            )
        except BridgeError as exc:
            self._reject(message, exc)

    def _reject(self, message: RegisterTrigger, reason: BridgeError) -> None:
        self._log.warning("trigger rejected", trigger_id=message.id, reason=str(reason))
        self._worker.send(
            TriggerRejected(message.id, message.trigger_type, message.function_id, error_body(reason))
        )

    def _register_trigger_type(self, message: RegisterTriggerType) -> None:
        if message.namespace is not None and not message.namespace.strip():
            self._log.warning("trigger type ignored: blank namespace", trigger_type=message.id)
            return
        self._engine.add_trigger_type(
            TriggerType(
                id=message.id,
                description=message.description,
                provider=WorkerTriggers(self._worker),
                namespace=message.namespace or self._worker.namespace,
                configuration_schema=message.trigger_request_format,
                request_schema=message.call_request_format,
            )
        )

    def _settle_binding(self, message: TriggerRegistrationResult) -> None:
        self._engine.triggers.settle(WorkerTriggers(self._worker), message.id, message.error)

    def _reattach(self, message: Reattach) -> None:
        """Evict the connection this one replaces, so that nothing of it lingers (spec 01 §3.7)."""
        previous = self._engine.workers.get(message.previous_worker_id)
        if previous is None or previous is self._worker:
            return
        if message.reattach_token != previous.reattach_token:
            self._log.warning("reattach ignored: wrong token", previous_worker_id=previous.id)
            return
        previous.abort()
        self._engine.disconnect(previous)


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


def _ignore(_: object) -> None:
    """Take no notice: of the answer to a void call, of a frame that asks for nothing."""


def _blank(field: str) -> FunctionFailedError:
    return FunctionFailedError("INVALID_NAMESPACE", f"{field} is blank; name a namespace or leave it out")
