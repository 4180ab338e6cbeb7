"""What the bridge tells of itself and of its workers: logs, traces and metrics, health and Prometheus."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

import msgspec

from bridge.builtins.http_functions import HttpFunctions, HttpFunctionsSettings
from bridge.builtins.observability import Observability, ObservabilitySettings
from bridge.config import BridgeConfig
from bridge.engine.calls import Call
from bridge.engine.observation import DeadLetterLimit
from bridge.listeners.admin import AdminServer, Checks
from bridge.listeners.metrics import BridgeMetrics, ReadQueues
from bridge.live import LiveMapping
from bridge.log_level import set_log_level
from bridge.parts.site import Site, unix_ms
from bridge.protocol import payload
from bridge.protocol.inbound import RegisterFunction
from bridge.settings import dead_letter_limits, entrance
from bridge.telemetry_settings import observability_settings

__all__ = ["open_admin", "open_observability"]


async def open_admin(
    site: Site,
    look: ReadQueues,
    check: Callable[[], Awaitable[Checks]],
    connections: Mapping[str, Callable[[], int]],
) -> str:
    """Tell how the bridge is, from its first moment to its last; returns the URL.

    Args:
        site: The bridge.
        look: Asks about the queues.
        check: Tells what is not well.
        connections: Counts the connections of each listener.
    """

    def limits(config: BridgeConfig) -> Mapping[str, DeadLetterLimit | None]:
        known = dead_letter_limits(config)
        return {name: known.get(name) for name in config.queues}

    metrics = BridgeMetrics(
        site.engine,
        version=version("iii-temporal"),
        queues=LiveMapping(site.live, limits),
        read_queues=look,
        clock_s=time.monotonic,
        now_ms=unix_ms,
    )
    for listener, count in connections.items():
        metrics.watch_connections(listener, count)
    block = site.config.temporal.admin
    guard = entrance(block, site.certificates)
    server = AdminServer(check, metrics.render, guard)
    port = await server.start(block.host, block.port)
    site.closing.push_async_callback(server.close)
    return guard.url("http", block.host, port)


async def open_observability(site: Site) -> Observability:
    """Keep and pass on telemetry."""
    engine = site.engine
    # Webhooks of alerts go the way of functions behind URLs, which keeps them off private addresses.
    webhooks = HttpFunctions(
        HttpFunctionsSettings(require_https=False), environ={}, new_id=engine.new_id, now_s=time.time
    )
    site.closing.push_async_callback(webhooks.close)

    async def post(url: str, body: msgspec.Raw) -> None:
        webhook = RegisterFunction(id="alert", invocation=payload.encode({"url": url}))
        await webhooks.offer(webhook)(Call(webhook.id, body))

    observability = Observability(
        engine, _settings(site.config), post=post, clock_s=time.monotonic, now_ns=time.time_ns
    )
    observability.register(engine)
    await observability.start()
    site.closing.push_async_callback(observability.close)
    if "level" in site.config.observability.model_fields_set:
        set_log_level(site.config.observability.level)

    async def apply(config: BridgeConfig) -> None:
        await observability.apply(_settings(config))
        if config.observability.level != site.config.observability.level:
            set_log_level(config.observability.level)

    site.live.on_change("iii-observability", apply)
    return observability


def _settings(config: BridgeConfig) -> ObservabilitySettings:
    return observability_settings(config.observability, os.environ, version("iii-temporal"))
