"""W3C trace context, as far as the bridge needs it: pass it on, or start one (spec 01 §4.7, §4.8)."""

import re

__all__ = [
    "BAGGAGE_KEY",
    "baggage_with_invocation",
    "continue_trace",
    "invocation_in_baggage",
    "new_traceparent",
    "trace_id_of",
    "valid_traceparent",
]

BAGGAGE_KEY = "iii-temporal.invocation"
"""The baggage entry that leads a nested call back to the invocation it was made in."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,200})?")


def trace_id_of(traceparent: str) -> str | None:
    """Return the trace id, or `None` when the text is not a trace context."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    return matched[1] if matched else None


def valid_traceparent(traceparent: str | None) -> str | None:
    """Return the trace context, or `None` when it is none: an invalid one is not passed on."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def new_traceparent(span_source: str, trace_id: str | None = None) -> str:
    """Make a sampled trace context.

    Args:
        span_source: A fresh UUID; its first half becomes the span id, the whole the trace id of a new trace.
        trace_id: The trace to continue.
    """
    digits = span_source.replace("-", "")
    return f"00-{trace_id or digits}-{digits[:16]}-01"


def continue_trace(traceparent: str | None, span_source: str) -> str:
    """Return a new span of a trace, sampled as the span before it; without a trace, the first of a new one.

    Args:
        traceparent: The span before it; an invalid one counts as none.
        span_source: A fresh UUID.
    """
    matched = _TRACEPARENT.fullmatch(traceparent or "")
    if matched is None:
        return new_traceparent(span_source)
    trace_id, _, flags = matched.groups()
    return f"00-{trace_id}-{new_traceparent(span_source)[36:52]}-{flags}"


def baggage_with_invocation(baggage: str | None, invocation_id: str) -> str:
    """Return the baggage with our entry replaced, never appended: it must name the innermost invocation."""
    kept = [entry for entry in (baggage or "").split(",") if entry.strip() and not _is_ours(entry)]
    return ",".join([*kept, f"{BAGGAGE_KEY}={invocation_id}"])


def invocation_in_baggage(baggage: str) -> str | None:
    """Return the invocation id in our baggage entry, if the entry is there."""
    for entry in baggage.split(","):
        if _is_ours(entry):
            return entry.partition("=")[2].partition(";")[0].strip()
    return None


def _is_ours(entry: str) -> bool:
    return entry.partition("=")[0].strip() == BAGGAGE_KEY
