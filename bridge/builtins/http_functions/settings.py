"""What HTTP-invoked functions may reach (spec 04 §7.4)."""

from dataclasses import dataclass

__all__ = ["HttpFunctionsSettings"]


@dataclass(frozen=True, slots=True)
class HttpFunctionsSettings:
    """Settings of the worker `iii-http-functions`.

    Attributes:
        url_allowlist: Shell globs for the host name; empty allows any.
        block_private_ips: Whether only public addresses may be reached.
        require_https: Whether TLS is required.
    """

    url_allowlist: tuple[str, ...] = ("*",)
    block_private_ips: bool = True
    require_https: bool = True
