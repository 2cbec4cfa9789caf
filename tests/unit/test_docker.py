"""The Dockerfile, what it is built from, and the compose file: linted, valid, and in step.

That the steps really make what runs is proved in ``integration/test_image.py``.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import yaml
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]  # ships no types
from tests.integration.image import Ignored
from tests.manifests import build, pod_of

from tasker_health import __main__ as command
from tasker_health import read_configuration
from tasker_health.entrypoints.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = PROJECT / "deploy" / "docker" / "Dockerfile"
COMPOSE: Final = DOCKERFILE.with_name("compose.yaml")
PASSWORDS: Final = {"POSTGRES_PASSWORD": "canary1", "REDIS_PASSWORD": "canary2"}

_VARIABLE: Final = re.compile(r"\$\{(\w+):\?[^}]+\}")


def tool(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a tool of our own environment."""
    return subprocess.run(  # noqa: S603  as it says
        [Path(sys.executable).with_name(name), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def steps(instruction: str) -> list[str]:
    """List what an instruction is given, each time, without what breaks its lines."""
    parsed = DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()), env_replace=False)
    return [
        " ".join(step["value"].split())
        for step in parsed.structure
        if step["instruction"] == instruction
    ]


def only(instruction: str) -> str:
    """Give what the one such instruction is given."""
    (value,) = steps(instruction)
    return value


@pytest.fixture
def services() -> dict[str, Any]:
    """Read the services of the compose file, with passwords in their places."""
    text = _VARIABLE.sub(lambda found: PASSWORDS[found[1]], COMPOSE.read_text())
    read: dict[str, Any] = yaml.safe_load(text)["services"]
    return read


def test_the_linter_finds_nothing() -> None:
    """Hadolint has no complaint, and none is silenced."""
    ran = tool("hadolint", DOCKERFILE)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "hadolint" not in DOCKERFILE.read_text()


def test_the_linter_looks(tmp_path: Path) -> None:
    """A base image without a tag is noticed: it would find something if it were there."""
    bad = tmp_path / "Dockerfile"
    bad.write_text(DOCKERFILE.read_text().replace("python:3.13-slim\n", "python\n"))
    assert "DL3006" in tool("hadolint", bad).stdout


def test_the_health_check_is_the_guides_without_curl() -> None:
    """The guide's four numbers, our own command, and its time-out within theirs."""
    numbers, _, called = only("HEALTHCHECK").partition(" CMD ")
    assert numbers == "--interval=30s --timeout=3s --start-period=5s --retries=3"
    assert json.loads(called) == ["tasker-health", "check", "live"]
    assert not re.search(r"\b(curl|wget|apt|apt-get)\b", "".join(steps("RUN")))


def test_the_health_check_asks_where_it_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The port of the command is the one that is exposed, and the one that is asked by default."""
    served = json.loads(only("CMD"))
    port = served[served.index("--port") + 1]
    assert port == only("EXPOSE")
    monkeypatch.setattr(sys, "argv", ["tasker-health", "check", "--help"])
    assert command.main() == 0
    assert f"(default http://127.0.0.1:{port})" in capsys.readouterr().out
    assert json.loads(only("ENTRYPOINT")) == ["tasker-health"]
    assert main([*served, "--help"]) == 0


def test_everything_installed_is_locked() -> None:
    """Whatever is installed has a hash, or comes from no index at all."""
    installs = [step for run in steps("RUN") for step in run.split("&&") if " install " in step]
    assert len(installs) == 2
    for step in installs:
        assert ("--require-hashes" in step) != ("--no-index" in step), step


def test_it_is_the_user_of_the_manifests() -> None:
    """A number, so that Kubernetes can see that it is not root; the same in both."""
    security = pod_of(build("single"))["spec"]["securityContext"]
    assert only("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert len(steps("FROM")) == 2


def shown() -> Iterator[str]:
    """Walk over what a builder is sent: no folder of the project's tools."""
    ignored = Ignored((PROJECT / ".dockerignore").read_text())
    for name in ("src", "locks", "tests", "docs", "deploy", ".ci"):
        for path in (PROJECT / name).rglob("*"):
            told = path.relative_to(PROJECT).as_posix()
            if path.is_file() and not ignored.matches(told):
                yield told
    for path in PROJECT.iterdir():
        if path.is_file() and not ignored.matches(path.name):
            yield path.name


def test_the_builder_is_sent_the_sources_alone() -> None:
    """The context is what the steps copy, no more: no tests, no git, no environment."""
    sent = set(shown())
    assert {name for name in sent if not name.startswith("src/")} == {
        "LICENSE",
        "README.md",
        "locks/image.txt",
        "pyproject.toml",
    }
    assert any(name.endswith("/serving.py") for name in sent)
    assert not any("__pycache__" in name for name in sent)
    ignored = Ignored((PROJECT / ".dockerignore").read_text())
    assert ignored.matches(".git/config")
    assert ignored.matches(".venv/bin/python")


def test_the_compose_file_is_valid(tmp_path: Path) -> None:
    """It is one of the compose specification, whose schema notices what it does not know."""
    ran = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert ran.returncode == 0, ran.stdout
    bad = tmp_path / "compose.yaml"
    bad.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_period"))
    ran = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", bad)
    assert "stop_period" in ran.stdout


def test_every_service_has_a_health_check(services: dict[str, Any]) -> None:
    """PostgreSQL and Redis have their own, what runs our image has the image's."""
    assert services.keys() == {"tasker-health", "tasker", "postgres", "redis"}
    for name, service in services.items():
        ours = service["image"].startswith("tasker-health:")
        assert ("healthcheck" in service) != ours, name


def test_the_composed_settings_are_understood(services: dict[str, Any]) -> None:
    """All of them are taken, and name the other services and their passwords."""
    told = services["tasker-health"]["environment"]
    configuration = read_configuration(told)
    wanted = {
        "TASKER_HEALTH_DATABASE_URL": "postgresql://tasker:canary1@postgres/tasker",
        "TASKER_HEALTH_CACHE_URL": "redis://:canary2@redis:6379/0",
        "TASKER_HEALTH_DRAIN_DELAY_SECONDS": "2",
    }
    assert attrs.evolve(configuration, origins={}) == attrs.evolve(
        read_configuration(wanted), origins={}
    )
    grace = float(services["tasker-health"]["stop_grace_period"].removesuffix("s"))
    in_flight = configuration.settings.health.status_timeout_seconds + 1
    assert grace > configuration.drain_delay_seconds + in_flight
    assert main([*services["tasker"]["command"], "--help"]) == 0


def test_what_is_composed_is_hardened(services: dict[str, Any]) -> None:
    """Our image runs read-only, without rights, behind the loopback interface, as this version."""
    for name in ("tasker-health", "tasker"):
        service = services[name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108  in the container
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["image"] == f"tasker-health:{version('tasker-health')}"
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:8000:8000"]
