"""The shipped rules and the dashboard speak of metrics that there are."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.checks import CheckResult
from tasker_health.domain.observing import Observation
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import CHECKS
from tasker_health.domain.status import Finding, Rule, StatusAnswer, Verdict
from tasker_health.formats import openmetrics
from tasker_health.testing import reports

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "tasker-health.rules.yml"
RULE_TESTS: Final = DEPLOY / "prometheus" / "tasker-health.rules.test.yml"
DASHBOARD: Final = DEPLOY / "grafana" / "tasker-health.json"

_AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
_NAME: Final = re.compile(r"\btasker_[a-z_]+")
_SELECTED: Final = re.compile(r"\b(tasker_[a-z_]+)\{([^}]*)\}")
_LABEL: Final = re.compile(r"(\w+)(!?=~?)\"([^\"]*)\"")
_ADDED_BY_PROMETHEUS: Final = {"job", "instance", "pod"}


def told() -> dict[str, list[dict[str, str]]]:
    """Give every metric that there is: the labels of its samples, by name."""
    meter = CountingMeter(CHECKS)
    meter.measured(1.0, Reason.TIMEOUT)
    finding = Finding(
        rule=Rule.STALLED,
        severity=Verdict.UNHEALTHY,
        observed=420.0,
        threshold=300.0,
        since=_AT,
        look_at="somewhere",
    )
    checks = tuple(CheckResult(name=name) for name in CHECKS)
    report = reports.report(at=_AT, findings=[finding])
    known = Observation(
        at=_AT,
        status=StatusAnswer(report=report, cached=True),
        readiness=ReadinessReport(ready=True, checks=checks, at=_AT),
        counts=meter.counts(),
    )
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(openmetrics.metrics(known, version="1").decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def panels() -> Iterator[dict[str, Any]]:
    """List the panels of the dashboard that show something."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> list[str]:
    """List what the dashboard asks Prometheus."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize("file", [RULES, RULE_TESTS, DASHBOARD], ids=lambda path: path.name)
def test_every_name_is_a_metric(file: Path) -> None:
    """A metric that is renamed leaves no rule and no panel behind."""
    names = set(_NAME.findall(file.read_text()))
    assert len(names) > 10
    assert names - set(told()) == set()


@pytest.mark.parametrize("text", [RULES.read_text(), *expressions()])
def test_every_selector_selects_something(text: str) -> None:
    """Labels and their values are such as the metrics have."""
    metrics = told()
    for name, labels in _SELECTED.findall(text.replace("\\", "")):
        for label, compared, value in _LABEL.findall(labels):
            if label not in _ADDED_BY_PROMETHEUS:
                assert compared in {"=", "!="}
                assert value in {of.get(label) for of in metrics[name]}, (name, label)


def test_every_alert_has_a_test() -> None:
    """By name; that they fire and resolve is promtool's to say."""
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = re.findall(r"alertname: (\w+)\n\s+exp_alerts:", RULE_TESTS.read_text())
    quiet = re.findall(r"alertname: (\w+)\n(?!\s+exp_alerts:)", RULE_TESTS.read_text())
    assert len(alerts) > 10
    assert set(tested) == set(quiet) == alerts


def test_every_alert_says_what_and_where() -> None:
    """Each has a summary, a description and a severity."""
    for rule in RULES.read_text().split("- alert: ")[1:]:
        for field in ("summary:", "description:", "severity: "):
            assert rule.count(field) == 1, rule


def test_the_panels_stand_side_by_side() -> None:
    """None covers another, none is wider than the dashboard, each has a number of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers) > 15


def test_the_dashboard_asks_the_source_that_its_reader_picks() -> None:
    """Nothing in it names a data source or a job of ours."""
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert "$job" in target["expr"]
