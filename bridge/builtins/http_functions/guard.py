"""Which URLs may be called, and which addresses may be reached (spec 04 §7.4)."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import translate

import httpx

from bridge.builtins.http_functions.settings import HttpFunctionsSettings
from bridge.errors import ConfigError, FunctionFailedError

__all__ = ["Resolve", "UrlGuard", "is_public", "resolve"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks up all addresses of a host; raises `OSError` when there are none."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Tell whether an address belongs to the internet at large.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged as what it reaches.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class UrlGuard:
    """Refuses URLs and addresses by the settings.

    Addresses are checked where the connection is made, with the very address it is made to: what a name
    resolves to later, or where a redirect points, makes no difference.

    Args:
        settings: What is allowed.
        resolve: Looks up addresses.

    Raises:
        ConfigError: A glob of the allow list is malformed.
    """

    def __init__(self, settings: HttpFunctionsSettings, resolve: Resolve) -> None:
        self._resolve = resolve
        self.apply(settings)

    def apply(self, settings: HttpFunctionsSettings) -> None:
        """Judge from now on by new settings.

        Raises:
            ConfigError: A glob of the allow list is malformed; nothing has changed.
        """
        self._allowed = [_compile(glob) for glob in settings.url_allowlist or ("*",)]
        self._settings = settings

    def check(self, url: str) -> httpx.URL:
        """Check all of a URL that can be checked without asking the network.

        Raises:
            FunctionFailedError: It is refused; the code is `url_validation_failed`.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise _refused(f"Invalid URL: {exc}") from exc
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _refused("Invalid URL: it must begin with https:// or http:// and name a host")
        if self._settings.require_https and parsed.scheme != "https":
            raise _refused("HTTPS is required; set require_https: false to allow plain HTTP")
        if not any(glob.fullmatch(parsed.host) for glob in self._allowed):
            raise _refused(f"URL not in allowlist: no glob of url_allowlist matches the host {parsed.host}")
        if self._settings.block_private_ips and _is_literal(parsed.host) and not is_public(parsed.host):
            raise _private(parsed.host)
        return parsed

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses that a connection to a host may be made to.

        Raises:
            FunctionFailedError: Some address of the host is private, or there is none.
        """
        if not self._settings.block_private_ips:
            return [host]
        try:
            found = [host] if _is_literal(host) else await self._resolve(host, port)
        except OSError as exc:
            raise _refused(f"DNS lookup failed for {host}: {exc}") from exc
        if not all(is_public(address) for address in found):
            raise _private(host)
        return found


async def resolve(host: str, port: int) -> Sequence[str]:
    """Look up all addresses of a host with the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _compile(glob: str) -> re.Pattern[str]:
    if glob.count("[") != glob.count("]"):
        raise ConfigError(f"url_allowlist has the malformed glob {glob!r}: a bracket is not closed")
    return re.compile(translate(glob))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _private(host: str) -> FunctionFailedError:
    return _refused(
        f"Private IP blocked: {host} is, or resolves to, an address that is not public; "
        "set block_private_ips: false to allow it"
    )


def _refused(message: str) -> FunctionFailedError:
    return FunctionFailedError("url_validation_failed", message)
