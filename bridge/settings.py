"""What each part is told: the configuration, translated into the parts' own settings."""

from base64 import b64decode
from dataclasses import replace

from pydantic import SecretStr

from bridge.builtins.cron import CronSettings
from bridge.builtins.exec import ExecSettings
from bridge.builtins.http import CorsSettings, GlobalMiddleware, HttpSettings
from bridge.builtins.http_functions import HttpFunctionsSettings
from bridge.builtins.queue import KeeperSettings, SubscriberDefaults
from bridge.builtins.state import StateSettings
from bridge.builtins.stream import StreamSettings
from bridge.builtins.temporal_functions import DeclaredWorkflow
from bridge.certificates import CertificateFiles, Certificates
from bridge.config import (
    AdminBlock,
    BridgeConfig,
    BuiltinQueueAdapter,
    CronBlock,
    ExecBlock,
    ExposeRule,
    HttpBlock,
    HttpFunctionsBlock,
    ListenerBlock,
    Match,
    QueueConfig,
    StateBlock,
    StreamBlock,
    StreamKvAdapter,
    TemporalBlock,
    TlsBlock,
)
from bridge.config.blocks.payloads import BucketBlock, CodecBlock, StorageBlock
from bridge.credentials import CredentialSources, TlsSources
from bridge.engine.access import AccessRules, ExposedIds, ExposedMetadata, Pattern
from bridge.engine.observation import DeadLetterLimit
from bridge.entrance import Entrance
from bridge.errors import ConfigError
from bridge.listeners.worker_socket import SocketLimits
from bridge.temporal.compensations import Compensation
from bridge.temporal.connection import TemporalAddress
from bridge.temporal.enqueuer import EnqueueSettings
from bridge.temporal.function_caller import FunctionActivitySettings
from bridge.temporal.interop.rules import WorkflowRule, WorkflowRules
from bridge.temporal.messages import NamedQueue
from bridge.temporal.payload_codec import PayloadKeys, PayloadSettings
from bridge.temporal.payload_fields import DEFAULT_MAX_PRIORITY
from bridge.temporal.payload_storage import BucketSettings, StoreSettings
from bridge.temporal.queue_workers import QueueWorker
from bridge.temporal.service import QueueSettings, TemporalSettings
from bridge.temporal.services import MappedNamespace
from workflows.contract import MOST_BYTES_IN_TEMPORAL, RetryRules

__all__ = [
    "access_rules",
    "credential_sources",
    "cron_settings",
    "dead_letter_limits",
    "declared_workflows",
    "entrance",
    "exec_settings",
    "http_functions_settings",
    "http_settings",
    "mapped_namespaces",
    "payload_settings",
    "queue_settings",
    "socket_limits",
    "state_settings",
    "stream_settings",
    "subscriber_defaults",
    "temporal_settings",
    "topic_settings",
    "workflow_rules",
]


def state_settings(block: StateBlock) -> StateSettings:
    """Translate `iii-state`."""
    return StateSettings(block.triggers_enabled, block.max_value_bytes, block.dotted_paths)


def http_settings(block: HttpBlock) -> HttpSettings:
    """Translate `iii-http`."""
    cors = block.cors
    return HttpSettings(
        host=block.host,
        port=block.port,
        default_timeout_ms=block.default_timeout_ms,
        concurrency_request_limit=block.concurrency_request_limit,
        cors=CorsSettings(cors.allowed_origins, cors.allowed_methods) if cors else None,
        middleware=tuple(
            GlobalMiddleware(entry.function_id, entry.phase, entry.priority) for entry in block.middleware
        ),
        body_limit_bytes=block.body_limit_bytes,
        head_limit_bytes=block.head_limit_bytes,
        head_timeout_ms=block.head_timeout_ms,
        write_timeout_ms=block.write_timeout_ms,
        keep_alive_timeout_s=block.keep_alive_timeout_s,
        max_connections=block.max_connections,
        channel_bytes=block.channel_bytes,
        openapi_path=block.openapi_path,
        docs_path=block.docs_path,
    )


def http_functions_settings(block: HttpFunctionsBlock) -> HttpFunctionsSettings:
    """Translate `iii-http-functions`."""
    security = block.security
    return HttpFunctionsSettings(security.url_allowlist, security.block_private_ips, security.require_https)


def exec_settings(block: ExecBlock) -> ExecSettings:
    """Translate `iii-exec`."""
    return ExecSettings(block.commands, block.watch)


def cron_settings(config: BridgeConfig) -> CronSettings:
    """Translate `iii-cron`, and how soon a lost bridge is noticed."""
    cron = config.cron or CronBlock()
    return CronSettings(
        orphan_timeout_ms=cron.orphan_timeout_ms,
        sweep_interval_ms=min(cron.orphan_timeout_ms, CronSettings().sweep_interval_ms),
        heartbeat_timeout_ms=config.temporal.heartbeat_timeout_ms,
    )


