"""Logs: taken from functions and from SDKs, kept, printed, listed (spec 05 §6.1, §6.2)."""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from bridge.builtins.observability import otlp
from bridge.builtins.observability.offer import offer
from bridge.builtins.observability.sampling import LogSampler
from bridge.builtins.observability.settings import ObservabilitySettings
from bridge.builtins.observability.store import BoundedStore
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.protocol import payload

__all__ = ["ExportLogs", "LogEntry", "Logs"]

printed = structlog.get_logger("bridge.logs")

_SCOPE_NAME = "iii"
_MILLISECOND_NS = 1_000_000
_SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17}
_SEVERITY_STEP = 4

ExportLogs = Callable[[otlp.ResourceLogs, int], None]
"""Sends logs of one sender to a collector; the number says how many they are."""


class LogEntry(msgspec.Struct, frozen=True):
    """One log, as lists and triggers show it; no key is ever left out."""

    timestamp_unix_nano: int
    observed_timestamp_unix_nano: int
    severity_number: int
    severity_text: str
    body: str
    attributes: dict[str, Any]
    trace_id: str | None
    span_id: str | None
    resource: dict[str, Any]
    service_name: str
    instrumentation_scope_name: str | None
    instrumentation_scope_version: str | None


class _LogInput(msgspec.Struct, frozen=True):
    message: str
    data: Any = None
    trace_id: str | None = None
    span_id: str | None = None
    service_name: str | None = None


class _Query(msgspec.Struct, frozen=True):
    """Which logs to list; it is part of the answer."""

    trace_id: str | None = None
    span_id: str | None = None
    severity_min: int | None = None
    severity_text: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    offset: int | None = None
    limit: int | None = None

    def matches(self, entry: LogEntry) -> bool:
        at_ms = entry.timestamp_unix_nano // _MILLISECOND_NS
        return (
            self.trace_id in (None, entry.trace_id)
            and self.span_id in (None, entry.span_id)
            and (self.severity_min is None or entry.severity_number >= self.severity_min)
            and (self.severity_text is None or entry.severity_text.lower() == self.severity_text.lower())
            and (self.start_time is None or at_ms >= self.start_time)
            and (self.end_time is None or at_ms <= self.end_time)
        )


_input_decoder = msgspec.json.Decoder(_LogInput)
_query_decoder = msgspec.json.Decoder(_Query)


