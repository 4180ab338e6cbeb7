"""The trigger type `temporal` without a server: what it refuses, and what it does when sending fails."""

from typing import Any, cast

import msgspec
import pytest

from bridge.builtins.temporal_functions import ClosedWorkflows
from bridge.engine.calls import Call
from bridge.engine.triggers import Binding
from bridge.engine.workflows import ListWorkflows, WorkflowPage, Workflows, WorkflowView
from bridge.errors import EnqueueError, FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from bridge.storage import MemoryStore

BEGAN_MS = 1_000_000


class FakeWorkflows:
    """Lists what the test says has closed."""

    def __init__(self) -> None:
        self.closed: list[tuple[str, int]] = []
        self.is_allowed = True

    def check_namespace(self, namespace: str | None) -> None:
        if not self.is_allowed:
            raise FunctionFailedError("FORBIDDEN", f"nothing in {namespace}")

    async def list(self, asked: ListWorkflows) -> WorkflowPage:
        rows = [
            WorkflowView("w", run_id, "Order", "q", "default", "completed", 0, ended_ms, 5)
            for run_id, ended_ms in self.closed
            if ended_ms > (asked.closed_after_ms or 0)
        ]
        return WorkflowPage(rows, None)


class Site:
    """The trigger type with fakes around it."""

    def __init__(self, store: MemoryStore | None) -> None:
        self.workflows = FakeWorkflows()
        self.sent: list[tuple[str, str]] = []
        self.is_down = False
        self.triggers = ClosedWorkflows(
            cast("Workflows", self.workflows), store, self._send, now_ms=lambda: BEGAN_MS
        )

    def bind(self, config: Any) -> None:
        self.triggers.bind(Binding("b", "temporal", "told", payload.encode(config)))

    async def look(self) -> list[str]:
        """Look once and return the runs that were sent by then, in order."""
        for subscription in self.triggers._subscriptions.values():
            await self.triggers._try(subscription)
        return [run_id for run_id, _ in self.sent]

    async def _send(self, call: Call, queue: str, receipt: str) -> None:
        assert queue == "default"
        if self.is_down:
            raise EnqueueError("down")
        self.sent.append((msgspec.json.decode(call.data)["run_id"], receipt))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def site(store: MemoryStore) -> Site:
    site = Site(store)
    site.bind({"workflow": "Order"})
    return site


def test_a_binding_without_a_store_is_refused_with_the_remedy() -> None:
    with pytest.raises(TriggerRejectedError, match="iii-state"):
        Site(None).bind({"workflow": "Order"})


@pytest.mark.parametrize("config", [None, {}, {"workflow": ""}, {"workflow": "a", "status": "odd"}])
def test_a_wrong_configuration_is_refused(store: MemoryStore, config: Any) -> None:
    with pytest.raises(TriggerRejectedError):
        Site(store).bind(config)


def test_a_binding_that_no_rule_allows_is_refused(store: MemoryStore) -> None:
    site = Site(store)
    site.workflows.is_allowed = False
    with pytest.raises(TriggerRejectedError, match="nothing in"):
        site.bind({"workflow": "Order"})


async def test_closes_from_before_the_subscription_are_not_told(site: Site) -> None:
    site.workflows.closed = [("before", BEGAN_MS - 1), ("after", BEGAN_MS + 1)]
    assert await site.look() == ["after"]


async def test_a_close_that_shows_late_is_told_and_none_twice(site: Site) -> None:
    site.workflows.closed = [("second", BEGAN_MS + 30_000)]
    await site.look()
    site.workflows.closed.append(("first", BEGAN_MS + 10))
    await site.look()
    assert await site.look() == ["second", "first"]


async def test_what_could_not_be_sent_is_sent_by_the_next_look(site: Site) -> None:
    site.workflows.closed = [("run", BEGAN_MS + 1)]
    site.is_down = True
    assert await site.look() == []
    site.is_down = False
    assert await site.look() == ["run"]


async def test_a_new_bridge_goes_on_at_the_cursor_under_the_same_receipts(
    site: Site, store: MemoryStore
) -> None:
    site.workflows.closed = [("early", BEGAN_MS + 1), ("late", BEGAN_MS + 100_000)]
    await site.look()
    following = Site(store)
    following.bind({"workflow": "Order"})
    following.workflows.closed = [*site.workflows.closed, ("missed", BEGAN_MS + 100_001)]
    await following.look()
    assert dict(following.sent)["late"] == dict(site.sent)["late"]
    assert [run_id for run_id, _ in following.sent] == ["late", "missed"]
