"""`engine::traces::*`: what happened, as rows, as a tree, in groups (spec 05 §6.4)."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bridge.builtins.observability.offer import offer
from bridge.builtins.observability.spans import SpanRecord, Spans
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["TraceQueries"]

_MILLISECOND_NS = 1_000_000
_TAG_PREFIX = "iii.tag."
_DEEPEST = 200
"""Spans below this level are shown as further roots: clients and encoders nest no deeper."""

Natural = Annotated[int, Meta(ge=0)]


class _ListInput(msgspec.Struct, frozen=True):
    trace_id: str | None = None
    trace_ids: list[str] | None = None
    offset: Natural | None = None
    limit: Natural | None = None
    service_name: str | None = None
    name: str | None = None
    status: str | None = None
    min_duration_ms: float | None = None
    max_duration_ms: float | None = None
    start_time: int | None = None
    end_time: int | None = None
    sort_by: Literal["start_time", "duration", "duration_ms", "service_name", "name"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    attributes: list[tuple[str, str]] | None = None
    exclude_attributes: list[tuple[str, str]] | None = None
    include_internal: bool | None = None
    search_all_spans: bool | None = None

    def wants_trace(self, trace_id: str) -> bool:
        return self.trace_id in (None, trace_id) and (self.trace_ids is None or trace_id in self.trace_ids)

    def wants_row(self, span: SpanRecord) -> bool:
        """Tell whether a span matches what is asked of every row."""
        duration_ms = span.duration_ns / _MILLISECOND_NS
        return (
            (bool(self.include_internal) or not span.is_internal)
            and _contains(span.service_name, self.service_name)
            and _contains(span.status, self.status)
            and (self.min_duration_ms is None or duration_ms >= self.min_duration_ms)
            and (self.max_duration_ms is None or duration_ms <= self.max_duration_ms)
            and (self.start_time is None or span.end_time_unix_nano >= self.start_time * _MILLISECOND_NS)
            and (self.end_time is None or span.start_time_unix_nano <= self.end_time * _MILLISECOND_NS)
            and not any(pair in span.attributes for pair in self.exclude_attributes or ())
        )

    def wants_content(self, spans: Iterable[SpanRecord]) -> bool:
        """Tell whether name and attributes are found: in the one row, or anywhere in a trace."""
        spans = list(spans)
        return any(_contains(each.name, self.name) for each in spans) and all(
            any(pair in each.attributes for each in spans) for pair in self.attributes or ()
        )

    @property
    def sort_key(self) -> Callable[[SpanRecord], Any]:
        match self.sort_by:
            case "duration" | "duration_ms":
                return lambda span: span.duration_ns
            case "service_name":
                return lambda span: span.service_name
            case "name":
                return lambda span: span.name
            case _:
                return lambda span: span.start_time_unix_nano


class _TreeInput(msgspec.Struct, frozen=True):
    trace_id: str


class _GroupInput(msgspec.Struct, frozen=True):
    attribute: str
    since_ms: int | None = None
    limit: Natural | None = None
    include_internal: bool | None = None
    label_attribute: str | None = None


_list_decoder = msgspec.json.Decoder(_ListInput)
_tree_decoder = msgspec.json.Decoder(_TreeInput)
_group_decoder = msgspec.json.Decoder(_GroupInput)


class TraceQueries:
    """Answers what was traced.

    Args:
        spans: What is kept.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        offer(engine, "engine::traces::list", self._list, "Lists traces, or all spans")
        offer(engine, "engine::traces::tree", self._tree, "Shows the spans of one trace as a tree")
        offer(engine, "engine::traces::group_by", self._group_by, "Groups traces by an attribute")
        offer(engine, "engine::traces::clear", self._clear, "Forgets the traces kept")

    async def _list(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _list_decoder)
        traces = self._traces()
        found: list[SpanRecord] = []
        for trace_id, spans in traces.items():
            if asked.wants_trace(trace_id):
                found += _rows(spans, asked)
        found.sort(key=asked.sort_key, reverse=asked.sort_order == "desc")
        offset, limit = asked.offset or 0, 100 if asked.limit is None else asked.limit
        page = [_with_tags(each, traces[each.trace_id]) for each in found[offset : offset + limit]]
        return self._answer(spans=page, total=len(found), offset=offset, limit=limit)

    async def _tree(self, call: Call) -> msgspec.Raw:
        trace_id = decode_input(call, _tree_decoder).trace_id
        return self._answer(roots=_tree_of(self._traces().get(trace_id, [])))

    async def _group_by(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _group_decoder)
        since_ns = (asked.since_ms or 0) * _MILLISECOND_NS
        members: dict[str, list[SpanRecord]] = defaultdict(list)
        for spans in self._traces().values():
            for span in spans:
                if span.start_time_unix_nano >= since_ns and (asked.include_internal or not span.is_internal):
                    for value in {value for key, value in span.attributes if key == asked.attribute}:
                        members[value].append(span)
        groups = [_group(value, spans, asked.label_attribute) for value, spans in members.items()]
        groups.sort(key=lambda group: group["last_seen_ms"], reverse=True)
        return self._answer(groups=groups[: 100 if asked.limit is None else asked.limit])

    async def _clear(self, _: Call) -> msgspec.Raw:
        self._require_memory()
        self._spans.clear()
        return payload.encode({"success": True})

    def _traces(self) -> dict[str, list[SpanRecord]]:
        self._require_memory()
        traces: dict[str, list[SpanRecord]] = defaultdict(list)
        for span in self._spans:
            traces[span.trace_id].append(span)
        return traces

    def _require_memory(self) -> None:
        if not self._spans.are_kept:
            raise FunctionFailedError(
                "memory_exporter_not_enabled",
                "No spans are kept: iii-observability needs `enabled: true` and `exporter: memory` or `both`",
            )

    def _answer(self, **parts: Any) -> msgspec.Raw:
        dropped = self._spans.dropped
        storage = {
            "archive": "disabled",
            "completeness": "partial" if dropped else "complete",
            "known_dropped_spans": dropped,
            "physical_bytes": 0,
            "max_disk_bytes": 0,
            "last_error": None,
        }
        return payload.encode({**parts, "storage": storage})


