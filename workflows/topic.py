"""A durable topic: who is subscribed to it (docs/architecture.md).

Publishers read the subscribers from the memo, so that a publish needs no worker and sees every subscription
that was acknowledged. A subscription outlives its worker: it ends when its trigger is unregistered, or after
a long absence.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.calls import now_ms, wait_until
from workflows.contract import (
    Departure,
    Lease,
    Memo,
    Signal,
    Subscriber,
    SubscribeRequest,
    TopicEntry,
    TopicStart,
    Update,
    WorkflowType,
)
from workflows.run_length import is_long

__all__ = ["MOST_SUBSCRIPTIONS", "Topic"]

_FIRST_SUBSCRIPTION = timedelta(minutes=1)
MOST_SUBSCRIPTIONS = 300
"""Temporal takes 2 MB of memo; an id may have 1,000 characters."""


@workflow.defn(name=WorkflowType.TOPIC)
class Topic:
    """Keeps the subscriptions of one topic, and ends with the last of them."""

    @workflow.init
    def __init__(self, start: TopicStart) -> None:
        self._tenancy, self._topic = start.tenancy, start.topic
        self._entries = {entry.subscription.queue: entry for entry in start.entries}
        self._shown: list[Subscriber] = []

    @workflow.run
    async def run(self, start: TopicStart) -> None:  # noqa: ARG002 - read in __init__
        """Wait for the last subscription to end."""
        self._show()
        await wait_until(lambda: bool(self._entries), _FIRST_SUBSCRIPTION)
        while self._entries and not is_long(self._tenancy.pace):
            deadline_ms = self._next_deadline_ms()
            await wait_until(
                lambda: self._must_look_before(deadline_ms),  # noqa: B023 - awaited here
                timedelta(milliseconds=deadline_ms - now_ms()),
            )
            self._expire()
        if self._entries:
            self._continue_as_new()

    @workflow.update(name=Update.SUBSCRIBE)
    def subscribe(self, request: SubscribeRequest) -> None:
        """Take a bridge's word that a function has triggers there."""
        queue = request.subscription.queue
        known = self._entries.get(queue)
        leases = dict(known.leases) if known else {}
        leases[request.holder] = Lease(request.triggers, now_ms() + request.lease_ms)
        if known is not None and request.renews:
            self._entries[queue] = replace(known, leases=leases, is_ending=False)
        else:
            self._entries[queue] = TopicEntry(request.subscription, request.keep_ms, leases)
        self._show()

    @subscribe.validator
    def has_room(self, request: SubscribeRequest) -> None:
        """Refuse a subscription that would not fit into the memo."""
        if request.subscription.queue not in self._entries and len(self._entries) >= MOST_SUBSCRIPTIONS:
            raise ApplicationError(
                f"The topic '{self._topic}' has {MOST_SUBSCRIPTIONS} subscriptions, and no more fit"
            )

    @workflow.update(name=Update.UNSUBSCRIBE)
    def unsubscribe(self, departure: Departure) -> None:
        """Take a bridge's word that the last trigger there was unregistered."""
        entry = self._without(departure)
        if entry is not None and not entry.leases:
            del self._entries[departure.queue]
        elif entry is not None:
            self._entries[departure.queue] = replace(entry, is_ending=True)
        self._show()

    @workflow.signal(name=Signal.RELEASE)
    def release(self, departure: Departure) -> None:
        """Take a bridge's word that the worker of the last trigger there has left, perhaps to return."""
        entry = self._without(departure)
        if entry is not None:
            self._entries[departure.queue] = replace(entry, absent_since_ms=now_ms(), is_ending=False)
        self._show()

    def _without(self, departure: Departure) -> TopicEntry | None:
        entry = self._entries.get(departure.queue)
        if entry is None or departure.holder not in entry.leases:
            return None
        leases = {holder: lease for holder, lease in entry.leases.items() if holder != departure.holder}
        return replace(entry, leases=leases)

    def _next_deadline_ms(self) -> int:
        return min(_deadline_ms(entry) for entry in self._entries.values())

    def _must_look_before(self, deadline_ms: int) -> bool:
        return not self._entries or self._next_deadline_ms() < deadline_ms or is_long(self._tenancy.pace)

    def _expire(self) -> None:
        """Forget bridges that did not renew their word, and subscriptions that have been absent for long."""
        for queue, entry in list(self._entries.items()):
            current = _at(entry, now_ms())
            if current is None:
                del self._entries[queue]
            else:
                self._entries[queue] = current
        self._show()

    def _show(self) -> None:
        """Tell publishers and the Web UI what has changed."""
        subscribers = [
            Subscriber(entry.subscription, sum(lease.triggers for lease in entry.leases.values()))
            for entry in self._entries.values()
        ]
        if subscribers == self._shown:
            return
        self._shown = subscribers
        workflow.upsert_memo(self._memo())
        workflow.set_current_details(
            "\n".join(
                f"- `{each.subscription.function_id}` on `{each.subscription.queue}` "
                + (f"{each.triggers} triggers" if each.triggers else "is away")
                for each in subscribers
            )
        )

    def _memo(self) -> dict[str, Any]:
        return {Memo.TOPIC: self._topic, Memo.SUBSCRIBERS: self._shown}

    def _continue_as_new(self) -> NoReturn:
        entries = tuple(self._entries.values())
        workflow.continue_as_new(TopicStart(self._tenancy, self._topic, entries), memo=self._memo())


def _deadline_ms(entry: TopicEntry) -> int:
    """Tell when to look at a subscription again, if nothing happens before."""
    if entry.leases:
        return min(lease.until_ms for lease in entry.leases.values())
    return entry.absent_since_ms + entry.keep_ms


def _at(entry: TopicEntry, time_ms: int) -> TopicEntry | None:
    """Return what a subscription has become; `None` when it has ended."""
    leases = {holder: lease for holder, lease in entry.leases.items() if lease.until_ms > time_ms}
    if not leases and entry.is_ending:
        return None
    absent_since_ms = entry.absent_since_ms
    if entry.leases and not leases:
        absent_since_ms = max(lease.until_ms for lease in entry.leases.values())
    if not leases and absent_since_ms + entry.keep_ms <= time_ms:
        return None
    return replace(entry, leases=leases, absent_since_ms=absent_since_ms)
