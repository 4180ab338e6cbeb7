"""Who a function or a trigger type belongs to, by name (spec 05 §2)."""

from bridge.engine.functions import Function
from bridge.engine.triggers import TriggerType, WorkerTriggers
from bridge.engine.workers import Worker

__all__ = ["FIRST_PARTY", "MANDATORY", "owner_of_function", "owner_of_type", "provider_of_type"]

FIRST_PARTY = {
    "configuration": "Keeps configuration values with their schemas, and tells of their changes.",
    "iii-cron": "Runs functions on a schedule.",
    "iii-engine-functions": "Tells what is connected and on offer, and binds triggers.",
    "iii-http": "Serves HTTP requests with functions.",
    "iii-http-functions": "Calls functions that live behind an HTTP address.",
    "iii-observability": "Collects logs, traces and metrics.",
    "iii-pubsub": "Delivers what is published on a topic to its subscribers.",
    "iii-queue": "Runs functions durably, with retries, order and dead letters.",
    "iii-state": "Keeps values that functions share.",
    "iii-stream": "Keeps groups of items and streams their changes to clients.",
}
"""What the bridge's own workers are for, by name."""

MANDATORY = frozenset({"configuration", "iii-engine-functions", "iii-observability"})
"""The bridge's own workers that run whatever the configuration says (spec 05 §4.3)."""


def owner_of_function(function: Function) -> str:
    """Return the name of the worker that offers a function; without a name, what its id begins with."""
    known = function.worker.info.name if function.worker else function.owner_name
    return known or _first_segment(function.id)


def owner_of_type(trigger_type: TriggerType) -> str:
    """Return the name of the worker that provides a trigger type."""
    provider = provider_of_type(trigger_type)
    known = provider.info.name if provider else trigger_type.owner_name
    return known or _first_segment(trigger_type.id)


def provider_of_type(trigger_type: TriggerType) -> Worker | None:
    """Return the connected worker that provides a trigger type; `None` when the bridge does."""
    provider = trigger_type.provider
    return provider.worker if isinstance(provider, WorkerTriggers) else None


def _first_segment(item_id: str) -> str:
    return item_id.partition("::")[0]
