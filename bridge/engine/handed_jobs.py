"""The jobs that handlers were given: recognised by the seal when the invocation is not known any more."""

from collections import OrderedDict

from bridge.engine.calls import Job
from bridge.engine.job_seal import JobSeal
from bridge.engine.workers import Worker

__all__ = ["HandedJobs"]

_MOST_REMEMBERED = 2000
"""Each takes a kilobyte. Of one that is forgotten the seal says all but how often it has enqueued equal
messages, and its chain knows whether anybody will repeat them."""


class HandedJobs:
    """Seals jobs for handlers, and finds the job of a seal.

    Nothing is sealed before there is a key.
    """

    def __init__(self) -> None:
        self._seals: dict[str, JobSeal] = {}
        self._remembered: OrderedDict[str, Job] = OrderedDict()

    def use_key(self, keeper: str, key: bytes) -> None:
        """Take the key that the bridges share for the jobs of one keeper."""
        self._seals[keeper] = JobSeal(key, keeper)

    def seal(self, job: Job | None, function_id: str) -> str | None:
        """Return what a handler that works for a job is given to keep, if anything.

        Args:
            job: The job.
            function_id: The handler's function, as its worker knows it.
        """
        seal = self._seals.get(job.keeper) if job is not None else None
        if job is None or seal is None:
            return None
        self._remember(job)
        return seal.seal(job, function_id)

    def find(self, text: str, worker: Worker) -> Job | None:
        """Return the job of a seal that a worker shows; `None` if it was not sealed for such a worker."""
        for seal in self._seals.values():
            if (opened := seal.open(text, worker.asked_to_offer)) is not None:
                return self._remember(opened)
        return None

    def _remember(self, job: Job) -> Job:
        """Keep a job among the latest ones; answers the one that is kept of the attempt already."""
        if job.delivery_id is None:
            return job
        kept = self._remembered.setdefault(job.delivery_id, job)
        self._remembered.move_to_end(job.delivery_id)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return kept
