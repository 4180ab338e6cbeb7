"""Schedules brought in line: after outages, beside other bridges, and when nobody returns."""

import pytest
from structlog.testing import capture_logs

from bridge.errors import EngineError
from tests.unit.builtins.cron.cron_harness import HERE, CronHarness

HOURLY = {"expression": "0 0 * * * *"}
KEY = "reports::nightly/some-digest"


async def test_changes_wait_for_temporal_to_return(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    harness.schedules.unreachable_for = 1
    with pytest.raises(EngineError):
        await harness.settle()
    await harness.settle()
    assert len(harness.schedules.kept) == 1


async def test_an_outage_is_survived_and_logged_once(harness: CronHarness) -> None:
    harness.schedules.unreachable_for = 5
    harness.bind(HOURLY)
    with capture_logs() as logs:
        async with harness.running():
            await harness.schedules.called["keep"].wait()
    assert [entry["log_level"] for entry in logs].count("warning") == 1


async def test_a_change_is_carried_out_while_running(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    async with harness.running():
        await harness.schedules.called["keep"].wait()
        harness.engine.triggers.unbind("trigger-1")
        await harness.schedules.called["delete"].wait()
    assert harness.schedules.kept == {}


async def test_a_refused_schedule_holds_up_no_other_and_is_not_tried_for_ever(harness: CronHarness) -> None:
    harness.schedules.refuses = {"bad"}
    harness.bind(HOURLY, function_id="bad", trigger_id="trigger-1")
    harness.bind(HOURLY, function_id="good", trigger_id="trigger-2")
    with capture_logs() as logs:
        await harness.settle()
        await harness.sweep()
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert harness.schedules.only().key.startswith("good/")


async def test_a_schedule_deleted_by_hand_is_made_again(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.kept.clear()
    await harness.sweep()
    assert len(harness.schedules.kept) == 1


async def test_a_sweep_changes_nothing_when_all_is_in_line(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.calls.clear()
    await harness.sweep()
    assert harness.schedules.calls == []


async def test_a_sweep_leaves_alone_what_somebody_paused(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.pause_by_hand(harness.schedules.only().key)
    harness.schedules.calls.clear()
    await harness.sweep()
    assert harness.schedules.calls == []


async def test_a_schedule_whose_bridge_is_gone_is_paused(harness: CronHarness) -> None:
    harness.schedules.put(KEY, keeper="bridge-gone")
    await harness.sweep()
    assert harness.schedules.only().away_since_ms == harness.now_ms


async def test_a_schedule_that_this_bridge_kept_in_an_earlier_life_is_paused(harness: CronHarness) -> None:
    harness.schedules.put(KEY, keeper=HERE)
    await harness.sweep()
    assert harness.schedules.only().is_paused


async def test_a_schedule_of_another_living_bridge_is_left_alone(harness: CronHarness) -> None:
    harness.schedules.living = {HERE, "bridge-b"}
    harness.schedules.put(KEY, keeper="bridge-b")
    await harness.sweep()
    assert harness.schedules.calls == []


async def test_a_worker_that_leaves_here_does_not_pause_what_another_bridge_keeps(
    harness: CronHarness,
) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.schedules.living = {HERE, "bridge-b"}
    harness.schedules.put(harness.schedules.only().key, keeper="bridge-b")
    harness.engine.disconnect(worker)
    await harness.settle()
    assert not harness.schedules.only().is_paused


async def test_unregistering_here_does_not_delete_what_another_bridge_keeps(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.living = {HERE, "bridge-b"}
    harness.schedules.put(harness.schedules.only().key, keeper="bridge-b")
    harness.engine.triggers.unbind("trigger-1")
    await harness.settle()
    assert len(harness.schedules.kept) == 1


async def test_a_schedule_that_another_bridge_paused_is_resumed_where_its_trigger_is(
    harness: CronHarness,
) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.put(harness.schedules.only().key, is_paused=True, away_since_ms=harness.now_ms)
    await harness.sweep()
    assert harness.schedules.only().keeper == HERE
    assert not harness.schedules.only().is_paused


async def test_a_schedule_resumed_by_hand_is_kept_again(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    harness.schedules.put(harness.schedules.only().key)
    await harness.sweep()
    assert harness.schedules.only().keeper == HERE


async def test_an_orphan_is_deleted_when_its_time_is_over_and_not_before(harness: CronHarness) -> None:
    harness.schedules.put(KEY, is_paused=True, away_since_ms=harness.now_ms)
    harness.now_ns += (harness.settings.orphan_timeout_ms - 1) * 1_000_000
    await harness.sweep()
    assert len(harness.schedules.kept) == 1
    harness.now_ns += 1_000_000
    await harness.sweep()
    assert harness.schedules.kept == {}


async def test_a_schedule_that_somebody_paused_is_never_taken_for_an_orphan(harness: CronHarness) -> None:
    harness.schedules.put(KEY, is_paused=True)
    harness.now_ns += 10 * harness.settings.orphan_timeout_ms * 1_000_000
    await harness.sweep()
    assert len(harness.schedules.kept) == 1


async def test_a_stopping_bridge_pauses_what_it_keeps_also_when_told_twice(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    async with harness.running():
        await harness.schedules.called["keep"].wait()
    await harness.cron.close()
    await harness.cron.close()
    assert harness.schedules.only().is_paused


async def test_a_bridge_stops_without_temporal(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    async with harness.running():
        await harness.schedules.called["keep"].wait()
    harness.schedules.unreachable_for = 1
    await harness.cron.close()
    assert not harness.schedules.only().is_paused


async def test_a_bridge_that_never_reached_temporal_stops_without_it(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.cron.close()
    assert harness.schedules.calls == []
