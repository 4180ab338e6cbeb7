"""What one worker registers, put in force (spec 01 §2.4 to §2.10, §5)."""

import structlog

from bridge.engine.calls import DEFAULT_NAMESPACE, error_body
from bridge.engine.engine import Engine
from bridge.engine.functions import BuiltinHandler, Function, FunctionSchema
from bridge.engine.triggers import Binding, TriggerType, WorkerTriggers
from bridge.engine.workers import Worker
from bridge.errors import BridgeError, FunctionFailedError, FunctionNotFoundError, TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.inbound import (
    RegisterFunction,
    RegisterTrigger,
    RegisterTriggerType,
    TriggerRegistrationResult,
    UnregisterFunction,
    UnregisterTrigger,
    UnregisterTriggerType,
)
from bridge.protocol.outbound import RegistrationRejected, TriggerRejected

__all__ = ["MOST_BYTES", "MOST_REGISTRATIONS", "Registrations"]

log = structlog.get_logger("bridge.session")

MOST_REGISTRATIONS = 20_000
"""How many functions, triggers and trigger types one connection may register together."""

MOST_BYTES = 16 * 1024 * 1024
"""How large their schemas, configurations and metadata may be together: lists of what is on offer hold those
of every worker, and must fit into one message."""


class Registrations:
    """Puts a worker's registrations in force and takes them back.

    Successful ones are not answered, as in iii; refused ones are logged, and answered where the protocol has
    a frame for it.

    Args:
        engine: Where they are in force.
        worker: Who registers.
    """

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._own = WorkerTriggers(worker)
        self._sizes: dict[tuple[str, str], int] = {}
        self._bytes = 0
        self._log = log.bind(worker_id=worker.id)

    def register_function(self, message: RegisterFunction) -> None:
        """Offer a function, of the worker or behind a URL."""
        if payload.is_present(message.observe):
            self._log.warning("observe hooks never run: no observers are served", function_id=message.id)
        formats = (message.request_format, message.response_format, message.metadata, message.invocation)
        if excess := self._excess("function", message.id, *map(len, formats), len(message.description or "")):
            self._log.warning("function ignored", function_id=message.id, reason=excess)
            return
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

    def unregister_function(self, message: UnregisterFunction) -> None:
        """Withdraw a function, if it is this worker's."""
        self._forget("function", message.id)
        self._engine.functions.withdraw(self._worker, message.id, self._worker.namespace)

    def register_trigger(self, message: RegisterTrigger) -> None:
        """Bind a trigger; its owner is told when it is refused."""
        for field, value in (
            ("namespace", message.namespace),
            ("trigger_namespace", message.trigger_namespace),
        ):
            if value is not None and not value.strip():
                text = f"{field} is blank; name a namespace or leave it out"
                self._reject(message, FunctionFailedError("INVALID_NAMESPACE", text))
                return
        if excess := self._excess("trigger", message.id, len(message.config), len(message.metadata)):
            self._reject(message, TriggerRejectedError(excess))
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
            self._forget("trigger", message.id)
            self._reject(message, exc)

    def unregister_trigger(self, message: UnregisterTrigger) -> None:
        """Remove a binding; an unknown one is none."""
        self._forget("trigger", message.id)
        self._engine.triggers.unbind(message.id)

    def register_trigger_type(self, message: RegisterTriggerType) -> None:
        """Provide a trigger type."""
        if message.namespace is not None and not message.namespace.strip():
            self._log.warning("trigger type ignored: blank namespace", trigger_type=message.id)
            return
        formats = (message.trigger_request_format, message.call_request_format)
        if excess := self._excess("trigger type", message.id, *map(len, formats), len(message.description)):
            self._log.warning("trigger type ignored", trigger_type=message.id, reason=excess)
            return
        self._engine.add_trigger_type(
            TriggerType(
                id=message.id,
                description=message.description,
                provider=self._own,
                namespace=message.namespace or self._worker.namespace,
                configuration_schema=message.trigger_request_format,
                request_schema=message.call_request_format,
            )
        )

    def unregister_trigger_type(self, message: UnregisterTriggerType) -> None:
        """Provide a trigger type no more."""
        self._forget("trigger type", message.id)
        namespace = message.namespace or self._worker.namespace
        self._engine.triggers.withdraw(self._own, message.id, namespace)

    def settle_binding(self, message: TriggerRegistrationResult) -> None:
        """Take the worker's answer to a binding of a type it provides."""
        self._engine.triggers.settle(self._own, message.id, message.error)

    def _provider_of(self, message: RegisterFunction) -> Worker | BuiltinHandler:
        """Return who runs a function: the worker, or the bridge for a function behind a URL."""
        if not payload.is_present(message.invocation):
            return self._worker
        if self._engine.http_functions is None:
            raise FunctionNotFoundError("functions behind a URL need iii-http-functions in the configuration")
        return self._engine.http_functions.offer(message)

    def _refuse_function(self, function_id: str, *, owner_worker_id: str) -> None:
        self._forget("function", function_id)
        self._log.warning("function refused", function_id=function_id, owner_worker_id=owner_worker_id)
        self._worker.send(
            RegistrationRejected(
                code="FUNCTION_NAMESPACE_CONFLICT",
                namespace=self._worker.namespace,
                owner_worker_id=owner_worker_id,
                function_id=function_id,
            )
        )

    def _reject(self, message: RegisterTrigger, reason: BridgeError) -> None:
        self._log.warning("trigger rejected", trigger_id=message.id, reason=str(reason))
        self._worker.send(
            TriggerRejected(message.id, message.trigger_type, message.function_id, error_body(reason))
        )

    def _excess(self, kind: str, item_id: str, *sizes_bytes: int) -> str | None:
        """Count a registration, unless it is one too many; returns why it is."""
        size_bytes = len(item_id) + sum(sizes_bytes)
        known_bytes = self._sizes.get((kind, item_id))
        is_too_large = self._bytes - (known_bytes or 0) + size_bytes > MOST_BYTES
        if is_too_large or (known_bytes is None and len(self._sizes) >= MOST_REGISTRATIONS):
            return (
                f"one worker may register {MOST_REGISTRATIONS} functions, triggers and trigger types of "
                f"{MOST_BYTES} bytes together; unregister some, or spread them over several workers"
            )
        self._sizes[kind, item_id] = size_bytes
        self._bytes += size_bytes - (known_bytes or 0)
        return None

    def _forget(self, kind: str, item_id: str) -> None:
        self._bytes -= self._sizes.pop((kind, item_id), 0)
