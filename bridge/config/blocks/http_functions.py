"""`iii-http-functions` (spec 04 §7.4)."""

import re
from collections.abc import Container
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from bridge.config.block import Block

__all__ = ["HttpFunctionsBlock", "UrlSecurity"]

_UNCLOSED_SET = re.compile(r"\[!?\]?[^\]]*$")


def _globs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        if _UNCLOSED_SET.search(pattern):
            raise PydanticCustomError(
                "glob", "`{pattern}` is not a glob: `[` is not closed", {"pattern": pattern}
            )
    return patterns or ("*",)


class UrlSecurity(Block):
    """Which URLs a worker may register as functions.

    Attributes:
        url_allowlist: Shell globs for the host name alone; empty allows any.
        block_private_ips: Refuse loopback, private and link-local addresses.
        require_https: Refuse `http://`.
    """

    url_allowlist: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_globs)] = ("*",)
    block_private_ips: bool = True
    require_https: bool = True


class HttpFunctionsBlock(Block):
    """Functions that are an HTTP endpoint elsewhere; offered only when the file lists this block."""

    live: ClassVar[Container[str]] = ("security",)

    security: UrlSecurity = UrlSecurity()
