"""`engine::workers::register`: a worker says who it is and where its registrations go (spec 01 §3.2)."""

import unicodedata
from typing import Annotated

import msgspec

from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.workers import Worker, WorkerInfo
from bridge.errors import FunctionFailedError, InvalidInputError
from bridge.protocol import payload
from bridge.protocol.outbound import RegistrationRejected

__all__ = ["register_worker"]

_LONGEST_TEXT = 280
_UNPRINTABLE_CATEGORIES = ("Cc", "Zl", "Zp")
_DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class _Registration(msgspec.Struct, frozen=True):
    runtime: str | None = None
    version: str | None = None
    name: str | None = None
    description: str | None = None
    os: str | None = None
    pid: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)] | None = None
    isolation: str | None = None
    namespace: str | None = None
    features: list[str] | None = None


_registration = msgspec.json.Decoder(_Registration)


def register_worker(engine: Engine, call: Call) -> msgspec.Raw:
    """Take what the calling worker says about itself; what it leaves out keeps its earlier value.

    Raises:
        InvalidInputError: The payload does not fit, or no connected worker made the call.
        FunctionFailedError: The namespace is blank; nothing was applied.
    """
    given = decode_input(call, _registration)
    worker = call.caller
    if worker is None or engine.workers.get(worker.id) is not worker:
        raise InvalidInputError(f"{call.function_id} must be called by the connected worker it describes")
    if given.namespace is not None and not given.namespace.strip():
        raise FunctionFailedError("INVALID_NAMESPACE", "namespace is blank; name a namespace or leave it out")
    namespace = given.namespace or worker.namespace
    worker.info = _merged(worker.info, given)
    owner = _other_holder_of_name(engine, worker, namespace)
    if owner is not None and engine.functions.duplicates == "reject" and worker.understands_rejection:
        _turn_away(engine, worker, namespace, owner)
        return payload.encode({"success": False})
    worker.settle_namespace(given.namespace)
    engine.emit("worker_metadata_updated", worker)
    return payload.encode({"success": True})


def _merged(known: WorkerInfo, given: _Registration) -> WorkerInfo:
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


def _other_holder_of_name(engine: Engine, worker: Worker, namespace: str) -> Worker | None:
    if worker.info.name is None:
        return None
    for other in engine.workers.values():
        if other is not worker and (other.namespace, other.info.name) == (namespace, worker.info.name):
            return other
    return None


def _turn_away(engine: Engine, worker: Worker, namespace: str, owner: Worker) -> None:
    """Refuse a worker whose name is taken (spec 01 §3.6): SDKs that know the frame give up for good."""
    worker.send(
        RegistrationRejected(
            code="WORKER_NAMESPACE_CONFLICT",
            namespace=namespace,
            owner_worker_id=owner.id,
            worker_name=worker.info.name,
        )
    )
    worker.close()
    engine.disconnect(worker)
