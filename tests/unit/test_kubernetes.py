"""The shipped manifests: valid, restricted, and in step with what ``serve`` really does."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import attrs
import kubernetes_validate  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.manifests import (
    KUBERNETES,
    OVERLAYS,
    build,
    built,
    container,
    environment,
    found,
    pod_of,
    service_variables,
)

from tasker_health import read_configuration
from tasker_health.entrypoints.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.manifests import Manifest

OLDEST: Final = "1.28"
"""The oldest Kubernetes that the manifests are for."""

SECRETS: Final = {
    "database-url": "postgresql://monitor:canary-secret@db.internal/tasker",
    "redis-password": "canary-secret",
}
SERVICES: Final = ("tasker-health", "tasker-health-status")

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def with_component(folder: Path, overlay: str, component: str) -> tuple[Manifest, ...]:
    """Build an overlay with a component, as its user writes it."""
    place = os.path.relpath(KUBERNETES, folder)
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{place}/overlays/{overlay}]\ncomponents: [{place}/components/{component}]\n"
    )
    return built(folder)


def selected(manifest: Manifest) -> Mapping[str, str]:
    """Tell the labels that a manifest selects pods by."""
    selector: dict[str, Any] = manifest["spec"]["selector"]
    labels: dict[str, str] = selector.get("matchLabels", selector)
    return labels


@overlays
@pytest.mark.parametrize("release", [OLDEST, kubernetes_validate.latest_version()])
def test_an_overlay_is_what_the_api_takes(overlay: str, release: str) -> None:
    """Each manifest is one of the API's schemas, with no field that it does not know."""
    manifests = build(overlay)
    assert {"Deployment", "Service", "PodDisruptionBudget", "ConfigMap"} <= {
        manifest["kind"] for manifest in manifests
    }
    for manifest in manifests:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_a_field_that_there_is_not_is_noticed() -> None:
    """The schemas are strict: a probe's misspelt period is refused."""
    deployment = found(build("single"), "Deployment")
    probe = container((deployment,))["readinessProbe"]
    probe["periodSecs"] = probe.pop("periodSeconds")
    try:
        with pytest.raises(kubernetes_validate.ValidationError, match="periodSecs"):
            kubernetes_validate.validate(deployment, OLDEST, strict=True)
    finally:
        probe["periodSeconds"] = probe.pop("periodSecs")


