"""What a session may register on a listener with rules, and under which names (spec 05 §5.6)."""

from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from bridge.engine.access import Access
from bridge.engine.calls import DEFAULT_NAMESPACE, Call, Outcome, error_body
from bridge.engine.engine import Engine
from bridge.engine.undoing import KEY as COMPENSATE
from bridge.engine.undoing import Undoing, read_undoing
from bridge.engine.workers import Worker
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.inbound import (
    InvokeFunction,
    RegisterFunction,
    RegisterTrigger,
    RegisterTriggerType,
    UnregisterFunction,
    UnregisterTrigger,
    UnregisterTriggerType,
)
from bridge.protocol.outbound import TriggerRejected
from bridge.protocol.payload import ABSENT, NULL, is_present, with_entry

__all__ = ["Admission", "Registration", "refusal_of_functions_in"]

log = structlog.get_logger("bridge.session")

Registration = (
    RegisterFunction
    | UnregisterFunction
    | RegisterTrigger
    | UnregisterTrigger
    | RegisterTriggerType
    | UnregisterTriggerType
)

_MOST_WAITING = 10_000
"""How many frames of one session may wait for its hooks; the connection of one that sends more is dropped."""


class _FunctionQuestion(msgspec.Struct, frozen=True):
    function_id: str
    description: str | None
    metadata: msgspec.Raw
    namespace: str
    context: msgspec.Raw


class _TypeQuestion(msgspec.Struct, frozen=True):
    trigger_type_id: str
    description: str
    context: msgspec.Raw


class _TriggerQuestion(msgspec.Struct, frozen=True):
    trigger_id: str
    trigger_type: str
    function_id: str
    config: msgspec.Raw
    metadata: msgspec.Raw
    namespace: str
    context: msgspec.Raw


class _FunctionAnswer(msgspec.Struct, frozen=True):
    function_id: str | None = None
    description: str | None = None
    metadata: msgspec.Raw = ABSENT


class _TypeAnswer(msgspec.Struct, frozen=True):
    trigger_type_id: str | None = None
    description: str | None = None


class _TriggerAnswer(msgspec.Struct, frozen=True):
    trigger_id: str | None = None
    trigger_type: str | None = None
    function_id: str | None = None
    config: msgspec.Raw = ABSENT


_function_answer = msgspec.json.Decoder(_FunctionAnswer)
_type_answer = msgspec.json.Decoder(_TypeAnswer)
_trigger_answer = msgspec.json.Decoder(_TriggerAnswer)


