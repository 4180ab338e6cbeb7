"""Which schedules exist, and in which state, as triggers and their workers come and go."""

import json

import pytest
from structlog.testing import capture_logs
from temporalio.client import ScheduleOverlapPolicy

from bridge.errors import TriggerRejectedError
from tests.unit.builtins.cron.cron_harness import HERE, CronHarness

HOURLY = {"expression": "0 0 * * * *"}
DAILY = {"expression": "@daily"}


async def test_a_trigger_has_a_schedule(harness: CronHarness) -> None:
    harness.bind(HOURLY, owner=harness.worker())
    await harness.settle()
    schedule = harness.schedules.only()
    assert schedule.fire is not None
    assert schedule.fire.function_id == "reports::nightly"
    assert schedule.keeper == HERE
    assert not schedule.is_paused


async def test_a_rejected_trigger_has_none(harness: CronHarness) -> None:
    with pytest.raises(TriggerRejectedError):
        harness.bind({"expression": "0 9 * * *"})
    await harness.settle()
    assert harness.schedules.kept == {}


async def test_unregistering_deletes_the_schedule(harness: CronHarness) -> None:
    binding = harness.bind(HOURLY, owner=harness.worker())
    await harness.settle()
    harness.engine.triggers.unbind(binding.id)
    await harness.settle()
    assert harness.schedules.kept == {}


async def test_unregistering_deletes_a_schedule_that_somebody_paused(harness: CronHarness) -> None:
    binding = harness.bind(HOURLY, owner=harness.worker())
    await harness.settle()
    harness.schedules.pause_by_hand(harness.schedules.only().key)
    harness.engine.triggers.unbind(binding.id)
    await harness.settle()
    assert harness.schedules.kept == {}


async def test_a_trigger_that_no_worker_owns_is_deleted_when_it_is_unregistered(harness: CronHarness) -> None:
    binding = harness.bind(HOURLY)
    await harness.settle()
    harness.engine.triggers.unbind(binding.id)
    await harness.settle()
    assert harness.schedules.kept == {}


async def test_a_worker_that_leaves_pauses_its_schedule(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.engine.disconnect(worker)
    await harness.settle()
    schedule = harness.schedules.only()
    assert schedule.is_paused
    assert schedule.away_since_ms == harness.now_ms


async def test_a_worker_that_returns_resumes_its_schedule(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.engine.disconnect(worker)
    await harness.settle()
    harness.bind(HOURLY, owner=harness.worker("worker-2"))
    await harness.settle()
    assert not harness.schedules.only().is_paused


async def test_a_reconnection_faster_than_temporal_never_pauses(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    harness.engine.disconnect(worker)
    harness.bind(HOURLY, owner=harness.worker("worker-2"))
    await harness.settle()
    assert [call for call, _ in harness.schedules.calls] == ["keep"]


async def test_a_pause_by_hand_outlives_the_absence_of_the_worker(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.schedules.pause_by_hand(harness.schedules.only().key)
    harness.engine.disconnect(worker)
    await harness.settle()
    assert harness.schedules.only().away_since_ms is None
    harness.bind(HOURLY, owner=harness.worker("worker-2"))
    await harness.settle()
    await harness.sweep()
    assert harness.schedules.only().is_paused


async def test_replicas_share_one_schedule(harness: CronHarness) -> None:
    harness.bind(HOURLY, trigger_id="trigger-1", owner=harness.worker("worker-1"))
    await harness.settle()
    harness.bind(HOURLY, trigger_id="trigger-2", owner=harness.worker("worker-2"))
    await harness.settle()
    assert [call for call, _ in harness.schedules.calls] == ["keep"]
    assert len(harness.schedules.kept) == 1


async def test_the_schedule_runs_until_the_last_replica_leaves(harness: CronHarness) -> None:
    first, second = harness.worker("worker-1"), harness.worker("worker-2")
    harness.bind(HOURLY, trigger_id="trigger-1", owner=first)
    harness.bind(HOURLY, trigger_id="trigger-2", owner=second)
    harness.engine.disconnect(second)
    await harness.settle()
    assert not harness.schedules.only().is_paused
    harness.engine.disconnect(first)
    await harness.settle()
    assert harness.schedules.only().is_paused


async def test_the_schedule_exists_until_the_last_replica_unregisters(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, trigger_id="trigger-1", owner=worker)
    harness.bind(HOURLY, trigger_id="trigger-2", owner=worker)
    harness.engine.triggers.unbind("trigger-1")
    await harness.settle()
    assert not harness.schedules.only().is_paused
    harness.engine.triggers.unbind("trigger-2")
    await harness.settle()
    assert harness.schedules.kept == {}


async def test_a_changed_policy_updates_the_schedule_in_place(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.bind({**HOURLY, "overlap": "allow_all"}, owner=worker)
    await harness.settle()
    policy = harness.schedules.only().policy
    assert policy is not None
    assert policy.overlap is ScheduleOverlapPolicy.ALLOW_ALL
    assert [call for call, _ in harness.schedules.calls] == ["keep", "keep"]


async def test_a_changed_expression_replaces_the_schedule(harness: CronHarness) -> None:
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    harness.bind(DAILY, owner=worker)
    await harness.settle()
    fire = harness.schedules.only().fire
    assert fire is not None
    assert fire.expression == "@daily"


async def test_a_trigger_that_can_never_fire_is_kept_with_a_warning(harness: CronHarness) -> None:
    with capture_logs() as logs:
        harness.bind({"expression": "0 0 0 31 2 *"})
    await harness.settle()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert len(harness.schedules.kept) == 1


async def test_the_trigger_type_shows_its_schemas(harness: CronHarness) -> None:
    trigger_type = harness.engine.triggers.find_type("cron")
    assert trigger_type is not None
    assert trigger_type.owner_name == "iii-cron"
    assert json.loads(bytes(trigger_type.configuration_schema))["required"] == ["expression"]
    assert set(json.loads(bytes(trigger_type.request_schema))["properties"]) == {
        "trigger",
        "job_id",
        "scheduled_time",
        "actual_time",
    }