def test_the_overlays_are_for_one_and_for_many() -> None:
    """``single`` is one pod without Redis; ``fleet`` is three, spread, with a shared cache."""
    assert OVERLAYS == ("fleet", "single")
    assert found(build("single"), "Deployment")["spec"]["replicas"] == 1
    assert "CACHE_URL" not in str(build("single"))
    assert found(build("fleet"), "Deployment")["spec"]["replicas"] == 3
    spread = pod_of(build("fleet"))["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    labels = pod_of(build("fleet"))["metadata"]["labels"]
    for one in spread:
        assert one["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_probes_are_the_guides() -> None:
    """Readiness and liveness have the guide's paths and numbers; startup is asked of liveness."""
    told = container(build("single"))
    assert told["readinessProbe"] == {
        "httpGet": {"path": "/tasker/health/ready", "port": "http"},
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    }
    assert told["livenessProbe"] == {
        "httpGet": {"path": "/tasker/health/live", "port": "http"},
        "initialDelaySeconds": 30,
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "failureThreshold": 3,
    }
    assert told["startupProbe"]["httpGet"] == told["livenessProbe"]["httpGet"]


@overlays
def test_a_pod_drains_before_it_is_killed(overlay: str) -> None:
    """Readiness fails within the drain delay, and what is under way is answered within the grace.

    The slowest request that was let in takes the status's time-out and a second.
    """
    manifests = build(overlay)
    configuration = read_configuration(environment(manifests, SECRETS))
    probe = container(manifests)["readinessProbe"]
    health = configuration.settings.health
    noticed = probe["failureThreshold"] * probe["periodSeconds"] + probe["timeoutSeconds"]
    assert configuration.drain_delay_seconds > noticed
    in_flight = health.status_timeout_seconds + 1
    grace = pod_of(manifests)["spec"]["terminationGracePeriodSeconds"]
    assert grace > configuration.drain_delay_seconds + in_flight
    assert found(manifests, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


@overlays
def test_the_environment_is_understood(overlay: str) -> None:
    """All settings of a pod are taken, with what a cluster adds for its own Services, too."""
    manifests = build(overlay)
    configuration = read_configuration(
        service_variables(manifests) | environment(manifests, SECRETS)
    )
    cache = {"single": "memory://", "fleet": "redis://:canary-secret@tasker-health-redis:6379/0"}
    wanted = {
        "TASKER_HEALTH_DATABASE_URL": SECRETS["database-url"],
        "TASKER_HEALTH_CACHE_URL": cache[overlay],
        "TASKER_HEALTH_DRAIN_DELAY_SECONDS": "20",
    }
    assert attrs.evolve(configuration, origins={}) == attrs.evolve(
        read_configuration(wanted), origins={}
    )
    assert pod_of(manifests)["spec"]["enableServiceLinks"] is False


@overlays
def test_no_secret_is_written_down(overlay: str) -> None:
    """Passwords are references to a Secret that the user makes; none is in a manifest."""
    manifests = build(overlay)
    assert "Secret" not in {manifest["kind"] for manifest in manifests}
    text = str(manifests)
    assert not re.findall(r"://[^$@ ]*:[^$@ ]+@", text)
    assert set(re.findall(r"'secretKeyRef': {'key': '([^']+)'", text)) <= SECRETS.keys()


@overlays
def test_pods_are_restricted(overlay: str) -> None:
    """Every pod satisfies the restricted Pod Security Standard, on a read-only file system."""
    for manifest in build(overlay):
        if manifest["kind"] != "Deployment":
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        assert all(volume.keys() <= {"name", "emptyDir"} for volume in pod.get("volumes", ()))
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert one["resources"]["requests"].keys() == {"cpu", "memory"}
            assert one["resources"]["limits"].keys() == {"memory"}


def test_temporary_files_have_a_place() -> None:
    """The one folder that can be written is an empty one of the pod's own, of a bounded size."""
    manifests = build("single")
    (mount,) = container(manifests)["volumeMounts"]
    assert mount == {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  in the container
    (volume,) = pod_of(manifests)["spec"]["volumes"]
    assert volume == {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}


@overlays
def test_who_selects_a_pod_selects_ours_alone(overlay: str) -> None:
    """Services and the disruption budget name our pods' labels, and never Redis's or all."""
    manifests = build(overlay)
    ours = pod_of(manifests)["metadata"]["labels"]
    others = [
        manifest["spec"]["template"]["metadata"]["labels"]
        for manifest in manifests
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] != "tasker-health"
    ]
    selecting = [found(manifests, "PodDisruptionBudget"), found(manifests, "Deployment")]
    for manifest in (*selecting, *(found(manifests, "Service", name) for name in SERVICES)):
        assert selected(manifest).items() <= ours.items()
        assert selected(manifest)
        assert not any(selected(manifest).items() <= labels.items() for labels in others)


def test_the_status_is_there_while_the_database_is_away() -> None:
    """One Service leads to ready pods, the other to every pod; both to the port that is served."""
    manifests = build("fleet")
    ready, status = (found(manifests, "Service", name)["spec"] for name in SERVICES)
    assert "publishNotReadyAddresses" not in ready
    assert status["publishNotReadyAddresses"] is True
    (port,) = container(manifests)["ports"]
    assert {ready["ports"][0]["targetPort"], status["ports"][0]["targetPort"]} == {port["name"]}
    arguments = container(manifests)["args"]
    assert arguments[arguments.index("--port") + 1] == str(port["containerPort"])


@overlays
def test_a_database_that_is_away_keeps_no_node(overlay: str) -> None:
    """One pod may be evicted at a time, and pods that are not ready always."""
    budget = found(build(overlay), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@overlays
def test_the_arguments_are_those_of_the_command(
    overlay: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``serve`` parses what the manifest passes, up to the database that is not given here."""
    assert main([*container(build(overlay))["args"], "--help"]) == 0
    assert "Usage: tasker-health serve" in capsys.readouterr().out


@overlays
def test_the_image_is_this_version(overlay: str) -> None:
    """The image's tag is the project's version, and none is ``latest``."""
    assert container(build(overlay))["image"] == f"tasker-health:{version('tasker-health')}"
    assert ":latest" not in str(build(overlay))


def test_the_service_monitor_is_a_component_of_its_own(tmp_path: Path) -> None:
    """No overlay needs the operator's CRD; with the component one Service is scraped, once.

    That the monitor fits the CRD is proved in ``integration/test_service_monitor.py``.
    """
    for overlay in OVERLAYS:
        assert "ServiceMonitor" not in {manifest["kind"] for manifest in build(overlay)}
    manifests = with_component(tmp_path, "fleet", "service-monitor")
    monitor = found(manifests, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/tasker/metrics"
    (service,) = (
        manifest
        for manifest in manifests
        if manifest["kind"] == "Service"
        and selected(monitor).items() <= manifest["metadata"]["labels"].items()
    )
    assert service["metadata"]["name"] == "tasker-health"
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_documents_kustomization_is_built(tmp_path: Path) -> None:
    """What ``docs/deployment.md`` shows works beside a checkout, and keeps the base's settings."""
    document = (KUBERNETES.parents[1] / "docs" / "deployment.md").read_text()
    (shown,) = re.findall(r"(?ms)^```yaml\n(.*?kind: Kustomization\n.*?)^```", document)
    shutil.copytree(KUBERNETES, tmp_path / "tasker-health" / "deploy" / "kubernetes")
    (tmp_path / "kustomization.yaml").write_text(shown)
    manifests = built(tmp_path)
    assert found(manifests, "ServiceMonitor")["metadata"]["namespace"] == "monitoring"
    assert container(manifests)["image"].startswith("registry.internal/tasker-health:")
    assert environment(manifests, SECRETS).items() >= {
        ("TASKER_HEALTH_AUTHORIZATION_ENABLED", "true"),
        ("TASKER_HEALTH_DRAIN_DELAY_SECONDS", "20"),
    }


def test_every_file_is_part_of_a_build() -> None:
    """No manifest lies there that no kustomization names."""
    kustomizations = [path.read_text() for path in KUBERNETES.rglob("kustomization.yaml")]
    for path in KUBERNETES.rglob("*.yaml"):
        named = re.compile(rf"^ *- (?:path: )?{re.escape(path.name)}$", re.MULTILINE)
        if path.name != "kustomization.yaml":
            assert any(named.search(text) for text in kustomizations), path.name
