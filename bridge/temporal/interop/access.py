"""The way to other people's workflows: one client per namespace, and payloads that nobody decodes."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec
from temporalio.client import Client
from temporalio.common import RawValue, RetryPolicy

from bridge.engine.workflows import Retry
from bridge.errors import FunctionFailedError
from bridge.protocol.payload import NULL
from bridge.temporal.arguments import raw_value
from bridge.temporal.connection import TemporalConnection

__all__ = ["Namespaces", "json_of", "page_cursor", "page_token", "raw_values", "retry_policy", "span"]


class Namespaces:
    """Clients for namespaces: those that the bridge uses itself, and others of its own server.

    Args:
        connections: The bridge's own ways to Temporal, that to its own namespace first.
    """

    def __init__(self, connections: Sequence[TemporalConnection]) -> None:
        self._connection = connections[0]
        self._known = {each.address.namespace: each for each in reversed(connections)}
        self._home: Client | None = None
        self._others: dict[str, Client] = {}

    @property
    def home(self) -> str:
        """The namespace of the bridge."""
        return self._connection.address.namespace

    def client(self, namespace: str | None) -> Client:
        """Return the client for a namespace, by default that of the bridge.

        Raises:
            EnqueueError: Temporal has not been reached since the bridge started.
        """
        home = self._connection.client
        if namespace is None:
            return home
        if namespace in self._known:
            return self._known[namespace].client
        if home is not self._home:  # the others share its connection, and so its certificates
            self._home, self._others = home, {}
        if namespace not in self._others:
            self._others[namespace] = Client(**(home.config() | {"namespace": namespace}))
        return self._others[namespace]


def raw_values(arguments: Iterable[msgspec.Raw]) -> list[RawValue]:
    """Return JSON texts as arguments."""
    return [raw_value(bytes(each)) for each in arguments]


def json_of(value: RawValue | None) -> msgspec.Raw:
    """Return what a workflow answered.

    Raises:
        FunctionFailedError: It is no JSON.
    """
    if value is None:
        return NULL
    encoding = value.payload.metadata.get("encoding", b"")
    if encoding == b"binary/null":
        return NULL
    if not encoding.startswith(b"json/"):
        raise FunctionFailedError(
            "result_is_not_json",
            f"The workflow answered {encoding.decode(errors='replace') or 'something without encoding'}; "
            "functions can take JSON only",
        )
    return msgspec.Raw(value.payload.data)


def span(milliseconds: int | None) -> timedelta | None:
    """Return a span of time."""
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)


def retry_policy(retry: Retry | None) -> RetryPolicy | None:
    """Return a retry policy as the SDK takes it."""
    if retry is None:
        return None
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=retry.initial_interval_ms),
        backoff_coefficient=retry.backoff_coefficient,
        maximum_interval=span(retry.max_interval_ms),
        maximum_attempts=retry.max_attempts,
        non_retryable_error_types=list(retry.non_retryable_errors) or None,
    )


def page_cursor(token: bytes | None) -> str | None:
    """Return where the next page begins, as functions are told."""
    return base64.urlsafe_b64encode(token).decode() if token else None


def page_token(cursor: str | None) -> bytes | None:
    """Return where the next page begins, as Temporal takes it.

    Raises:
        FunctionFailedError: It is no cursor.
    """
    try:
        return base64.urlsafe_b64decode(cursor) if cursor else None
    except (binascii.Error, ValueError) as exc:
        raise FunctionFailedError(
            "invalid_cursor", "The cursor is not the `next` of another page; leave it out to begin"
        ) from exc
