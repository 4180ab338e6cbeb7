"""What the frames of one worker connection mean (spec 01 §2 to §4). No I/O: text in, messages out."""

from collections.abc import Callable
from typing import Any, TypeGuard

import structlog

from bridge.engine.admission import Admission, Registration
from bridge.engine.caller import Caller
from bridge.engine.calls import DEFAULT_NAMESPACE
from bridge.engine.engine import Engine, Spawn
from bridge.engine.registrations import MOST_BYTES, MOST_REGISTRATIONS, Registrations
from bridge.engine.workers import REGISTER_WORKER, Worker
from bridge.errors import InvalidInputError, RemoteProtocolError
from bridge.protocol import codec
from bridge.protocol.inbound import (
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
)
from bridge.protocol.outbound import CallResult, ObserveResult, PongReply, WorkerRegistered

__all__ = ["WorkerSession"]

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
        self._caller = Caller(engine, worker, spawn)
        registrations = Registrations(engine, worker)
        self._held: list[Registration | InvokeFunction] | None = []
        self._held_bytes = 0
        self._held_function_ids: set[str] = set()
        worker.settle_namespace = self.settle_namespace
        self._log = log.bind(worker_id=worker.id)
        self._admission = Admission(engine, worker, self._apply) if worker.access.is_restricted else None
        self._handlers: dict[type, Callable[[Any], None]] = {
            InvokeFunction: self._caller.take,
            InvocationResult: self._complete,
            RegisterFunction: registrations.register_function,
            UnregisterFunction: registrations.unregister_function,
            RegisterTrigger: registrations.register_trigger,
            UnregisterTrigger: registrations.unregister_trigger,
            RegisterTriggerType: registrations.register_trigger_type,
            UnregisterTriggerType: registrations.unregister_trigger_type,
            TriggerRegistrationResult: registrations.settle_binding,
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
        self._caller.close()
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
        if isinstance(message, RegisterFunction) and len(self._worker.asked_to_offer) < MOST_REGISTRATIONS:
            self._worker.asked_to_offer.add(message.id)  # at once: calls need not wait for registrations
        if self._held is not None and self._must_wait(message):
            self._held.append(message)
            self._held_bytes += len(frame)
            if len(self._held) > MOST_REGISTRATIONS or self._held_bytes > MOST_BYTES:
                self.settle_namespace()  # more than it may register: nothing is left to wait for
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

    def _complete(self, message: InvocationResult) -> None:
        self._engine.complete(self._worker, message)

    def _pong(self, _: Ping) -> None:
        self._worker.send(PongReply())

    def _refuse_observer(self, message: Observe) -> None:
        reason = "This bridge serves no observers; register a trigger instead."
        self._worker.send(ObserveResult(message.id, "error", ErrorBody("UNSUPPORTED", reason)))

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


def _ignore(_: object) -> None:
    """Take no notice of a frame that asks for nothing."""