class Logs:
    """Takes logs from everywhere and shows them.

    Args:
        settings: What is kept.
        now_ns: Unix time.
        export: Sends logs to a collector; `None` when there is none.

    Attributes:
        on_log: Called with every log that is kept.
    """

    def __init__(
        self, settings: ObservabilitySettings, now_ns: Callable[[], int], export: ExportLogs | None
    ) -> None:
        self._now_ns = now_ns
        self._store: BoundedStore[LogEntry] = BoundedStore(
            max_count=settings.max_logs, retention_s=settings.logs_retention_s, now_ns=now_ns
        )
        self.on_log: list[Callable[[LogEntry], None]] = []
        self.apply(settings, export)

    def apply(self, settings: ObservabilitySettings, export: ExportLogs | None) -> None:
        """Take logs from now on by new settings; what is kept stays as far as they allow."""
        self._settings = settings
        self._export = export
        self._sampler = LogSampler(settings.logs_sampling_ratio)
        self._store.limit(max_count=settings.max_logs, retention_s=settings.logs_retention_s)

    def register(self, engine: Engine) -> None:
        """Offer `engine::log::*` and `engine::logs::*`."""
        for level in _SEVERITIES:
            offer(engine, f"engine::log::{level}", self._handler(level), f"Writes a log of level {level}")
        offer(engine, "engine::logs::list", self._list, "Lists the logs kept, newest first")
        offer(engine, "engine::logs::clear", self._clear, "Forgets the logs kept")

    def __len__(self) -> int:
        """Return how many logs are kept."""
        return len(self._store)

    def take(self, request: otlp.LogsRequest, size_bytes: int) -> None:
        """Take what an SDK sent.

        Args:
            request: The logs.
            size_bytes: Their size on the wire.
        """
        if not self._settings.logs.is_on:
            return
        count = sum(len(scope.log_records) for each in request.resource_logs for scope in each.scope_logs)
        share_bytes = size_bytes // max(1, count)
        for sender in request.resource_logs:
            for scope in sender.scope_logs:
                scope.log_records = [each for each in scope.log_records if self._sampler.keeps()]
                for record in scope.log_records:
                    self._keep(_entry(record, sender.resource, scope.scope, self._now_ns()), share_bytes)
            if self._export is not None and (
                kept := sum(len(each.log_records) for each in sender.scope_logs)
            ):
                self._export(sender, kept)

    def _handler(self, level: str) -> Callable[[Call], Any]:
        async def write(call: Call) -> msgspec.Raw:
            self._write(level, decode_input(call, _input_decoder), call)
            return payload.NULL

        return write

    def _write(self, level: str, given: _LogInput, call: Call) -> None:
        now_ns = self._now_ns()
        attributes = given.data if isinstance(given.data, dict) else {}
        record = otlp.LogRecord(
            time_unix_nano=now_ns,
            observed_time_unix_nano=now_ns,
            severity_number=_SEVERITIES[level],
            severity_text=level.upper(),
            body=otlp.AnyValue(string_value=given.message),
            attributes=otlp.key_values(attributes),
            trace_id=given.trace_id,
            span_id=given.span_id,
        )
        resource = otlp.Resource(otlp.key_values({"service.name": given.service_name or "unknown"}))
        scope = otlp.ScopeLogs(otlp.Scope(_SCOPE_NAME, self._settings.version), [record])
        if not self._settings.logs.is_on or not self._sampler.keeps():
            return
        entry = _entry(record, resource, scope.scope, now_ns)
        own = {"service.name": self._settings.service_name}
        self._keep(msgspec.structs.replace(entry, resource=own, attributes=attributes), len(call.data), call)
        if self._export is not None:
            self._export(otlp.ResourceLogs(resource, [scope]), 1)

    def _keep(self, entry: LogEntry, size_bytes: int, call: Call | None = None) -> None:
        if self._settings.print_logs:
            _print(entry, call, with_data=self._settings.print_log_data)
        if self._settings.logs.memory:
            self._store.add(entry, size_bytes)
            for listener in self.on_log:
                listener(entry)

    async def _list(self, call: Call) -> msgspec.Raw:
        query = decode_input(call, _query_decoder)
        timestamp = self._now_ns() // _MILLISECOND_NS
        if not self._settings.logs.memory:
            return payload.encode({"logs": [], "total": 0, "timestamp": timestamp})
        found = [each for each in self._store if query.matches(each)]
        found.reverse()  # of equal times, the one that came last is the newest
        found.sort(key=lambda each: -each.timestamp_unix_nano)
        begin = max(0, query.offset or 0)
        end = None if query.limit is None else begin + max(0, query.limit)
        return payload.encode(
            {"logs": found[begin:end], "total": len(found), "query": query, "timestamp": timestamp}
        )

    async def _clear(self, _: Call) -> msgspec.Raw:
        if not self._settings.logs.memory:
            return payload.encode({"success": True, "message": "Logs are not kept in memory"})
        self._store.clear()
        return payload.encode({"success": True})


def _entry(
    record: otlp.LogRecord, resource: otlp.Resource | None, scope: otlp.Scope | None, now_ns: int
) -> LogEntry:
    about = otlp.attributes_of(resource.attributes) if resource else {}
    body = otlp.plain(record.body)
    return LogEntry(
        timestamp_unix_nano=record.time_unix_nano or record.observed_time_unix_nano or now_ns,
        observed_timestamp_unix_nano=record.observed_time_unix_nano or now_ns,
        severity_number=record.severity_number,
        severity_text=record.severity_text or _level(record.severity_number).upper(),
        body=body if isinstance(body, str) else msgspec.json.encode(body).decode(),
        attributes=otlp.attributes_of(record.attributes),
        trace_id=record.trace_id or None,
        span_id=record.span_id or None,
        resource=about,
        service_name=str(about.get("service.name") or "unknown"),
        instrumentation_scope_name=scope.name if scope and scope.name else None,
        instrumentation_scope_version=scope.version if scope and scope.version else None,
    )


def _level(severity_number: int) -> str:
    """Return the level a severity number belongs to: there are four numbers for each."""
    levels = list(_SEVERITIES)
    return levels[min(max(0, severity_number - 1) // _SEVERITY_STEP, len(levels) - 1)]


def _print(entry: LogEntry, call: Call | None, *, with_data: bool) -> None:
    level = _level(entry.severity_number)
    write = getattr(printed, {"trace": "debug", "warn": "warning"}.get(level, level))
    job = call.job if call else None
    about = {
        "service": entry.service_name,
        "worker_id": call.caller.id if call and call.caller else None,
        "chain_id": job.chain_id if job else None,
        "step": job.receipt if job else None,
        "trace_id": entry.trace_id,
        "span_id": entry.span_id,
        "data": entry.attributes if with_data else None,
    }
    write(entry.body, **{key: value for key, value in about.items() if value})
