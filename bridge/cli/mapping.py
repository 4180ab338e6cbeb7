"""How a configuration maps to Temporal, in words (the tables of docs/architecture.md, for one file)."""

from collections.abc import Iterable, Iterator

from bridge.config import (
    AdminBlock,
    BridgeConfig,
    HttpBlock,
    ListenerBlock,
    QueueConfig,
    RedisAdapter,
    StateBlock,
    StreamBlock,
    TemporalBlock,
)
from bridge.config.blocks.payloads import StorageBlock
from workflows import names
from workflows.contract import MOST_BYTES_IN_TEMPORAL, Tenancy

__all__ = ["describe"]

_SHOWN_DELAYS = 4
_UNITS_MS = ((3_600_000, "h"), (60_000, "min"), (1000, "s"))

Rows = Iterable[tuple[str, str]]


def describe(config: BridgeConfig) -> Iterator[str]:
    """Give the lines that tell what is served where, and what each part is on Temporal."""
    yield f"{config.source or 'The built-in configuration'} is valid."
    yield from _section("Temporal", _temporal(config))
    yield from _section("Listening", _listening(config))
    yield from _section("Queues", _queues(config))
    yield from _section("Trigger types", _trigger_types(config))
    yield from _section("Adapters", _adapters(config))


def _section(title: str, rows: Rows) -> Iterator[str]:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    yield ""
    yield title
    for name, text in rows:
        yield f"  {name:<{width}}  {text}"


def _temporal(config: BridgeConfig) -> Rows:
    temporal = config.temporal
    yield from _namespace(temporal, _origin(config, "api_key"))
    yield "names", f"begin with {temporal.prefix}"
    for index, (mapped, block) in enumerate(zip(temporal.namespaces, temporal.everywhere[1:], strict=True)):
        yield "iii namespaces", f"{', '.join(mapped.iii)}: kept apart"
        place = ("namespaces", index, "api_key") if mapped.api_key else ("api_key",)
        yield from _namespace(block, _origin(config, *place))
    yield "large payloads", _large_payloads(temporal.payloads.storage)


def _namespace(block: TemporalBlock, key_origin: str) -> Rows:
    yield "address", f"{block.address}, {'TLS' if block.is_encrypted else 'no TLS'}"
    yield "namespace", block.namespace
    yield "Web UI", block.ui_url or "unknown; set `ui_url` to get links"
    if block.api_key_file is not None:
        yield "API key", f"in {block.api_key_file}, which is read again when it changes"
    else:
        yield "API key", f"from {key_origin}" if block.api_key else "none"


def _origin(config: BridgeConfig, *key: str | int) -> str:
    return config.origins.get(key) or str(config.source)


def _large_payloads(storage: StorageBlock | None) -> str:
    if storage is None:
        return f"refused over {MOST_BYTES_IN_TEMPORAL} bytes; `payloads.storage` takes larger ones"
    places: dict[str | None, str] = {}
    if storage.directory is not None:
        places["directory"] = f"the directory {storage.directory}"
    if storage.s3 is not None:
        server = f" at {storage.s3.endpoint_url}" if storage.s3.endpoint_url else ""
        places["s3"] = f"the bucket {storage.s3.bucket}{server}"
    written = places.pop(storage.write_to)
    read = "".join(f", and read from {place}" for place in places.values())
    return f"from {storage.from_bytes} to {storage.limit_bytes} bytes in {written}{read}"


def _listening(config: BridgeConfig) -> Rows:
    for listener in config.listeners:
        yield "workers", _address("ws", listener) + (", with rbac" if listener.rbac else "")
    if config.http:
        yield "HTTP triggers", _address("http", config.http)
    if config.stream:
        yield "stream clients", _address("ws", config.stream)
    yield "health and metrics", _address("http", config.temporal.admin)


def _address(scheme: str, block: ListenerBlock | HttpBlock | StreamBlock | AdminBlock) -> str:
    address = f"{scheme}{'s' if block.tls else ''}://{block.host}:{block.port}"
    count = len(block.tokens)
    return address + (f", for {count} bearer token{'s' if count > 1 else ''}" if count else "")


def _queues(config: BridgeConfig) -> Rows:
    tenancy = Tenancy(prefix=config.temporal.prefix)
    for name, queue in config.queues.items():
        parts = (
            f"task queue {names.queue_task_queue(tenancy, name)}",
            _order(tenancy, name, queue),
            _attempts(queue),
            f"then dead letter {names.dead_letter_id(tenancy, name, '<receipt>')}" + _alert(queue),
        )
        yield name, "; ".join(parts)


def _alert(queue: QueueConfig) -> str:
    dlq = queue.dlq
    if dlq.threshold is None:
        return ""
    call = f", which calls {dlq.alert_function_id}" if dlq.alert_function_id else ""
    return f", too many from {dlq.threshold} on{call}"


def _order(tenancy: Tenancy, name: str, queue: QueueConfig) -> str:
    if not queue.is_fifo:
        return f"any order, {queue.concurrency} at once"
    lane = names.lane_id(tenancy, name, "<group>")
    return f"in order per {queue.message_group_field} (lane {lane}), {queue.concurrency} groups at once"


def _attempts(queue: QueueConfig) -> str:
    attempts = queue.max_attempts
    text = f"{attempts} attempt{'s' if attempts > 1 else ''} of at most {_duration(queue.timeout_ms)}"
    delays = [queue.backoff_after_ms(failure) for failure in range(1, min(attempts - 1, _SHOWN_DELAYS) + 1)]
    if not delays:
        return text
    more = ", …" if attempts - 1 > _SHOWN_DELAYS else ""
    return f"{text}, waiting {', '.join(map(_duration, delays))}{more}"


def _trigger_types(config: BridgeConfig) -> Rows:
    if config.cron:
        yield "cron", f"one Schedule {config.temporal.prefix}.cron/<function id>/<digest> per trigger"
    topic = names.topic_id(Tenancy(prefix=config.temporal.prefix), "<topic>")
    yield "durable:subscriber, queue", f"one workflow {topic} per topic; a chain or a lane per copy"
    served = {
        "http": config.http,
        "state": config.state,
        "stream, stream:join, stream:leave": config.stream,
        "subscribe": config.pubsub,
        "log, trace": config.observability,
        "engine::functions-available": config.listeners,
        "engine::workers-available": config.listeners,
        "configuration": config.configuration,
    }
    for types, block in served.items():
        if block is not None:
            yield types, "calls the function directly; nothing in Temporal"


def _adapters(config: BridgeConfig) -> Rows:
    yield "iii-queue", f"{config.queue.adapter.name}: messages are in Temporal"
    if config.cron:
        yield "iii-cron", f"{config.cron.adapter.name}: schedules are in Temporal"
    if config.state:
        yield "iii-state", _store(config.state)
    if config.stream:
        yield "iii-stream", _store(config.stream)
    if config.pubsub:
        yield "iii-pubsub", f"{config.pubsub.adapter.name}: delivered to who listens now"


def _store(block: StateBlock | StreamBlock) -> str:
    match block.adapter:
        case RedisAdapter(config=redis):
            return f"redis: {redis.location}"
        case adapter:
            path = adapter.config.database_path
            return f"kv: in SQLite file {path}" if path else "kv: in memory, lost at the end"


def _duration(milliseconds: int) -> str:
    for unit_ms, name in _UNITS_MS:
        if milliseconds >= unit_ms and milliseconds % unit_ms == 0:
            return f"{milliseconds // unit_ms} {name}"
    return f"{milliseconds} ms"
