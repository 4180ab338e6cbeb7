"""`iii-temporal`: our own block; where Temporal is and how we use it."""

from collections.abc import Container, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from bridge.config.block import Bind, Block, Milliseconds, Name, Port, PositiveMilliseconds, conflict
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens
from bridge.config.blocks.frontend import Address, HeaderName, HeaderValue, KeyFile, UiUrl, web_ui_of
from bridge.config.blocks.interop import ExposedWorkflowBlock, FunctionActivitiesBlock, InteropBlock
from bridge.config.blocks.namespaces import MappedNamespaceBlock
from bridge.config.blocks.payloads import CodecBlock, PayloadsBlock
from bridge.config.blocks.temporal_tls import TlsBlock

__all__ = ["AdminBlock", "TemporalBlock", "WorkerOutboxLimits"]

_MEBIBYTE = 1024 * 1024

Value = TypeVar("Value")


def _web_ui(block: Mapping[str, Any]) -> str | None:
    return web_ui_of(block.get("address", ""))


def _first_repeated(values: Sequence[Value]) -> Value | None:
    return next((value for at, value in enumerate(values) if value in values[:at]), None)


class AdminBlock(Block):
    """Where health and metrics are served.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        tls: The encryption of the port; `None` is none.
        tokens: Bearer tokens, one of which who reads the metrics must have; health is for everyone.
    """

    host: Bind = "127.0.0.1"
    port: Port = 9464
    tls: ServerTlsBlock | None = None
    tokens: Tokens = ()


class CompensationBlock(Block):
    """How what a function did is undone.

    Attributes:
        function_id: The function that undoes it.
        queue: The named queue whose rules deliver it; `None` for the queue of the step it undoes.
    """

    function_id: Name
    queue: Name | None = None


def _spelled_out(compensation: Any) -> Any:
    return {"function_id": compensation} if isinstance(compensation, str) else compensation


class WorkerOutboxLimits(Block):
    """What may wait for one worker that reads slowly.

    Attributes:
        max_messages: Calls; more are refused.
        max_bytes: The size of the calls, and that of the answers to its own. With more of these waiting its
            connection is closed.
    """

    max_messages: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    max_bytes: Annotated[int, Field(ge=_MEBIBYTE, le=2**40)] = 64 * _MEBIBYTE


class TemporalBlock(Block):
    """Where Temporal is and how we use it.

    Attributes:
        profile: The profile of Temporal's own tools that gives what is not given here.
        config_file: The `temporal.toml` it stands in.
        address: `host:port` of the frontend.
        namespace: Temporal's namespace, not iii's.
        api_key: The key of Temporal Cloud.
        api_key_file: The file that holds it, instead.
        tls: `None` is unencrypted, unless a key is given.
        grpc_meta: Headers that every request to Temporal carries.
        prefix: The first part of every task queue, workflow id and schedule id; several bridges with
            different prefixes share a namespace without seeing each other.
        ui_url: The Web UI, for links in logs and answers; `None` when it cannot be derived.
        namespaces: Other namespaces of Temporal, and the namespaces of iii whose messages they keep.
        enqueue_timeout_ms: How long an Enqueue waits for Temporal before it answers `enqueue_error`.
        heartbeat_timeout_ms: How soon Temporal notices that a bridge is gone.
        drain_timeout_ms: How long a stopping bridge lets running calls finish.
        max_steps_per_handler: Messages one handler may enqueue into its own chain; more of them become
            chains of their own.
        duplicate_functions: What a second worker with the same function id does: share the calls, take
            them over, or be refused.
        compensations: What undoes what a function did, by function id; it wins over the function's own
            metadata. A function id alone is short for `{function_id: …}`.
        function_activities: Which functions workflows may call as activities.
        interop: Which workflows functions may use.
        expose: Workflows that are called as functions, by function id.
        admin: Health and metrics.
        worker_outbox: Limits for slow workers.
        payloads: How Temporal is given payloads.
        codec_endpoint: Where the Web UI has payloads decoded; `None` serves none.
    """

    live: ClassVar[Container[str]] = ("api_key", "api_key_file", "tls", "grpc_meta")

    profile: Name | None = None
    config_file: Annotated[FilePath | None, Field(strict=False)] = None
    address: Address = "127.0.0.1:7233"
    namespace: Name = "default"
    api_key: SecretStr | None = None
    api_key_file: KeyFile = None
    tls: TlsBlock | None = None
    grpc_meta: Mapping[HeaderName, HeaderValue] = Field(default={})
    prefix: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"),
        Field(description="1 to 63 letters, digits, `_` and `-`, beginning with a letter or digit"),
    ] = "iii"
    ui_url: UiUrl | None = Field(default_factory=_web_ui)
    namespaces: Annotated[tuple[MappedNamespaceBlock, ...], Field(strict=False)] = ()
    enqueue_timeout_ms: PositiveMilliseconds = 8000
    heartbeat_timeout_ms: Annotated[int, Field(ge=1000, le=3_600_000)] = 10_000
    drain_timeout_ms: Milliseconds = 10_000
    max_steps_per_handler: Annotated[int, Field(ge=1, le=1000)] = 100
    duplicate_functions: Literal["balance", "last-wins", "reject"] = "balance"
    compensations: Mapping[Name, Annotated[CompensationBlock, BeforeValidator(_spelled_out)]] = Field(
        default_factory=dict
    )
    function_activities: FunctionActivitiesBlock = FunctionActivitiesBlock()
    interop: InteropBlock = InteropBlock()
    expose: Mapping[Name, ExposedWorkflowBlock] = Field(default_factory=dict)
    admin: AdminBlock = AdminBlock()
    worker_outbox: WorkerOutboxLimits = WorkerOutboxLimits()
    payloads: PayloadsBlock = PayloadsBlock()
    codec_endpoint: CodecBlock | None = None

    @field_validator("namespaces")
    @classmethod
    def _are_told_apart(
        cls, namespaces: tuple[MappedNamespaceBlock, ...], info: ValidationInfo
    ) -> tuple[MappedNamespaceBlock, ...]:
        home = info.data.get("address")
        kept = [(home, info.data.get("namespace"))]
        kept += [(each.address or home, each.namespace) for each in namespaces]
        mapped = [name for each in namespaces for name in each.iii]
        if (twice := _first_repeated(kept)) is not None:
            raise conflict(
                f"the namespace '{twice[1]}' of Temporal is named twice", "name it once, with all its `iii`"
            )
        if (name := _first_repeated(mapped)) is not None:
            raise conflict(f"the namespace '{name}' of iii is mapped twice", "keep one of the two")
        return namespaces

    @property
    def everywhere(self) -> tuple["TemporalBlock", ...]:
        """This block as it is for each namespace of Temporal, the bridge's own first."""
        return (self, *(self.model_copy(update=each.connection) for each in self.namespaces))

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to Temporal is: asked for, or implied by an API key."""
        return self.tls.enabled if self.tls else (self.api_key or self.api_key_file) is not None
