"""Which job does a call belong to? The newest Python SDK says it; of others the bridge reads the traces.

The order of the signals is measured (spec 01 §4.7, docs/decisions/observe-v1.md). The rule that decides in
doubt: a call that may belong to two jobs belongs to none, and starts a chain of its own.
"""

from collections.abc import Collection, Mapping

from bridge.engine.calls import Invocation, Job
from bridge.engine.tracing import invocation_in_baggage, seal_in_baggage, trace_id_of
from bridge.protocol.inbound import InvokeFunction

__all__ = ["attribute", "enclosing_trace", "seal_shown_with"]


def attribute(
    executing: Mapping[str, Invocation],
    *,
    baggage: str | None,
    traceparent: str | None,
    invocation_id: str | None = None,
) -> Job | None:
    """Find the job that a worker's handler was executing when it made a call.

    Args:
        executing: What the calling worker executes now, by invocation id.
        invocation_id: The invocation that the worker says the call was made in.
        baggage: The call's baggage.
        traceparent: The call's trace context.
    """
    if invocation_id := invocation_id or invocation_in_baggage(baggage or ""):
        named = executing.get(invocation_id)
        return named.job if named else None
    if traceparent:
        exact = [each for each in executing.values() if each.traceparent == traceparent]
        if exact:
            return _only_job(exact)
        trace_id = trace_id_of(traceparent)
        return _only_job([each for each in executing.values() if trace_id_of(each.traceparent) == trace_id])
    return _only_job(executing.values())


def seal_shown_with(message: InvokeFunction) -> str | None:
    """Return the sealed job that a call's handler was given, if its SDK shows it."""
    parent = message.caller.parent if message.caller else None
    if parent is not None and parent.invocation_id is not None:
        return parent.invocation_id
    return seal_in_baggage(message.baggage) if message.baggage else None


def enclosing_trace(executing: Mapping[str, Invocation], *, baggage: str | None) -> str | None:
    """Find the trace context of the invocation that a call without one was made in; in doubt there is none.

    Args:
        executing: What the calling worker executes now, by invocation id.
        baggage: The call's baggage.
    """
    if baggage and (invocation_id := invocation_in_baggage(baggage)):
        named = executing.get(invocation_id)
        return named.traceparent if named else None
    only = next(iter(executing.values())) if len(executing) == 1 else None
    return only.traceparent if only else None


def _only_job(candidates: Collection[Invocation]) -> Job | None:
    """Return the one job all candidates share; of several in one chain, the chain without a step."""
    jobs = {each.job for each in candidates}
    if len(jobs) == 1:
        return jobs.pop()
    homes = {(job.chain_id, job.home, job.workflow_id) if job else None for job in jobs}
    home = homes.pop() if len(homes) == 1 else None
    if home is None:
        return None
    any_of_them = next(job for job in jobs if job is not None)
    return Job(
        *home,
        restarts=any_of_them.restarts,
        is_undoing=any_of_them.is_undoing,
        is_unwatched=any_of_them.is_unwatched,
        keeper=any_of_them.keeper,
    )