class Admission:
    """Decides about the registrations of one session, strictly in order, whatever a hook takes its time for.

    What is not admitted is logged and dropped without an answer, as in iii; only the owner of a trigger
    whose function it may not call is told.

    Args:
        engine: Where the hooks are.
        worker: Whose registrations these are.
        apply: Puts an admitted registration in force, or makes a call that waited for one.
    """

    def __init__(
        self, engine: Engine, worker: Worker, apply: Callable[[Registration | InvokeFunction], None]
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._access = worker.access
        self._apply = apply
        self._waiting: deque[Registration | InvokeFunction] = deque()
        self._waiting_ids: set[str] = set()
        self._is_asking = False
        self._is_advancing = False
        self._stored_function_ids: dict[str, str] = {}
        self._stored_type_ids: dict[str, str] = {}
        self._stored_trigger_ids: dict[str, str] = {}
        self._log = log.bind(worker_id=worker.id)

    def must_wait(self, call: InvokeFunction) -> bool:
        """Tell whether a call belongs after the registrations that wait: a call of one's own function."""
        return call.function_id in self._waiting_ids

    def take(self, message: Registration | InvokeFunction) -> None:
        """Take a registration, or a call that must wait."""
        if len(self._waiting) >= _MOST_WAITING:
            self._log.warning("worker dropped: too many registrations wait for the hooks")
            self._waiting.clear()
            self._worker.abort()
            return
        if isinstance(message, RegisterFunction):
            self._waiting_ids |= {message.id, self._access.stored_id(message.id)}
        self._waiting.append(message)
        self._advance()

    def _advance(self) -> None:
        """Decide as far as no hook must be waited for.

        A hook that nobody offers has answered before `Engine.start` returns: the loop goes on, not deeper.
        """
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._waiting and not self._is_asking:
                self._decide(self._waiting.popleft())
        finally:
            self._is_advancing = False
        if not self._is_asking:
            self._waiting_ids.clear()

    def _decide(self, message: Registration | InvokeFunction) -> None:
        match message:
            case RegisterFunction():
                self._decide_function(message)
            case RegisterTriggerType():
                self._decide_type(message)
            case RegisterTrigger():
                self._decide_trigger(message)
            case UnregisterFunction():
                stored_id = self._stored_function_ids.pop(message.id, message.id)
                self._worker.own_ids.pop(stored_id, None)
                self._apply(msgspec.structs.replace(message, id=stored_id))
            case UnregisterTriggerType():
                stored_id = self._stored_type_ids.pop(message.id, message.id)
                self._apply(msgspec.structs.replace(message, id=stored_id))
            case UnregisterTrigger():
                stored_id = self._stored_trigger_ids.pop(message.id, message.id)
                if self._is_free(stored_id):
                    self._apply(msgspec.structs.replace(message, id=stored_id))
                else:
                    self._drop("trigger", stored_id, "it belongs to somebody else")
            case InvokeFunction():
                self._apply(message)

    def _ask(
        self, hook_id: str | None, question: msgspec.Struct, proceed: Callable[[msgspec.Raw], None]
    ) -> None:
        """Have a hook decide; without one there is nothing to ask.

        Args:
            hook_id: The hook.
            question: What it is given.
            proceed: Called with its answer, an object; raises `msgspec.MsgspecError` if it is malformed.
        """
        if hook_id is None:
            proceed(msgspec.Raw(b"{}"))
            return

        def answered(outcome: Outcome) -> None:
            self._is_asking = False
            if self._engine.workers.get(self._worker.id) is not self._worker:
                self._waiting.clear()
                return
            if outcome.error is not None:
                self._log.warning("registration refused by its hook", reason=outcome.error.message)
            else:
                try:
                    proceed(outcome.result)
                except msgspec.MsgspecError as exc:
                    self._log.warning(
                        "registration refused: its hook returned no such object", reason=str(exc)
                    )
            self._advance()

        self._is_asking = True
        self._engine.start(Call(hook_id, payload.encode(question)), answered)

    def _decide_function(self, message: RegisterFunction) -> None:
        namespace = self._worker.namespace
        if not self._access.rights.allow_function_registration:
            self._drop("function", message.id, "this session may register none")
            return
        if refusal := self._access.refusal_of_namespace(namespace):
            self._drop("function", message.id, str(refusal))
            return
        if _reads_secrets(message):
            self._drop("function", message.id, "its `auth` names variables of the bridge's environment")
            return

        def proceed(answer: msgspec.Raw) -> None:
            changed = _function_answer.decode(answer)
            stored_id = self._access.stored_id(changed.function_id or message.id)
            if self._is_protected(stored_id, namespace):
                self._drop("function", stored_id, "the bridge or the listener itself depends on this id")
                return
            metadata = changed.metadata if is_present(changed.metadata) else message.metadata
            try:
                metadata = self._with_permitted_undoing(metadata, namespace)
            except (FunctionFailedError, msgspec.MsgspecError) as exc:
                self._drop("function", stored_id, f"its metadata's `compensate`: {exc}")
                return
            self._stored_function_ids[message.id] = stored_id
            self._worker.own_ids[stored_id] = message.id
            self._apply(
                msgspec.structs.replace(
                    message,
                    id=stored_id,
                    description=changed.description or message.description,
                    metadata=metadata,
                )
            )

        question = _FunctionQuestion(
            function_id=message.id,
            description=message.description,
            metadata=_or_null(message.metadata),
            namespace=namespace,
            context=self._access.rights.context,
        )
        self._ask(self._access.rules.function_hook_id, question, proceed)

    def _decide_type(self, message: RegisterTriggerType) -> None:
        namespace = message.namespace or self._worker.namespace
        if not self._access.rights.allow_trigger_type_registration:
            self._drop("trigger type", message.id, "this session may register none")
            return
        if refusal := self._access.refusal_of_namespace(namespace):
            self._drop("trigger type", message.id, str(refusal))
            return

        def proceed(answer: msgspec.Raw) -> None:
            changed = _type_answer.decode(answer)
            stored_id = changed.trigger_type_id or message.id
            known = self._engine.triggers.find_type(stored_id, namespace)
            if known is not None and known.owner_name is not None:
                self._drop("trigger type", stored_id, "the bridge itself provides it")
                return
            self._stored_type_ids[message.id] = stored_id
            self._apply(
                msgspec.structs.replace(
                    message, id=stored_id, description=changed.description or message.description
                )
            )

        question = _TypeQuestion(message.id, message.description, self._access.rights.context)
        self._ask(self._access.rules.trigger_type_hook_id, question, proceed)

    def _decide_trigger(self, message: RegisterTrigger) -> None:
        if not self._access.may_bind(message.trigger_type):
            self._drop("trigger", message.id, f"this session may not bind {message.trigger_type}")
            return
        namespace = message.namespace or DEFAULT_NAMESPACE

        def proceed(answer: msgspec.Raw) -> None:
            changed = _trigger_answer.decode(answer)
            admitted = msgspec.structs.replace(
                message,
                id=changed.trigger_id or message.id,
                trigger_type=changed.trigger_type or message.trigger_type,
                function_id=self._access.stored_id(changed.function_id or message.function_id),
                config=changed.config if is_present(changed.config) else message.config,
            )
            if not self._is_free(admitted.id):
                self._drop("trigger", admitted.id, "the id belongs to somebody else's")
                return
            refusal = self._access.refusal_of_binding(
                admitted.function_id,
                namespace,
                self._engine.functions.metadata_of(admitted.function_id, namespace),
            ) or refusal_of_functions_in(admitted.config, namespace, self._access, self._engine)
            if refusal:
                self._drop("trigger", message.id, str(refusal))
                self._worker.send(
                    TriggerRejected(
                        message.id, message.trigger_type, message.function_id, error_body(refusal)
                    )
                )
                return
            self._stored_trigger_ids[message.id] = admitted.id
            self._apply(admitted)

        question = _TriggerQuestion(
            trigger_id=message.id,
            trigger_type=message.trigger_type,
            function_id=message.function_id,
            config=_or_null(message.config),
            metadata=_or_null(message.metadata),
            namespace=namespace,
            context=self._access.rights.context,
        )
        self._ask(self._access.rules.trigger_hook_id, question, proceed)

    def _with_permitted_undoing(self, metadata: msgspec.Raw, namespace: str) -> msgspec.Raw:
        """Return metadata whose compensation the session may have run; a prefix holds for it as well.

        Raises:
            FunctionFailedError: The session may not have it run.
            MsgspecError: It is not understood.
        """
        undoing = read_undoing(metadata)
        if undoing is None:
            return metadata
        stored_id = self._access.stored_id(undoing.function_id)
        if stored_id != undoing.function_id:  # one of the session's own
            return with_entry(metadata, COMPENSATE, Undoing(stored_id, undoing.queue))
        known = self._engine.functions.metadata_of(stored_id, namespace)
        if refusal := self._access.refusal_of_binding(stored_id, namespace, known):
            raise refusal
        return metadata

    def _is_protected(self, function_id: str, namespace: str) -> bool:
        """Tell whether no session may offer a function.

        It would get the calls that are meant for the bridge itself, or decide about sessions.
        """
        if function_id in self._access.rules.guards:
            return True
        known = self._engine.functions.find(function_id, namespace)
        return known is not None and known.worker is None

    def _is_free(self, trigger_id: str) -> bool:
        """Tell whether a session of this listener may bind or unbind under an id.

        Not only the session that bound it: a worker that reconnects comes back with the ids it had.
        """
        binding = self._engine.triggers.find(trigger_id)
        if binding is None:
            return True
        return binding.owner is not None and binding.owner.access.rules is self._access.rules

    def _drop(self, kind: str, item_id: str, reason: str) -> None:
        self._log.warning(f"{kind} not admitted", id=item_id, reason=reason)


class _Named(msgspec.Struct, frozen=True):
    """The functions that the configuration of a trigger can name beside its target."""

    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")
    middleware_function_ids: tuple[str, ...] | None = None


_named = msgspec.json.Decoder(_Named)


def refusal_of_functions_in(
    config: msgspec.Raw, namespace: str, access: Access, engine: Engine
) -> FunctionFailedError | None:
    """Return why a session may not have a trigger call the conditions and middleware it names, if so."""
    if not payload.is_object(config):
        return None
    try:
        named = _named.decode(config)
    except msgspec.MsgspecError:
        return FunctionFailedError(
            "FORBIDDEN", "condition_function_id must be a text and middleware_function_ids a list of texts"
        )
    conditions = (named.condition_function_id, named.condition_path)
    for each in (*conditions, *(named.middleware_function_ids or ())):
        if each is not None:
            metadata = engine.functions.metadata_of(each, namespace)
            if refusal := access.refusal_of_binding(each, namespace, metadata):
                return refusal
    return None


class _Invocation(msgspec.Struct, frozen=True):
    auth: msgspec.Raw = ABSENT


_invocation = msgspec.json.Decoder(_Invocation)


def _reads_secrets(message: RegisterFunction) -> bool:
    """Tell whether a function behind a URL would be sent what the bridge's environment holds (spec 01 §6).

    Whoever chooses both the URL and the variable could read every secret of the process.
    """
    if not is_present(message.invocation):
        return False
    try:
        return is_present(_invocation.decode(message.invocation).auth)
    except msgspec.MsgspecError:
        return True


def _or_null(value: msgspec.Raw) -> msgspec.Raw:
    return value if is_present(value) else NULL
