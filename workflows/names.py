"""Ids and task queues: one place where every name in Temporal is made."""

import hashlib
import re
from urllib.parse import quote

from workflows.contract import Tenancy

__all__ = [
    "alarm_id",
    "annex_id",
    "bulk_id",
    "chain_id",
    "cron_task_queue",
    "dead_letter_id",
    "dead_letter_prefix",
    "dedupe_id",
    "lane_id",
    "operations_task_queue",
    "queue_task_queue",
    "receipt_at",
    "receipt_tag",
    "schedule_id",
    "seal_key_id",
    "search_text",
    "shorten",
    "subscriber_queue",
    "task_queue",
    "topic_id",
    "topic_prefix",
    "workflow_type",
]

_LONGEST_NAME = 255
"""Of a workflow's id and type, in characters: what Temporal's SQL databases take."""
_UUID_LENGTH = 36
_LONGEST_SEGMENT = 200
_LONGEST_SEARCH_TEXT = 255
_AMBIGUOUS_COLON = re.compile(r":(?=:|$)")
_LONGEST_QUEUE = 220
"""In characters: a task queue has at most 1,000 bytes, and a search attribute holds the whole name."""
_DIGEST_LENGTH = 32
_RECEIPT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG_LENGTH = len("00000000-0000")


def task_queue(tenancy: Tenancy) -> str:
    """Return the task queue of our workflows, and of functions that other people's workflows call."""
    return tenancy.prefix


def operations_task_queue(tenancy: Tenancy) -> str:
    """Return the task queue of our own activities: calls of functions would hold them up on theirs."""
    return f"{tenancy.prefix}.operations"


def cron_task_queue(tenancy: Tenancy) -> str:
    """Return the task queue of cron fires: long ones would hold up our own activities on theirs."""
    return f"{tenancy.prefix}.cron"


def queue_task_queue(tenancy: Tenancy, queue: str) -> str:
    """Return the task queue on which a named queue's deliveries run."""
    return f"{tenancy.prefix}.q.{queue}"


def schedule_id(tenancy: Tenancy, key: str) -> str:
    """Return the id of a cron trigger's schedule; an empty key gives what all of them begin with."""
    return f"{tenancy.prefix}.cron/{key}"


def chain_id(tenancy: Tenancy, receipt: str) -> str:
    """Return the workflow id of the chain that began with a receipt."""
    return f"{tenancy.prefix}.chain/{receipt}"


def lane_id(tenancy: Tenancy, queue: str, group: str) -> str:
    """Return the workflow id of a FIFO group's lane, which leaves room for those of its annexes."""
    name = f"{tenancy.prefix}.fifo/{_segment(queue)}/{_segment(group)}"
    return shorten(name, _LONGEST_NAME - _UUID_LENGTH - 1)


def annex_id(tenancy: Tenancy, queue: str, group: str, key: str) -> str:
    """Return the workflow id of a part of a FIFO group's line that its lane could not keep."""
    return f"{lane_id(tenancy, queue, group)}/{key}"


def dead_letter_prefix(tenancy: Tenancy, queue: str) -> str:
    """Return how the workflow ids of a queue's dead letters begin."""
    return shorten(f"{tenancy.prefix}.dlq/{_segment(queue)}", _LONGEST_NAME - _UUID_LENGTH - 1) + "/"


def dead_letter_id(tenancy: Tenancy, queue: str, receipt: str) -> str:
    """Return the workflow id of a dead letter."""
    return f"{dead_letter_prefix(tenancy, queue)}{receipt}"


def alarm_id(tenancy: Tenancy, queue: str) -> str:
    """Return the workflow id of a queue's alarm: there is one at a time."""
    return shorten(f"{tenancy.prefix}.alarm/{_segment(queue)}", _LONGEST_NAME)


def bulk_id(tenancy: Tenancy, operation_id: str) -> str:
    """Return the workflow id of a bulk operation on dead letters."""
    return f"{tenancy.prefix}.bulk/{operation_id}"


def dedupe_id(tenancy: Tenancy, queue: str, value: str) -> str:
    """Return the workflow id of the marker that a value of a queue's dedupe field is taken."""
    return shorten(f"{tenancy.prefix}.dedupe/{_segment(queue)}/{_segment(value)}", _LONGEST_NAME)


def seal_key_id(tenancy: Tenancy) -> str:
    """Return the workflow id of the key with which bridges seal what they say of a job."""
    return f"{tenancy.prefix}.seal-key"


def receipt_tag(home: str) -> str:
    """Return how the receipts begin of everything that one workflow keeps.

    So whoever has a receipt finds the workflow: a chain by its id, which begins like the receipts of all of
    its steps; a lane by a search attribute.

    Args:
        home: The receipt in the id of a chain, or the id of a lane.
    """
    if _RECEIPT.fullmatch(home):
        return home[:_TAG_LENGTH]
    digest = hashlib.sha256(home.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}"


def receipt_at(home: str, receipt: str) -> str:
    """Return a receipt as unique as another one that tells which workflow keeps the message."""
    return receipt_tag(home) + receipt[_TAG_LENGTH:]


def topic_prefix(tenancy: Tenancy) -> str:
    """Return how the workflow ids of all topics begin."""
    return f"{tenancy.prefix}.topic/"


def topic_id(tenancy: Tenancy, topic: str) -> str:
    """Return the workflow id of a durable topic."""
    return shorten(f"{topic_prefix(tenancy)}{_segment(topic)}", _LONGEST_NAME)


def subscriber_queue(topic: str, function_id: str, namespace: str) -> str:
    """Return the internal queue of a function that is subscribed to a topic (spec 02 §5.3).

    Functions have `::` in their ids; a topic that could be taken for one with such a function is escaped.
    """
    topic = _AMBIGUOUS_COLON.sub(r"\\:", _escaped(topic))
    name = f"{topic}::{_escaped(function_id)}"
    if namespace != "default":
        name += f"@{_escaped(namespace)}"
    return shorten(name, _LONGEST_QUEUE)


def workflow_type(function_id: str) -> str:
    """Return the type of a chain that begins with a function: its id, as far as databases take it."""
    return shorten(_writable(function_id), _LONGEST_NAME)


def search_text(text: str) -> str:
    """Return what of a text fits into a search attribute: 255 characters on SQL, 2,048 bytes elsewhere."""
    return _writable(text[:_LONGEST_SEARCH_TEXT])


def shorten(text: str, length: int) -> str:
    """Return a text of at most a length; texts that differ stay different."""
    if len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{text[: length - _DIGEST_LENGTH - 1]}~{digest}"


def _writable(text: str) -> str:
    """Return a text without the one character that PostgreSQL takes in none."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _segment(text: str) -> str:
    """Escape what separates the parts of an id, and nothing that is readable."""
    return shorten(quote(text, safe=" !\"#$&'()*+,:;<=>?@[]^_`{|}~"), _LONGEST_SEGMENT)


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("@", "\\@")
