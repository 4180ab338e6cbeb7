"""The README says what the code does."""

import re
from pathlib import Path

import click
import pytest

from bridge.builtins.channels.table import DEFAULT_MESSAGES, MAX_MESSAGES
from bridge.cli import main
from bridge.config import HttpBlock, QueueBlock, QueueConfig, StreamKvAdapter, TemporalBlock
from bridge.engine.backlog import BacklogLimits
from bridge.engine.registrations import MOST_BYTES, MOST_REGISTRATIONS
from bridge.listeners.worker_socket import SocketLimits
from bridge.temporal.dev_server import TUNING
from bridge.temporal.enqueuer import EnqueueSettings
from workflows.topic import MOST_SUBSCRIPTIONS

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
MIB = 1024 * 1024
ROWS = {row.split(" | ")[0]: row for row in re.findall(r"^\| (.*) \|$", README, re.MULTILINE)}
TEMPORAL, QUEUE, HTTP, BACKLOG = TemporalBlock(), QueueConfig(), HttpBlock(), BacklogLimits()
LIMITS = {
    "message to or from a worker": f"{SocketLimits().message_bytes // MIB} MiB",
    "payload of an enqueued message": f"{EnqueueSettings().payload_limit_bytes:,} bytes",
    "result of a message that is kept": f"{EnqueueSettings().payload_limit_bytes:,} bytes;",
    "messages one handler adds to its own chain": f"{TEMPORAL.max_steps_per_handler};",
    "wait for Temporal to accept a message": f"{TEMPORAL.enqueue_timeout_ms:,} ms",
    "until Temporal notices that a bridge is gone": f"{TEMPORAL.heartbeat_timeout_ms:,} ms",
    "running work of a stopping bridge": f"{TEMPORAL.drain_timeout_ms:,} ms",
    "waiting for a slow worker": (
        f"{TEMPORAL.worker_outbox.max_messages:,} messages, {TEMPORAL.worker_outbox.max_bytes // MIB} MiB;"
    ),
    "calls of one worker in progress in the bridge": (
        f"{BACKLOG.calls:,} with {BACKLOG.size_bytes // MIB} MiB, "
        f"then it is read no further for {BACKLOG.patience_s} s,"
    ),
    "functions, triggers and trigger types of one worker": (
        f"{MOST_REGISTRATIONS:,} with {MOST_BYTES // MIB} MiB"
    ),
    "one attempt of a message": f"{QUEUE.timeout_ms:,} ms",
    "delay between two attempts": f"{QUEUE.max_backoff_ms:,} ms",
    "messages of a queue at once, per bridge": f"{QUEUE.concurrency}",
    "functions subscribed to one durable topic": f"{MOST_SUBSCRIPTIONS};",
    "absence of a durable topic's subscriber": f"{QueueBlock().absent_subscriber_timeout_ms:,} ms",
    "JSON body of an HTTP request": f"{HTTP.body_limit_bytes // MIB} MiB",
    "head of an HTTP response": f"{HTTP.default_timeout_ms:,} ms",
    "HTTP requests at once": f"{HTTP.concurrency_request_limit:,},",
    "events kept for a slow stream client": f"{StreamKvAdapter().config.channel_size}",
    "messages in a channel": f"{DEFAULT_MESSAGES}, at most {MAX_MESSAGES:,}",
}


@pytest.mark.parametrize("flag", TUNING)
def test_every_tuning_flag_of_the_dev_server_is_given_for_other_servers(flag: str) -> None:
    section = README[README.index("## A Temporal server of your own") :]
    assert flag in section


def test_every_command_is_listed() -> None:
    commands = main.list_commands(click.Context(main))
    assert set(re.findall(r"^\| `iii-temporal (\w+)", README, re.MULTILINE)) == set(commands)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_has_the_value_it_has_in_the_code(limit: str) -> None:
    assert ROWS[limit].split(" | ")[1].startswith(LIMITS[limit])


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
