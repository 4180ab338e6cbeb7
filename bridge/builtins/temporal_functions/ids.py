"""Ids of workflows that a retried attempt makes again, so that it finds what the attempt before began."""

import hashlib
import uuid

import msgspec

from bridge.engine.calls import Call, Job

__all__ = ["id_for"]


def id_for(call: Call, workflow: str, data: msgspec.Raw, fresh: str) -> str:
    """Return the id of a workflow that a call starts.

    Args:
        call: Who starts it.
        workflow: What the id begins with.
        data: What the workflow is given.
        fresh: A UUID, for a call that belongs to no durable step.
    """
    job = call.job
    if job is None or job.receipt is None:
        return f"{workflow}/{fresh}"
    return f"{workflow}/{uuid.uuid5(uuid.UUID(job.receipt), _occurrence(job, workflow, data))}"


def _occurrence(job: Job, workflow: str, data: msgspec.Raw) -> str:
    digest = hashlib.sha256(f"workflow\0{workflow}\0".encode() + bytes(data)).digest()
    occurrence = job.started.get(digest, 0)
    job.started[digest] = occurrence + 1
    return f"{job.restarts}/{digest.hex()}/{occurrence}"