def entrance(
    block: ListenerBlock | HttpBlock | StreamBlock | AdminBlock | CodecBlock, certificates: Certificates
) -> Entrance:
    """Translate how clients get into a listener.

    Args:
        block: The listener's block.
        certificates: Keeps its certificate up to date, if it has one.

    Raises:
        ConfigError: A file was replaced, and cannot be used any more.
    """
    tokens = tuple(each.get_secret_value() for each in block.tokens)
    tls = block.tls
    if tls is None:
        return Entrance(tokens=tokens)
    try:
        context = certificates.open(CertificateFiles(tls.cert_file, tls.key_file, tls.client_ca_file))
    except OSError as exc:
        raise ConfigError(
            f"The certificate {tls.cert_file} with the key {tls.key_file} cannot be used: {exc}. "
            "Run `iii-temporal check`."
        ) from exc
    return Entrance(context, tokens)


def stream_settings(block: StreamBlock, state: StateBlock | None) -> StreamSettings:
    """Translate `iii-stream`; streams read the paths of updates as state does."""
    adapter = block.adapter
    return StreamSettings(
        host=block.host,
        port=block.port,
        auth_function=block.auth_function,
        channel_size=adapter.config.channel_size if isinstance(adapter, StreamKvAdapter) else 256,
        dotted_paths=state is not None and state.dotted_paths,
    )


def socket_limits(config: BridgeConfig, listener: ListenerBlock) -> SocketLimits:
    """Translate `iii-worker-manager`."""
    return SocketLimits(
        outbox_messages=config.temporal.worker_outbox.max_messages,
        outbox_bytes=config.temporal.worker_outbox.max_bytes,
        handshake_timeout_s=listener.handshake_timeout_ms / 1000,
        namespace_grace_s=config.namespace_grace_ms / 1000,
    )


def access_rules(listener: ListenerBlock) -> AccessRules:
    """Translate who may do what on a listener."""
    rbac = listener.rbac
    if rbac is None:
        return AccessRules(middleware_function_id=listener.middleware_function_id)
    return AccessRules(
        is_guarded=True,
        exposed=tuple(map(_exposed, rbac.expose_functions)),
        auth_function_id=rbac.auth_function_id,
        middleware_function_id=listener.middleware_function_id,
        function_hook_id=rbac.on_function_registration_function_id,
        trigger_hook_id=rbac.on_trigger_registration_function_id,
        trigger_type_hook_id=rbac.on_trigger_type_registration_function_id,
    )


def _exposed(rule: ExposeRule) -> ExposedIds | ExposedMetadata:
    if rule.match is not None:
        return ExposedIds(Pattern(rule.match), rule.namespace)
    return ExposedMetadata(
        {
            key: Pattern(value.pattern) if isinstance(value, Match) else value
            for key, value in (rule.metadata or {}).items()
        },
        rule.namespace,
    )


def temporal_settings(block: TemporalBlock) -> TemporalSettings:
    """Translate `iii-temporal`."""
    storage = block.payloads.storage
    return TemporalSettings(
        address=TemporalAddress(
            target=block.address,
            namespace=block.namespace,
            credentials=credential_sources(block),
        ),
        prefix=block.prefix,
        enqueue=EnqueueSettings(
            timeout_ms=block.enqueue_timeout_ms,
            steps_per_handler=block.max_steps_per_handler,
            payload_limit_bytes=storage.limit_bytes if storage else MOST_BYTES_IN_TEMPORAL,
        ),
        compensations={
            function_id: Compensation(each.function_id, each.queue)
            for function_id, each in block.compensations.items()
        },
        function_activities=FunctionActivitySettings(
            tuple(map(Pattern, block.function_activities.functions)),
            (block.function_activities.namespace,),
            block.function_activities.concurrency,
        ),
        drain_timeout_ms=block.drain_timeout_ms,
        heartbeat_timeout_ms=block.heartbeat_timeout_ms,
        stored_bytes=storage.limit_bytes if storage else None,
    )


def mapped_namespaces(block: TemporalBlock) -> list[MappedNamespace]:
    """Translate which namespaces of iii are kept in which other namespaces of Temporal."""
    mapped = []
    for each, other in zip(block.namespaces, block.everywhere[1:], strict=True):
        settings = temporal_settings(other)
        functions = replace(settings.function_activities, namespaces=each.iii)
        mapped.append(MappedNamespace(each.iii, replace(settings, function_activities=functions)))
    return mapped


def credential_sources(block: TemporalBlock) -> CredentialSources:
    """Translate what Temporal knows the bridge by."""
    return CredentialSources(
        api_key=block.api_key_file or _revealed(block.api_key),
        tls=_tls_sources(block.tls or TlsBlock()) if block.is_encrypted else None,
        headers={name: value.get_secret_value() for name, value in block.grpc_meta.items()},
    )


