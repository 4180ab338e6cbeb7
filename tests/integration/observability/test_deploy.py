"""What ships in deploy/ asks for metrics and labels that a live bridge has."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fake_sdk import Delivered
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "iii-temporal.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "iii-temporal.json"
NAME = re.compile(r"\b(?:iii|process|python)_[a-z_]+\b")
GROUPING = re.compile(r"\bby \(([^)]*)\)")
MATCHERS = re.compile(r"\{([^}]*)\}")
ADDED_BY_PROMETHEUS = {"instance", "job"}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield what each query is for, and the query."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def labels_in(expression: str) -> set[str]:
    grouped = {label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")}
    matched = {
        re.split(r"[=!]", each)[0].strip()
        for text in MATCHERS.findall(expression)
        for each in text.split(",")
    }
    return (grouped | matched) - ADDED_BY_PROMETHEUS


@pytest.fixture
async def live_labels(bridge: RunningBridge) -> dict[str, set[str]]:
    """The labels of every sample that a bridge shows after a message was lost, by the sample's name."""
    worker = await bridge.connect()

    async def fail(_: Delivered) -> None:
        raise RuntimeError("no")

    await worker.register({"orders::validate": fail})
    await worker.enqueue("orders::validate", {}, "validate")
    await bridge.dead_letters("validate")

    async def metrics() -> str | None:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            text = (await client.get(f"{bridge.addresses.admin}/metrics")).text
        return text if 'iii_queue_dead_letters{queue="validate"} 1.0' in text else None

    labels: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(await eventually(metrics)):
        for sample in family.samples:
            labels[sample.name] |= sample.labels.keys()
    return labels


async def test_every_query_asks_for_what_a_live_bridge_shows(live_labels: dict[str, set[str]]) -> None:
    for purpose, expression in expressions():
        names = NAME.findall(expression)
        assert names, f"{purpose} asks for nothing of ours"
        for name in names:
            assert name in live_labels, f"{purpose}: no metric {name}"
        known = set.union(*(live_labels[name] for name in names))
        assert labels_in(expression) <= known, f"{purpose}: labels of {names} are {known}"


def test_the_rules_watch_dead_letters_age_and_providers() -> None:
    found = dict(expressions())

    assert "iii_queue_dead_letter_alert" in found["IiiDeadLettersNearCapacity"]
    assert "iii_queue_oldest_seconds" in found["IiiQueueIsOld"]
    assert "iii_queue_waiting_for_provider" in found["IiiNoProvider"]


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} is over {taken[x, y]}"
                taken[x, y] = panel["title"]