def _rows(spans: list[SpanRecord], asked: _ListInput) -> list[SpanRecord]:
    """Return a trace's spans that are asked for: its roots, or all of them."""
    if asked.search_all_spans:
        return [each for each in spans if asked.wants_row(each)] if asked.wants_content(spans) else []
    ids = {each.span_id for each in spans}
    return [
        each
        for each in spans
        if each.parent_span_id not in ids and asked.wants_row(each) and asked.wants_content([each])
    ]


def _with_tags(span: SpanRecord, trace: list[SpanRecord]) -> SpanRecord:
    tags = {
        key.removeprefix(_TAG_PREFIX): value
        for each in trace
        for key, value in each.attributes
        if key.startswith(_TAG_PREFIX)
    }
    return msgspec.structs.replace(span, trace_tags=tags) if tags else span


def _tree_of(spans: list[SpanRecord]) -> list[dict[str, Any]]:
    """Nest spans under their parents; one whose parent is not kept is a root, and one in a circle as well."""
    spans = sorted(spans, key=lambda each: each.start_time_unix_nano)
    nodes = {each.span_id: {**msgspec.to_builtins(each), "children": []} for each in spans}
    below: dict[str, list[str]] = defaultdict(list)
    for each in spans:
        below[each.parent_span_id or ""].append(each.span_id)
    roots = [each.span_id for each in spans if each.parent_span_id not in nodes]
    tree: list[dict[str, Any]] = []
    for first in (*roots, *nodes):
        if first in nodes:
            tree += _grow(first, nodes, below)
    return tree


def _grow(first: str, nodes: dict[str, dict[str, Any]], below: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Take a node and all below it out of `nodes` and return it as a tree, or as several if it is deep."""
    trees = [nodes.pop(first)]
    open_nodes = deque([(trees[0], 0)])
    while open_nodes:
        node, depth = open_nodes.popleft()
        for span_id in below[node["span_id"]]:
            child = nodes.pop(span_id, None)
            if child is not None:
                is_too_deep = depth + 1 >= _DEEPEST
                (trees if is_too_deep else node["children"]).append(child)
                open_nodes.append((child, 0 if is_too_deep else depth + 1))
    return trees


def _group(value: str, spans: list[SpanRecord], label_attribute: str | None) -> dict[str, Any]:
    first_ms = min(each.start_time_unix_nano for each in spans) // _MILLISECOND_NS
    last_ms = max(each.end_time_unix_nano for each in spans) // _MILLISECOND_NS
    labels = (text for each in spans for key, text in each.attributes if key == label_attribute)
    return {
        "value": value,
        "label": next(labels, None),
        "trace_ids": list(dict.fromkeys(each.trace_id for each in spans)),
        "span_count": len(spans),
        "first_seen_ms": first_ms,
        "last_seen_ms": last_ms,
        "duration_ms": last_ms - first_ms,
        "error_count": sum(each.status == "error" for each in spans),
    }


def _contains(text: str, needle: str | None) -> bool:
    return needle is None or needle.lower() in text.lower()
