"""What waits in a chain before it becomes a step: for an event, or for other messages to end."""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from temporalio.common import RawValue

from workflows.calls import now_ms, wait_until
from workflows.contract import Hold, Message, StepStatus, Tenancy, WatchedEnd
from workflows.moving import json_value

__all__ = ["Holds", "Watch"]

Watch = Callable[[str], Awaitable[WatchedEnd | None]]
"""Asks for a message, by its receipt: how it ended, or `None` and its end will be told (`Holds.ended`)."""

_MOST_EVENTS_KEPT = 100
_MOST_EVENT_BYTES = 150_000
_MOST_END_BYTES_CARRIED = 100_000
_LOOKS_FOR_THE_UNKNOWN = 6
"""A message that nobody knows may be on its way, or found by a search that lags behind."""
_UNKNOWN = "unknown"
_OPEN = "running"
_LARGEST_PAYLOAD = 1_500_000
"""Where Temporal keeps all payloads: it takes 2 MB."""


class Holds:
    """What a chain holds back.

    Args:
        tenancy: How patient it is, and how large payloads may be.
        held: What it held back before it continued as new, with the payloads.
        events: Payloads, as JSON text, of events that came before anybody waited for them, by name.
        ends: How messages ended that something still waits for.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        held: Iterable[tuple[Hold, RawValue]] = (),
        events: Mapping[str, list[str]] | None = None,
        ends: Iterable[WatchedEnd] = (),
    ) -> None:
        self._pace = tenancy.pace
        self._stored_bytes = tenancy.stored_bytes
        self._held = OrderedDict((hold.receipt, (hold, payload)) for hold, payload in held)
        self._events = {name: list(payloads) for name, payloads in (events or {}).items()}
        self._ends = {end.receipt: end for end in ends}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, receipt: str) -> bool:
        return receipt in self._held

    @property
    def held(self) -> list[tuple[Hold, RawValue]]:
        """What waits, with the payloads, oldest first."""
        return list(self._held.values())

    @property
    def events(self) -> dict[str, list[str]]:
        """Events that nobody has waited for yet."""
        return self._events

    def take(self, hold: Hold, payload: RawValue) -> bool:
        """Hold something back; answers whether it was not yet."""
        return self._held.setdefault(hold.receipt, (hold, payload))[0] is hold

    def drop_all(self) -> list[Hold]:
        """Let go of everything, and return it."""
        dropped = [hold for hold, _ in self._held.values()]
        self._held.clear()
        return dropped

    def event(self, name: str, payload: RawValue) -> None:
        """Take an event, for what has waited for it longest, or for what will wait for it."""
        kept = self._events.setdefault(name, [])
        kept.append(payload.payload.data.decode())
        del kept[:-_MOST_EVENTS_KEPT]
        while sum(len(text) for texts in self._events.values() for text in texts) > _MOST_EVENT_BYTES:
            oldest = next(texts for texts in self._events.values() if texts)
            del oldest[0]

    def carried_ends(self) -> tuple[WatchedEnd, ...]:
        """Return how the messages ended that are still waited for; results that do not fit are left out."""
        room, carried = self._stored_bytes or _MOST_END_BYTES_CARRIED, []
        for end in self._ends.values():
            room -= len(end.result or "")
            carried.append(end if room >= 0 else replace(end, result=None))
        return tuple(carried)

    def wants(self, receipt: str) -> bool:
        """Tell whether something waits for a message to end."""
        return any(receipt in hold.receipts for hold, _ in self._held.values())

    def ended(self, end: WatchedEnd) -> None:
        """Take word of how a message ended."""
        if self.wants(end.receipt):
            self._ends[end.receipt] = end

    async def release(
        self, hold: Hold, payload: RawValue, *, is_leaving: Callable[[], bool], watch: Watch
    ) -> tuple[Message | None, RawValue] | None:
        """Wait for what something waits for, and let it go.

        Args:
            hold: What waits.
            payload: The payload that it was given.
            is_leaving: Tells when to stop waiting.
            watch: Asks for a message.

        Returns:
            The step it becomes, `None` for none, with its payload; `None` when the chain is leaving.
        """
        if hold.event is not None:
            released = await self._await_event(hold, hold.event, payload, is_leaving)
        else:
            released = await self._await_messages(hold, payload, is_leaving, watch)
        if released is not None:
            self._held.pop(hold.receipt, None)
            self._ends = {receipt: end for receipt, end in self._ends.items() if self.wants(receipt)}
        return released

    async def _await_event(
        self, hold: Hold, event: str, payload: RawValue, is_leaving: Callable[[], bool]
    ) -> tuple[Message | None, RawValue] | None:
        await wait_until(lambda: bool(self._events.get(event)) or is_leaving(), _time_left(hold))
        if payloads := self._events.get(event):
            data = payloads.pop(0)
            if not payloads:
                del self._events[event]
            return hold.then, _event_payload(hold, event, payload, data)
        return None if is_leaving() else (hold.otherwise, _event_payload(hold, event, payload, None))

    async def _await_messages(
        self, hold: Hold, payload: RawValue, is_leaving: Callable[[], bool], watch: Watch
    ) -> tuple[Message | None, RawValue] | None:
        for receipt in hold.receipts:
            await self._await_message(hold, receipt, is_leaving, watch)
            if is_leaving():
                return None
        missing = WatchedEnd("", _OPEN)
        ends = [self._ends.get(receipt, missing) for receipt in hold.receipts]
        is_good = all(end.status == StepStatus.COMPLETED for end in ends)
        message = hold.then if is_good or hold.otherwise is None else hold.otherwise
        return message, _join_payload(hold, payload, ends, self._stored_bytes or _LARGEST_PAYLOAD)

    async def _await_message(
        self, hold: Hold, receipt: str, is_leaving: Callable[[], bool], watch: Watch
    ) -> None:
        """Wait until a message has ended; ask again now and then, should nobody tell."""

        def goes_on() -> bool:
            return receipt in self._ends or is_leaving()

        wait_ms, looks = self._pace.provider_check_ms, 0
        while not goes_on() and (left := _time_left(hold)) != timedelta():
            end = await watch(receipt)
            looks += 1
            if end is not None and (end.status != _UNKNOWN or looks >= _LOOKS_FOR_THE_UNKNOWN):
                self._ends[receipt] = end
            elif not await wait_until(goes_on, _shorter(timedelta(milliseconds=wait_ms), left)):
                wait_ms = min(wait_ms * 2, self._pace.longest_check_ms)


def _time_left(hold: Hold) -> timedelta | None:
    return None if hold.until_ms is None else timedelta(milliseconds=max(hold.until_ms - now_ms(), 0))


def _shorter(wait: timedelta, limit: timedelta | None) -> timedelta:
    return wait if limit is None else min(wait, limit)


def _event_payload(hold: Hold, event: str, payload: RawValue, data: str | None) -> RawValue:
    return json_value(
        b'{"event":%b,"receipt":%b,"timed_out":%b,"data":%b,"payload":%b}'
        % (
            json.dumps(event).encode(),
            json.dumps(hold.receipt).encode(),
            b"true" if data is None else b"false",
            b"null" if data is None else data.encode(),
            payload.payload.data,
        )
    )


def _join_payload(hold: Hold, payload: RawValue, ends: list[WatchedEnd], most_bytes: int) -> RawValue:
    """Put the results beside the payload; those that would be too much are left out."""
    room = most_bytes - len(payload.payload.data)
    results = []
    for receipt, end in zip(hold.receipts, ends, strict=True):
        room -= len(end.result or "")
        results.append(_result(receipt, end, with_value=room >= 0))
    return json_value(
        b'{"results":[%b],"receipt":%b,"payload":%b}'
        % (b",".join(results), json.dumps(hold.receipt).encode(), payload.payload.data)
    )


def _result(receipt: str, end: WatchedEnd, *, with_value: bool) -> bytes:
    is_omitted = end.status == StepStatus.COMPLETED and (end.result is None or not with_value)
    fields: dict[str, object] = {"receipt": receipt, "status": end.status}
    if end.error is not None:
        fields["error"] = end.error
    if is_omitted:
        fields["result_omitted"] = True
    value = "null" if is_omitted or end.result is None else end.result
    return b'%b,"result":%b}' % (json.dumps(fields).encode()[:-1], value.encode())
