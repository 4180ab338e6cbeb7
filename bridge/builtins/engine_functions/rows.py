"""The shapes in which functions, trigger types, bindings and workers are shown (spec 05 §2.1, §2.2).

Rows of functions and workers carry the fields of every SDK generation side by side.
"""

import msgspec

from bridge.engine.workers import WorkerMetrics

__all__ = [
    "BindingDetail",
    "BindingRow",
    "BindingSummary",
    "FunctionDetail",
    "FunctionRow",
    "OldBindingRow",
    "OldTypeRow",
    "TypeDetail",
    "TypeRow",
    "WorkerDetail",
    "WorkerRow",
]


class FunctionRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function in a list; the formats are those of SDK 0.9, left out when they are JSON Schemas."""

    function_id: str
    namespace: str
    worker_name: str
    description: str | None = None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_format: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    response_format: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class BindingSummary(msgspec.Struct, frozen=True):
    """A binding, as its function shows it."""

    id: str
    trigger_type: str
    config: msgspec.Raw


class FunctionDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a function."""

    function_id: str
    namespace: str
    worker_name: str
    registered_triggers: list[BindingSummary]
    description: str | None = None
    request_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    response_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class TypeRow(msgspec.Struct, frozen=True):
    """A trigger type in a list."""

    id: str
    namespace: str
    worker_name: str
    description: str


class TypeDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a trigger type."""

    id: str
    namespace: str
    worker_name: str
    description: str
    instance_count: int
    configuration_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    response_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class OldTypeRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trigger type, as SDKs 0.11 and 0.12 list it."""

    id: str
    description: str
    trigger_request_format: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    call_request_format: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class BindingRow(msgspec.Struct, frozen=True):
    """A binding in a list."""

    id: str
    trigger_type: str
    function_id: str
    worker_name: str
    config: msgspec.Raw
    config_summary: str


class OldBindingRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A binding, as SDKs up to 0.12 list it."""

    id: str
    trigger_type: str
    function_id: str
    config: msgspec.Raw
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class BindingDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a binding; its type and function are `null` when they are gone."""

    id: str
    trigger_type: str
    function_id: str
    worker_name: str
    config: msgspec.Raw
    trigger: TypeDetail | None
    function: FunctionDetail | None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker in a list; SDKs up to 0.12 read `internal`, `functions`, `latest_metrics` and `pid`."""

    id: str
    name: str | None
    description: str | None
    version: str | None
    namespace: str
    runtime: str
    os: str | None
    status: str
    function_count: int
    connected_at_ms: int
    active_invocations: int
    isolation: str | None
    ip_address: str | None
    internal: bool
    functions: list[str]
    pid: int | None
    latest_metrics: WorkerMetrics | None = None


class WorkerDetail(msgspec.Struct, frozen=True):
    """All that is known of a worker."""

    worker: WorkerRow
    functions: list[FunctionRow]
    trigger_types: list[TypeRow]
    registered_triggers: list[BindingRow]
