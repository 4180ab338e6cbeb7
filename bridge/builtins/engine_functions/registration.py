"""`engine::workers::register`: a worker says who it is and where its registrations go (spec 01 §3.2)."""

import unicodedata
from typing import Annotated

import msgspec

from bridge.builtins.engine_functions.offer import offer
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.workers import REGISTER_WORKER, Worker, WorkerInfo
from bridge.errors import FunctionFailedError, InvalidInputError
from bridge.protocol import payload
from bridge.protocol.outbound import RegistrationRejected

__all__ = ["WorkerRegistration"]

_LONGEST_TEXT = 280
_UNPRINTABLE_CATEGORIES = ("Cc", "Zl", "Zp")
_DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Registration(msgspec.Struct, frozen=True):
    """What a worker says about itself."""

    runtime: str | None = None
    version: str | None = None
    name: str | None = None
    description: str | None = None
    os: str | None = None
    pid: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)] | None = None
    isolation: str | None = None
    namespace: str | None = None
    features: list[str] | None = None


class Registered(msgspec.Struct, frozen=True):
    """Whether the worker was accepted."""

    success: bool


_registration = msgspec.json.Decoder(Registration)


class WorkerRegistration:
    """Takes what workers say about themselves.

    Args:
        engine: What keeps the workers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, engine: Engine) -> None:
        """Offer `engine::workers::register`."""
        offer(
            engine,
            REGISTER_WORKER,
            self.take,
            "Says what the calling worker is, and in which namespace it registers.",
            takes=Registration,
            returns=Registered,
        )

    async def take(self, call: Call) -> msgspec.Raw:
        """Take what the calling worker says about itself; what it leaves out keeps its earlier value.

        Raises:
            InvalidInputError: The payload does not fit, or no connected worker made the call.
            FunctionFailedError: The namespace is blank or not for this session; nothing was applied.
        """
        given = decode_input(call, _registration)
        worker = call.caller
        if worker is None or self._engine.workers.get(worker.id) is not worker:
            raise InvalidInputError(f"{call.function_id} must be called by the connected worker it describes")
        if given.namespace is not None and not given.namespace.strip():
            raise FunctionFailedError(
                "INVALID_NAMESPACE", "namespace is blank; name a namespace or leave it out"
            )
        if given.namespace is not None and (refusal := worker.access.refusal_of_namespace(given.namespace)):
            raise refusal
        worker.info = _merged(worker.info, given)
        if self._is_turned_away(worker, given.namespace or worker.namespace):
            return payload.encode(Registered(success=False))
        worker.settle_namespace(given.namespace)
        self._engine.emit("worker_metadata_updated", worker)
        return payload.encode(Registered(success=True))

    def _is_turned_away(self, worker: Worker, namespace: str) -> bool:
        """Refuse a worker whose name is taken (spec 01 §3.6), if its SDK knows the frame and gives up."""
        if self._engine.functions.duplicates != "reject" or not worker.understands_rejection:
            return False
        owner = self._other_holder_of_name(worker, namespace)
        if owner is None:
            return False
        worker.send(
            RegistrationRejected(
                code="WORKER_NAMESPACE_CONFLICT",
                namespace=namespace,
                owner_worker_id=owner.id,
                worker_name=worker.info.name,
            )
        )
        worker.close()
        self._engine.disconnect(worker)
        return True

    def _other_holder_of_name(self, worker: Worker, namespace: str) -> Worker | None:
        if worker.info.name is None:
            return None
        for other in self._engine.workers.values():
            if other is not worker and (other.namespace, other.info.name) == (namespace, worker.info.name):
                return other
        return None


def _merged(known: WorkerInfo, given: Registration) -> WorkerInfo:
    return WorkerInfo(
        runtime=given.runtime or "unknown",
        version=given.version,
        name=_printable(given.name) or known.name,
        description=_printable(given.description) or known.description,
        os=given.os or known.os,
        pid=known.pid if given.pid is None else given.pid,
        isolation=given.isolation or known.isolation,
        features=tuple(given.features or ()),
    )


def _printable(text: str | None) -> str | None:
    """Return the text without what could forge a log line or a terminal, or `None` when nothing is left."""
    if text is None:
        return None
    kept = "".join(
        character
        for character in text
        if unicodedata.category(character) not in _UNPRINTABLE_CATEGORIES
        and character not in _DIRECTION_CONTROLS
    )
    return kept.strip()[:_LONGEST_TEXT].strip() or None
