"""The part of `iii-temporal` that maps namespaces of iii to those of Temporal; ours (docs/connecting.md)."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator

from bridge.config.block import Block, Name, conflict
from bridge.config.blocks.frontend import Address, HeaderName, HeaderValue, KeyFile, UiUrl, web_ui_of
from bridge.config.blocks.temporal_tls import TlsBlock

__all__ = ["MappedNamespaceBlock"]

_HOME = "default"


class MappedNamespaceBlock(Block):
    """A namespace of Temporal that keeps what is enqueued for the functions of certain namespaces of iii.

    What is not given is as for the bridge's own namespace. With an `address` nothing is: a key or a
    certificate goes to no server for which it was not written.

    Attributes:
        profile: The profile of Temporal's own tools that gives what is not given here.
        namespace: Temporal's.
        iii: The namespaces of iii.
        address: `host:port` of another frontend.
        api_key: Its key.
        api_key_file: The file that holds it, instead.
        tls: The encrypted way to it.
        grpc_meta: Headers that every request to it carries.
        ui_url: Its Web UI.
    """

    profile: Name | None = None
    namespace: Name
    iii: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    address: Address | None = None
    api_key: SecretStr | None = None
    api_key_file: KeyFile = None
    tls: TlsBlock | None = None
    grpc_meta: Mapping[HeaderName, HeaderValue] | None = None
    ui_url: UiUrl | None = None

    @field_validator("iii")
    @classmethod
    def _is_not_home(cls, iii: tuple[str, ...]) -> tuple[str, ...]:
        if _HOME in iii:
            raise conflict(
                f"`{_HOME}` of iii is kept in the bridge's own namespace of Temporal",
                "remove it here; `namespace` of iii-temporal says which one that is",
            )
        return iii

    @property
    def connection(self) -> dict[str, Any]:
        """The keys of the way to Temporal, those of `iii-temporal`, that differ here."""
        here = {"namespace": self.namespace}
        key = {"api_key": self.api_key, "api_key_file": self.api_key_file}
        others = {"tls": self.tls, "grpc_meta": self.grpc_meta, "ui_url": self.ui_url}
        if self.address is None:
            given = {name: value for name, value in others.items() if value is not None}
            return here | given | (key if any(key.values()) else {})
        elsewhere = {
            "address": self.address,
            "grpc_meta": self.grpc_meta or {},
            "ui_url": self.ui_url or web_ui_of(self.address),
        }
        return here | key | others | elsewhere
