"""The shipped Kubernetes manifests, built by kubectl's own kustomize and read as the API would.

Only what the tests ask of them is read. The kubelet's part, an environment made of secrets and
settings, is done here, too; probing is ``integration/kubelet.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = [
    "KUBERNETES",
    "OVERLAYS",
    "Manifest",
    "build",
    "built",
    "container",
    "environment",
    "expanded",
    "found",
    "pod_of",
    "service_variables",
]

Manifest = Mapping[str, Any]

KUBERNETES: Final = Path(__file__).parents[1] / "deploy" / "kubernetes"
OVERLAYS: Final = tuple(sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir()))

_KUBECTL: Final = Path(sys.executable).with_name("kubectl")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


@cache
def build(overlay: str) -> tuple[Manifest, ...]:
    """Build an overlay."""
    return built(KUBERNETES / "overlays" / overlay)


def built(folder: Path) -> tuple[Manifest, ...]:
    """Build the kustomization of a folder."""
    ran = subprocess.run(  # noqa: S603  the client of our own environment
        [_KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""  # a deprecated field is a warning there
    return tuple(yaml.safe_load_all(ran.stdout))


def found(manifests: tuple[Manifest, ...], kind: str, name: str = "tasker-health") -> Manifest:
    """Find the one object of a kind and a name, the hash at a generated name's end left out."""
    named = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
    (one,) = (
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and named.fullmatch(manifest["metadata"]["name"])
    )
    return one


def pod_of(manifests: tuple[Manifest, ...], name: str = "tasker-health") -> Manifest:
    """Give the pod that a Deployment makes."""
    template: Manifest = found(manifests, "Deployment", name)["spec"]["template"]
    return template


def container(manifests: tuple[Manifest, ...], name: str = "tasker-health") -> Manifest:
    """Give the one container of a Deployment's pod."""
    (only,) = pod_of(manifests, name)["spec"]["containers"]
    assert isinstance(only, Mapping)
    return only


def environment(
    manifests: tuple[Manifest, ...], secrets: Mapping[str, str], name: str = "tasker-health"
) -> dict[str, str]:
    """Make a container's environment as the kubelet does.

    Args:
        manifests: what was built.
        secrets: the values of the one Secret that the manifests refer to.
        name: the Deployment's.
    """
    told = container(manifests, name)
    made: dict[str, str] = {}
    for source in told.get("envFrom", ()):
        made.update(found(manifests, "ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in told.get("env", ()):
        if "value" in variable:
            made[variable["name"]] = expanded(variable["value"], made)
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == "tasker-health"
            made[variable["name"]] = secrets[reference["key"]]
    return made


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of ``$(NAME)``; what is not known stays as it is written."""

    def value(reference: re.Match[str]) -> str:
        return "$" if reference[1] is None else values.get(reference[1], reference[0])

    return _REFERENCE.sub(value, text)


def service_variables(manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """Tell what Kubernetes adds for each Service, where a pod does not decline it."""
    made: dict[str, str] = {}
    for manifest in manifests:
        if manifest["kind"] != "Service":
            continue
        prefix = manifest["metadata"]["name"].upper().replace("-", "_")
        (port,) = manifest["spec"]["ports"]
        number, url = port["port"], f"tcp://10.96.0.7:{port['port']}"
        made |= {
            f"{prefix}_SERVICE_HOST": "10.96.0.7",
            f"{prefix}_SERVICE_PORT": str(number),
            f"{prefix}_SERVICE_PORT_{port['name'].upper()}": str(number),
            f"{prefix}_PORT": url,
            f"{prefix}_PORT_{number}_TCP": url,
            f"{prefix}_PORT_{number}_TCP_PROTO": "tcp",
            f"{prefix}_PORT_{number}_TCP_PORT": str(number),
            f"{prefix}_PORT_{number}_TCP_ADDR": "10.96.0.7",
        }
    return made
