"""Telemetry to a collector: OTLP over HTTP in its JSON form."""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Generic, TypeVar

import httpx
import msgspec
import structlog

from bridge.builtins.observability import otlp
from bridge.builtins.observability.settings import ObservabilitySettings

__all__ = ["OtlpExporter"]

log = structlog.get_logger("bridge.observability")

_MOST_WAITING = 10_000
"""Records of one kind that wait for the collector; of more, the newest are left out."""
_SPANS_AT_ONCE = 512
_INTERVAL_S = 5.0
_TIMEOUT_S = 10.0
_MILLISECONDS = 1000
_TRY_AGAIN = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)

Sender = TypeVar("Sender", otlp.ResourceSpans, otlp.ResourceLogs, otlp.ResourceMetrics)


@dataclass(slots=True)
class _Pile(Generic[Sender]):
    """What waits to be sent, of one kind."""

    path: str
    key: str
    batch_size: int
    interval_s: float
    senders: list[Sender] = field(default_factory=list)
    count: int = 0
    dropped: int = 0
    is_full: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, sender: Sender, count: int) -> None:
        if self.count + count > _MOST_WAITING:
            self.dropped += count
            return
        self.senders.append(sender)
        self.count += count
        if self.count >= self.batch_size:
            self.is_full.set()

    def take(self) -> tuple[list[Sender], int]:
        taken, count = self.senders, self.count
        self.senders, self.count = [], 0
        self.is_full.clear()
        return taken, count

    def put_back(self, senders: list[Sender], count: int) -> None:
        self.senders[:0] = senders
        self.count += count


class OtlpExporter:
    """Sends batches; while the collector is away, a bounded number of records waits for it.

    Args:
        settings: Where the collector is, and how large a batch of logs is.
        client: Sends; the exporter closes it.
    """

    def __init__(self, settings: ObservabilitySettings, client: httpx.AsyncClient) -> None:
        self._url = settings.endpoint.rstrip("/")
        self._client = client
        self._headers = {**dict(settings.endpoint_headers), "content-type": "application/json"}
        self._is_away = False
        self._is_closed = False
        self._sending: list[asyncio.Task[None]] = []
        logs_interval_s = settings.logs_flush_interval_ms / _MILLISECONDS
        self._spans = _Pile[otlp.ResourceSpans]("traces", "resourceSpans", _SPANS_AT_ONCE, _INTERVAL_S)
        self._logs = _Pile[otlp.ResourceLogs](
            "logs", "resourceLogs", settings.logs_batch_size, logs_interval_s
        )
        self._metrics = _Pile[otlp.ResourceMetrics]("metrics", "resourceMetrics", _SPANS_AT_ONCE, _INTERVAL_S)
        self.add_spans = self._spans.add
        self.add_logs = self._logs.add
        self.add_metrics = self._metrics.add

    async def run(self) -> None:
        """Send whenever a batch is full or has waited long enough, until closed.

        Cancellation: what waits then is sent by `close`.
        """
        if self._is_closed:
            return
        async with asyncio.TaskGroup() as tasks:
            self._sending = [
                tasks.create_task(self._keep_sending(self._spans), name="export spans"),
                tasks.create_task(self._keep_sending(self._logs), name="export logs"),
                tasks.create_task(self._keep_sending(self._metrics), name="export metrics"),
            ]

    async def close(self, timeout_s: float) -> None:
        """Send what waits, as far as that goes in the given time."""
        self._is_closed = True
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(self._spans)
                await self._send(self._logs)
                await self._send(self._metrics)
        except TimeoutError:
            log.warning("telemetry left behind: the collector is too slow", endpoint=self._url)
        await self._client.aclose()

    async def _keep_sending(self, pile: _Pile[Sender]) -> None:
        while True:
            try:
                async with asyncio.timeout(pile.interval_s):
                    await pile.is_full.wait()
            except TimeoutError:
                pass
            if not await self._send(pile):
                await asyncio.sleep(pile.interval_s)

    async def _send(self, pile: _Pile[Sender]) -> bool:
        """Send what waits; returns whether the collector is there. What it refuses for good is dropped."""
        senders, count = pile.take()
        if not senders:
            return True
        try:
            response = await self._client.post(
                f"{self._url}/v1/{pile.path}",
                content=msgspec.json.encode({pile.key: senders}),
                headers=self._headers,
                timeout=_TIMEOUT_S,
            )
        except (httpx.HTTPError, asyncio.CancelledError) as exc:
            pile.put_back(senders, count)
            if isinstance(exc, asyncio.CancelledError):
                raise
            return self._note(str(exc) or type(exc).__name__, pile.dropped)
        if response.status_code in _TRY_AGAIN:
            pile.put_back(senders, count)
            return self._note(f"HTTP {response.status_code}", pile.dropped)
        if response.is_error:
            return self._note(f"HTTP {response.status_code}: {response.text[:200]}", pile.dropped + count)
        if self._is_away:
            log.info("collector takes telemetry again", endpoint=self._url)
        self._is_away = False
        return True

    def _note(self, reason: str, dropped: int) -> bool:
        """Say once per outage that the collector does not take what it is sent."""
        if not self._is_away:
            log.warning("collector takes no telemetry", endpoint=self._url, reason=reason, dropped=dropped)
        self._is_away = True
        return False
