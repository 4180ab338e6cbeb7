"""The manifests in deploy/kubernetes keep to Kubernetes' schemas, and to what the bridge needs."""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bridge.config import load_config
from tests.support.dockerfile import ROOT, last

FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST = "1.29"
NEWEST = kubernetes_validate.latest_version()
BRIDGE_FILES = sorted(
    path for path in (FOLDER / "bridge").glob("*.yaml") if path.name != "kustomization.yaml"
)
RESOURCES: dict[tuple[str, str], Any] = {
    (each["kind"], each["metadata"]["name"]): each
    for path in BRIDGE_FILES
    for each in yaml.safe_load_all(path.read_text())
}
DEPLOYMENT = RESOURCES["Deployment", "iii-temporal"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
BRIDGE = POD["containers"][0]
CONFIG_TEXT = RESOURCES["ConfigMap", "iii-temporal"]["data"]["iii-config.yaml"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("resource", RESOURCES, ids="/".join)
def test_a_manifest_keeps_to_the_schema(resource: tuple[str, str], version: str) -> None:
    kubernetes_validate.validate(RESOURCES[resource], version, strict=True)


def test_the_schema_notices_a_mistake() -> None:
    wrong = copy.deepcopy(DEPLOYMENT)
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_every_file_is_part_of_what_is_applied() -> None:
    kustomization = yaml.safe_load((FOLDER / "bridge" / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [path.name for path in BRIDGE_FILES]


def test_selectors_find_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        RESOURCES["Service", "iii-temporal"]["spec"]["selector"],
        RESOURCES["PodDisruptionBudget", "iii-temporal"]["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in POD["topologySpreadConstraints"]),
    ]
    assert all(selector == labels for selector in selectors)


def test_one_bridge_always_serves() -> None:
    assert DEPLOYMENT["spec"]["replicas"] >= 2
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert RESOURCES["PodDisruptionBudget", "iii-temporal"]["spec"]["minAvailable"] >= 1


def test_probes_and_services_lead_to_ports_of_the_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    ports = {port["name"]: port["containerPort"] for port in BRIDGE["ports"]}
    assert ports == {
        "worker": config.listeners[0].port,
        "http": config.http.port,
        "stream": config.stream.port,
        "admin": config.temporal.admin.port,
    }
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert BRIDGE[probe]["httpGet"] == {"path": path, "port": "admin"}
    assert {port["targetPort"] for port in RESOURCES["Service", "iii-temporal"]["spec"]["ports"]} <= set(
        ports
    )


def test_a_pod_is_given_more_time_to_stop_than_it_takes(tmp_path: Path) -> None:
    sleep_s = int(BRIDGE["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = loaded(tmp_path).temporal.drain_timeout_ms / 1000
    assert POD["terminationGracePeriodSeconds"] >= sleep_s + drain_s + 10


def test_the_configuration_is_that_of_containers() -> None:
    assert (ROOT / "deploy" / "container" / "iii-config.yaml").read_text() == CONFIG_TEXT


def test_a_pod_may_do_as_little_as_it_needs() -> None:
    identity = POD["securityContext"]
    assert f"{identity['runAsUser']}:{identity['runAsGroup']}" == last("bridge", "USER").text
    assert identity["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]
    assert BRIDGE["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_bridge_writes_only_where_it_can(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    mounts = {mount["mountPath"] for mount in BRIDGE["volumeMounts"] if not mount.get("readOnly")}
    assert last("bridge", "WORKDIR").text in mounts
    assert not Path(config.configuration.adapter.config.directory).is_absolute()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_puts_a_worker_beside_every_bridge() -> None:
    command = ["kubectl", "kustomize", str(FOLDER / "with-order-worker")]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    resources = list(yaml.safe_load_all(built))
    for each in resources:
        kubernetes_validate.validate(each, NEWEST, strict=True)
    (deployment,) = [each for each in resources if each["kind"] == "Deployment"]
    names = {each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]}
    assert names == {"bridge", "order-worker"}


def loaded(directory: Path) -> Any:
    path = directory / "iii-config.yaml"
    path.write_text(CONFIG_TEXT)
    environ = RESOURCES["ConfigMap", "iii-temporal-environment"]["data"]
    return load_config(path, environ=environ | {"REDIS_URL": "redis://redis:6379", "III_TOKEN": "secret"})
