"""`iii-temporal`: our own block; where Temporal is and how we use it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from bridge.config.block import Bind, Block, Milliseconds, Name, Port, PositiveMilliseconds, conflict
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens
from bridge.config.blocks.interop import ExposedWorkflowBlock, FunctionActivitiesBlock, InteropBlock
from bridge.config.blocks.payloads import CodecBlock, PayloadsBlock
from bridge.config.hosts import is_loopback

__all__ = ["AdminBlock", "TemporalBlock", "TlsBlock", "WorkerOutboxLimits"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
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


class TlsBlock(Block):
    """The encrypted way to Temporal; an empty mapping uses the system's certificate authorities.

    Attributes:
        ca_file: Certificates to trust, PEM.
        cert_file: Our own certificate, PEM.
        key_file: Its key, PEM.
        server_name: The name to expect in the server's certificate.
    """

    ca_file: Annotated[FilePath | None, Field(strict=False)] = None
    cert_file: Annotated[FilePath | None, Field(strict=False)] = None
    key_file: Annotated[FilePath | None, Field(strict=False, validate_default=True)] = None
    server_name: Name | None = None

    @field_validator("key_file")
    @classmethod
    def _goes_with_a_certificate(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if "cert_file" in info.data and (info.data["cert_file"] is None) != (key_file is None):
            raise conflict("`cert_file` and `key_file` go together", "give both or neither")
        return key_file


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
    """What may wait for one worker that reads slowly; beyond it the connection is closed.

    Attributes:
        max_messages: Frames.
        max_bytes: Their size.
    """

    max_messages: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    max_bytes: Annotated[int, Field(ge=_MEBIBYTE, le=2**40)] = 64 * _MEBIBYTE


class TemporalBlock(Block):
    """Where Temporal is and how we use it.

    Attributes:
        address: `host:port` of the frontend.
        namespace: Temporal's namespace, not iii's.
        api_key: The key of Temporal Cloud.
        tls: `None` is unencrypted, unless an `api_key` is given.
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

    address: Annotated[str, AfterValidator(_host_and_port)] = "127.0.0.1:7233"
    namespace: Name = "default"
    api_key: SecretStr | None = None
    tls: TlsBlock | None = None
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