def _tls_sources(block: TlsBlock) -> TlsSources:
    return TlsSources(
        authorities=block.ca_file or _pem(block.ca_data),
        certificate=block.cert_file or _pem(block.cert_data),
        key=block.key_file or _pem(_revealed(block.key_data)),
        server_name=block.server_name,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _pem(text: str | None) -> bytes | None:
    return text.encode() if text is not None else None


def payload_settings(block: TemporalBlock) -> PayloadSettings:
    """Translate how Temporal is given payloads."""
    encryption, storage = block.payloads.encryption, block.payloads.storage
    return PayloadSettings(
        compress_from_bytes=block.payloads.compress_from_bytes,
        encryption=PayloadKeys(
            encryption.active_key,
            {key_id: b64decode(key.get_secret_value()) for key_id, key in encryption.keys.items()},
        )
        if encryption
        else None,
        store=_store_settings(storage, block.enqueue_timeout_ms) if storage else None,
    )


def _store_settings(storage: StorageBlock, enqueue_timeout_ms: int) -> StoreSettings:
    return StoreSettings(
        writes_to="s3" if storage.write_to == "s3" else "directory",
        from_bytes=storage.from_bytes,
        directory=storage.directory,
        # An Enqueue that waits for the bucket is to hear of it before its own time is over.
        bucket=_bucket_settings(storage.s3, enqueue_timeout_ms * 0.75 / 1000) if storage.s3 else None,
    )


def _bucket_settings(block: BucketBlock, upload_timeout_s: float) -> BucketSettings:
    return BucketSettings(
        bucket=block.bucket,
        region=block.region,
        endpoint_url=block.endpoint_url,
        addressing=block.addressing,
        access_key_id=_revealed(block.access_key_id),
        secret_access_key=_revealed(block.secret_access_key),
        session_token=_revealed(block.session_token),
        profile=block.profile,
        upload_timeout_s=upload_timeout_s,
    )


def workflow_rules(block: TemporalBlock) -> WorkflowRules:
    """Translate which workflows functions may use."""
    return WorkflowRules(
        tuple(
            WorkflowRule(each.workflow, each.task_queue, each.namespace) for each in block.interop.workflows
        ),
        prefix=block.prefix,
        home=block.namespace,
    )


def declared_workflows(block: TemporalBlock) -> dict[str, DeclaredWorkflow]:
    """Translate which workflows are functions."""
    return {
        function_id: DeclaredWorkflow(
            each.workflow, each.task_queue, each.namespace, each.execution_timeout_ms
        )
        for function_id, each in block.expose.items()
    }


def dead_letter_limits(config: BridgeConfig) -> dict[str, DeadLetterLimit]:
    """Translate when the dead letters of a queue are too many, for the queues that say so."""
    return {
        name: DeadLetterLimit(dlq.capacity, dlq.threshold, dlq.alert_function_id)
        for name, queue in config.queues.items()
        if (dlq := queue.dlq).capacity is not None and dlq.threshold is not None
    }


def queue_settings(config: BridgeConfig) -> dict[str, QueueSettings]:
    """Translate the named queues."""
    return {
        name: QueueSettings(
            NamedQueue(
                rules=_rules(queue, config.temporal),
                group_field=queue.message_group_field if queue.is_fifo else None,
                priority_field=queue.priority_field,
                max_priority=queue.max_priority or DEFAULT_MAX_PRIORITY,
                delay_field=queue.delay_field,
                dedupe_field=queue.dedupe_field,
                dedupe_window_ms=queue.dedupe_window_ms,
                holds_groups=queue.on_dead_letter == "block",
            ),
            QueueWorker(queue.concurrency, queue.rate_per_s),
        )
        for name, queue in config.queues.items()
    }


def topic_settings(config: BridgeConfig) -> KeeperSettings:
    """Translate how long the subscriptions of durable topics are kept."""
    return KeeperSettings(keep_ms=config.queue.absent_subscriber_timeout_ms)


def subscriber_defaults(config: BridgeConfig) -> SubscriberDefaults:
    """Translate what subscribers of durable topics get that say nothing (spec 02 §1.5)."""
    adapter = config.queue.adapter
    defaults = adapter.config if isinstance(adapter, BuiltinQueueAdapter) else BuiltinQueueAdapter().config
    return SubscriberDefaults(
        attempts=defaults.max_attempts,
        backoff_ms=defaults.backoff_ms,
        concurrency=defaults.concurrency,
        is_fifo=defaults.mode == "fifo",
        heartbeat_timeout_ms=config.temporal.heartbeat_timeout_ms,
    )


def _rules(queue: QueueConfig, block: TemporalBlock) -> RetryRules:
    return RetryRules(
        attempts=queue.max_attempts,
        backoff_ms=queue.backoff_ms,
        max_backoff_ms=queue.max_backoff_ms,
        backoff_type=queue.backoff_type,
        timeout_ms=queue.timeout_ms,
        heartbeat_timeout_ms=block.heartbeat_timeout_ms,
        non_retryable_errors=queue.non_retryable_errors,
        provider_timeout_ms=queue.provider_timeout_ms,
    )
