"""`iii-temporal`: our own block; where Temporal is and how we use it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from bridge.config.block import Bind, Block, Milliseconds, Name, Port, PositiveMilliseconds
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens
from bridge.config.blocks.interop import ExposedWorkflowBlock, FunctionActivitiesBlock, InteropBlock
from bridge.config.blocks.payloads import CodecBlock, PayloadsBlock
from bridge.config.blocks.temporal_tls import TlsBlock
from bridge.config.hosts import is_loopback

__all__ = ["AdminBlock", "TemporalBlock", "WorkerOutboxLimits"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_HEADER = re.compile(r"[a-z0-9_.-]+")
_CLOUD_HOST_SUFFIXES = (".tmprl.cloud", ".api.temporal.io")
_MEBIBYTE = 1024 * 1024


def _host_and_port(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found["port"]) <= 65535:  # noqa: PLR2004 - the ports of TCP
        raise PydanticCustomError(
            "address",
            "`address` is not `host:port`",
            {"allowed": "host:port without a scheme, such as 127.0.0.1:7233"},
        )
    return address


def _web_ui(block: Mapping[str, Any]) -> str | None:
    host = block.get("address", "").rpartition(":")[0].strip("[]")
    if host.endswith(_CLOUD_HOST_SUFFIXES):
        return "https://cloud.temporal.io"
    return "http://127.0.0.1:8233" if is_loopback(host) else None


def _names_text(header: str) -> str:
    if _HEADER.fullmatch(header) is None or header.endswith("-bin"):
        raise PydanticCustomError(
            "header",
            "this is not the name of a header with text",
            {"allowed": "lower-case letters, digits, `-`, `_`, `.`; names that end in `-bin` are for bytes"},
        )
    return header


def _fits_in_a_header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise PydanticCustomError(
            "header", "the value does not fit in a header", {"allowed": "printable ASCII characters"}
        )
    return value


_HeaderName = Annotated[str, AfterValidator(_names_text)]
_HeaderValue = Annotated[SecretStr, AfterValidator(_fits_in_a_header)]


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
        tls: `None` is unencrypted, unless an `api_key` is given.
        grpc_meta: Headers that every request to Temporal carries.
        prefix: The first part of every task queue, workflow id and schedule id; several bridges with
            different prefixes share a namespace without seeing each other.
        ui_url: The Web UI, for links in logs and answers; `None` when it cannot be derived.
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

    profile: Name | None = None
    config_file: Annotated[FilePath | None, Field(strict=False)] = None
    address: Annotated[str, AfterValidator(_host_and_port)] = "127.0.0.1:7233"
    namespace: Name = "default"
    api_key: SecretStr | None = None
    tls: TlsBlock | None = None
    grpc_meta: Mapping[_HeaderName, _HeaderValue] = Field(default={})
    prefix: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"),
        Field(description="1 to 63 letters, digits, `_` and `-`, beginning with a letter or digit"),
    ] = "iii"
    ui_url: Annotated[str, Field(pattern=r"^https?://", description="an http or https URL")] | None = Field(
        default_factory=_web_ui
    )
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

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to Temporal is: asked for, or implied by an API key."""
        return self.tls.enabled if self.tls else self.api_key is not None
