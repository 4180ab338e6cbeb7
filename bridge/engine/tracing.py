"""W3C trace context, as far as the bridge needs it: pass it on, or start one (spec 01 §4.7, §4.8)."""

import re
from collections.abc import Container
from functools import lru_cache
from urllib.parse import quote

__all__ = [
    "BAGGAGE_KEY",
    "SEAL_KEY",
    "baggage_for",
    "baggage_without_tags",
    "continue_trace",
    "invocation_in_baggage",
    "new_traceparent",
    "seal_in_baggage",
    "trace_id_of",
    "valid_traceparent",
]

BAGGAGE_KEY = "iii-temporal.invocation"
"""The baggage entry that leads a nested call back to the invocation it was made in."""

SEAL_KEY = "iii-temporal.job"
"""The baggage entry that leads it back to the job, should its bridge know the invocation no longer."""

_FUNCTION_KEY = "iii.function.id"
"""The baggage entry that names the function which runs."""

_REPLACED_KEYS = frozenset({BAGGAGE_KEY, SEAL_KEY, _FUNCTION_KEY})

_NOT_FOR_DELIVERIES = frozenset({SEAL_KEY, "iii.tag.kind", "iii.tag.display_name", "iii.tag.hidden"})
"""The baggage entries of an enqueuer that say nothing of what it enqueues."""

_BAGGAGE_CHARACTERS = "!#$&'()*+-./:<=>?@[]^_`{|}~"
"""What, beside letters and digits, stands for itself in a baggage value (W3C Baggage §3.3.1.3)."""

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


def baggage_for(function_id: str, invocation_id: str, baggage: str | None, seal: str | None = None) -> str:
    """Return the baggage of a caller for the function that is called (spec 01 §4.8).

    The entries that name the function, the invocation and its job are replaced, never appended: they must be
    those of the innermost call.
    """
    entries = _entries_but(baggage, _REPLACED_KEYS) if baggage else []
    own = [_function_entry(function_id), f"{BAGGAGE_KEY}={invocation_id}"]
    if seal is not None:
        own.append(f"{SEAL_KEY}={seal}")
    return ",".join([*entries, *own])


def baggage_without_tags(baggage: str | None) -> str | None:
    """Return the baggage of an enqueuer as a delivery takes it on (spec 02 §3.1)."""
    return ",".join(_entries_but(baggage, _NOT_FOR_DELIVERIES)) or None if baggage else None


def invocation_in_baggage(baggage: str) -> str | None:
    """Return the invocation id in our baggage entry, if the entry is there."""
    return _value_of(BAGGAGE_KEY, baggage)


def seal_in_baggage(baggage: str) -> str | None:
    """Return the sealed job in our baggage entry, if the entry is there."""
    return _value_of(SEAL_KEY, baggage)


@lru_cache(maxsize=1024)
def _function_entry(function_id: str) -> str:
    text = function_id.encode(errors="replace")
    return f"{_FUNCTION_KEY}={quote(text, safe=_BAGGAGE_CHARACTERS)}"


def _entries_but(baggage: str, keys: Container[str]) -> list[str]:
    return [entry for entry in baggage.split(",") if entry.strip() and _key_of(entry) not in keys]


def _value_of(key: str, baggage: str) -> str | None:
    for entry in baggage.split(","):
        if _key_of(entry) == key:
            return entry.partition("=")[2].partition(";")[0].strip()
    return None


def _key_of(entry: str) -> str:
    return entry.partition("=")[0].strip()
