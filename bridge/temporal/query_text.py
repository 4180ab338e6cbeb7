"""Texts of users inside the queries of Temporal's visibility."""

__all__ = ["quoted"]


def quoted(text: str) -> str:
    """Return a text as a value in a query, whatever it contains.

    No SQL database takes a NUL; it is replaced here as in search attributes (`workflows.names.search_text`).
    """
    return "'" + text.replace("'", "''").replace("\0", "\N{REPLACEMENT CHARACTER}") + "'"
