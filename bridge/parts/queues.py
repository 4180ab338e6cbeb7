"""Named queues, durable topics, dead letters and schedules: what Temporal keeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from bridge.builtins.chain import ChainFunctions
from bridge.builtins.cron import CronTriggers
from bridge.builtins.queue import (
    BulkFunctions,
    ConsoleFunctions,
    DeadLetterWatch,
    DurableTopics,
    KnownQueues,
    Link,
    QueueFunctions,
)
from bridge.config import BridgeConfig
from bridge.listeners.metrics import ReadQueues
from bridge.live import LiveMapping
from bridge.parts.site import Site, unix_ms
from bridge.settings import (
    cron_settings,
    dead_letter_limits,
    queue_settings,
    subscriber_defaults,
    topic_settings,
)
from bridge.temporal.alarms import DeadLetterAlarms
from bridge.temporal.services import TemporalServices
from bridge.temporal.shared_look import SharedLook
from bridge.temporal.spread.statistics import SpreadStatistics
from bridge.temporal.web_ui import workflow_page

__all__ = ["look_at_queues", "open_cron", "open_queues", "open_topics", "watch_dead_letters"]

_PARTING_TIMEOUT_S = 5


def look_at_queues(site: Site, temporal: TemporalServices) -> ReadQueues:
    """Return how everybody here asks about the queues."""
    names = _known_queues(site, temporal).internal_queues
    return SharedLook(SpreadStatistics(temporal.statistics(), names).read, time.monotonic).read


def watch_dead_letters(site: Site, temporal: TemporalServices, look: ReadQueues) -> DeadLetterWatch:
    """Notice when a queue has too many dead letters."""
    return DeadLetterWatch(
        site.engine,
        LiveMapping(site.live, dead_letter_limits),
        look,
        DeadLetterAlarms(temporal.home.connection, temporal.home.tenancy),
        unix_ms,
    )


def open_queues(site: Site, temporal: TemporalServices, look: ReadQueues) -> None:
    """Offer the functions on queues, chains and dead letters, and let the queues follow the configuration."""
    known = _known_queues(site, temporal)
    QueueFunctions(
        temporal.dead_letters,
        known,
        link=_links(site, temporal),
        now_ms=unix_ms,
        read_queues=look,
        limits=LiveMapping(site.live, dead_letter_limits),
    ).register(site.engine)
    ConsoleFunctions(has_routes=site.config.queue.console_routes).register(site.engine)
    BulkFunctions(temporal.bulk, temporal.dead_letters, known.resolve, unix_ms).register(site.engine)
    ChainFunctions(site.engine, temporal.chains, temporal.chain_commands).register(site.engine)

    async def apply(config: BridgeConfig) -> None:
        for name in site.config.queues.keys() - config.queues.keys():
            temporal.remove_queue(name)
        for name, settings in queue_settings(config).items():
            temporal.put_queue(name, settings)

    site.live.on_change("iii-queue", apply)


def open_topics(site: Site, temporal: TemporalServices) -> DurableTopics:
    """Provide durable topics."""
    topics = DurableTopics(
        site.engine,
        temporal.home.topics,
        temporal.enqueue_copy,
        temporal.enqueue_event,
        temporal,
        settings=topic_settings(site.config),
        defaults=subscriber_defaults(site.config),
    )
    temporal.watch_chains(topics.chain_events.is_watched)
    topics.register(site.engine)
    site.closing.push_async_callback(_in_time, topics.close)
    return topics


def open_cron(site: Site, temporal: TemporalServices) -> CronTriggers:
    """Provide schedules, if they are served."""
    own, elsewhere = temporal.schedules()
    cron = CronTriggers(site.engine, own, cron_settings(site.config), time.time_ns, elsewhere)
    if site.config.cron is not None:
        cron.register(site.engine)
    site.closing.push_async_callback(_in_time, cron.close)
    return cron


def _links(site: Site, temporal: TemporalServices) -> Link:
    """Return where the Web UI shows a run."""
    pages = {
        service.connection.address.keeper: (block.ui_url, block.namespace)
        for service, block in zip(temporal.all, site.config.temporal.everywhere, strict=True)
    }

    def link(keeper: str, workflow_id: str, run_id: str) -> str | None:
        ui_url, namespace = pages[keeper]
        return workflow_page(ui_url, namespace, workflow_id, run_id) if ui_url else None

    return link


async def _in_time(part: Callable[[], Awaitable[None]]) -> None:
    """Tell Temporal of an end, unless it takes too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PARTING_TIMEOUT_S):
            await part()


def _known_queues(site: Site, temporal: TemporalServices) -> KnownQueues:
    return KnownQueues(LiveMapping(site.live, _concurrency), temporal.home.topics)


def _concurrency(config: BridgeConfig) -> Mapping[str, int]:
    return {name: queue.concurrency for name, queue in config.queues.items()}
