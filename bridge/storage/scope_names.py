"""Scope names made of several parts, such as a stream and a group, which no `:` in a part can make ambiguous.

Unlike the names of spec 03 §3.1: there the group `b` of the stream `x:a` and the group `a:b` of `x` are one.
"""

from urllib.parse import unquote

__all__ = ["join_scope", "scope_prefix", "split_scope"]


def join_scope(*parts: str) -> str:
    """Return the scope name of some parts: `stream:chat:room-7`.

    The order of such names is not always the order of their parts, so sort what `split_scope` returns.
    """
    return ":".join(_escape(part) for part in parts)


def scope_prefix(*parts: str) -> str:
    """Return what exactly the scope names with these first parts, and at least one more, begin with."""
    return join_scope(*parts, "")


def split_scope(name: str) -> tuple[str, ...]:
    """Return the parts of a name that `join_scope` made."""
    return tuple(unquote(part) for part in name.split(":"))


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")
