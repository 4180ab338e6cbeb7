"""docker-compose.temporal.yml keeps to the Compose specification, and to what the bridge needs."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
import yaml

from bridge.config import load_config
from bridge.temporal.dev_server import TUNING
from tests.support.dockerfile import ROOT

FILE = ROOT / "docker-compose.temporal.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
BRIDGES = ["bridge-1", "bridge-2"]
SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
CONTAINER_CONFIG = ROOT / "deploy" / "container" / "iii-config.yaml"
ENVIRON = SERVICES["bridge-1"]["environment"] | {"III_TOKEN": "local"}


def test_it_keeps_to_the_published_schema() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(COMPOSE)] == []


def test_the_schema_notices_a_mistake() -> None:
    wrong = {"services": {"redis": {"image": "redis", "restrat": "always"}}}
    assert not jsonschema_rs.validator_for(json.loads(SCHEMA.read_text())).is_valid(wrong)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_comes_back(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in SERVICES if "worker" not in name])
def test_every_server_tells_whether_it_is_healthy(name: str) -> None:
    in_image = "HEALTHCHECK" in (ROOT / "Dockerfile").read_text() and name in BRIDGES
    assert in_image or SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_no_two_services_publish_one_port() -> None:
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


def test_what_a_service_waits_for_is_there_and_mounts_exist() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        mounts = [volume.split(":")[0] for volume in service.get("volumes", [])]
        for mount in mounts:
            assert (ROOT / mount).is_file() if mount.startswith(".") else mount in COMPOSE["volumes"]


@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_is_given_more_time_to_stop_than_it_takes(name: str) -> None:
    config = load_config(CONTAINER_CONFIG, environ=ENVIRON)
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s * 1000 > config.temporal.drain_timeout_ms + 10_000


@pytest.mark.parametrize("name", BRIDGES)
def test_every_bridge_has_a_worker_with_the_same_token(name: str) -> None:
    workers = [
        service["environment"]
        for service in SERVICES.values()
        if service.get("environment", {}).get("III_URL") == f"ws://{name}:49134"
    ]
    assert [worker["III_TOKEN"] for worker in workers] == [SERVICES[name]["environment"]["III_TOKEN"]]


def test_bridges_share_everything_but_what_is_set_at_run_time() -> None:
    config = load_config(CONTAINER_CONFIG, environ=ENVIRON)
    assert config.warnings == ()
    assert {config.state.adapter.name, config.stream.adapter.name, config.pubsub.adapter.name} == {"redis"}
    assert SERVICES["bridge-1"]["environment"] == SERVICES["bridge-2"]["environment"]


def test_temporal_is_tuned_as_the_dev_server_is() -> None:
    settings = [value.split("=") for value in TUNING if re.match(r"(history|matching)\.", value)]
    told = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text())
    assert told.pop("matching.useNewMatcher") == [{"value": True}]  # the dev server's is the new one already
    assert {key: str(value[0]["value"]) for key, value in told.items()} == {
        key: value.strip('"') for key, value in settings
    }
