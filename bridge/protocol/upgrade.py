"""What a program is told of the HTTP request that opened a WebSocket (spec 03 §3.5, 05 §5.3)."""

from collections.abc import Iterable

__all__ = ["parse_query", "visible_headers"]


def visible_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name: of a repeated one the last, and only values of visible ASCII."""
    return {name.lower(): value for name, value in headers if _is_visible(value)}


def parse_query(query: str) -> dict[str, list[str]]:
    """Return the values of each name in a query string, undecoded; a name without `=` has an empty one."""
    values: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name:
            values.setdefault(name, []).append(value)
    return values


def _is_visible(value: str) -> bool:
    return all(character == "\t" or " " <= character <= "~" for character in value)
