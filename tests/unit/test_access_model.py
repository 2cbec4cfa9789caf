"""Generated requests against the model of who gets what, in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from tests.access_model import (
    Case,
    Deployment,
    Expected,
    Seen,
    Tally,
    cases,
    deployments,
    expected,
    run,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES: Final = int(os.environ.get("TASKER_HEALTH_TEST_ACCESS_CASES", "20000"))
CLOSED: Final = Deployment(required=True, enabled=True)
STATUS: Final = "/tasker/health/status"
REPORT: Final = b'{"total_tasks":1}'
PRIVATE: Final[Mapping[str, str]] = {
    "cache-control": "private, no-store",
    "vary": "Authorization, Cookie",
}


def asked(token: str, target: str = STATUS, deployment: Deployment = CLOSED) -> Case:
    """Ask with a token."""
    return Case(deployment, "GET", target, headers=(("authorization", f"Bearer {token}"),))


def test_no_generated_request_is_granted_or_denied_wrongly() -> None:
    """Twenty thousand requests of any kind get exactly what the model says."""
    tally = run(CASES, seed=20_250_618)
    assert tally.wrong == {}, str(tally)
    assert tally.cases == CASES
    assert tally.granted > CASES // 20
    assert tally.denied > CASES // 20


@pytest.mark.parametrize(
    ("required", "enabled", "codes"),
    [
        (False, False, (200, 200, 200, 200)),
        (True, False, (401, 200, 200, 200)),
        (False, True, (403, 403, 200, 200)),
        (True, True, (401, 403, 200, 200)),
    ],
)
def test_the_model_is_the_guides_table(
    required: bool, enabled: bool, codes: tuple[int, ...]
) -> None:
    """The model says of anonymous, known, permitted and admin what the table says."""
    deployment = Deployment(required=required, enabled=enabled)
    anonymous = Case(deployment, "GET", STATUS)
    named = [asked(token, deployment=deployment) for token in ("known", "permitted", "admin")]
    assert tuple(expected(case).code for case in (anonymous, *named)) == codes


@pytest.mark.parametrize(
    ("token", "seen", "verdict"),
    [
        ("permitted", Seen(200, PRIVATE, REPORT), ""),
        ("permitted", Seen(403, {}, b""), "wrong denial"),
        ("permitted", Seen(200, PRIVATE, b"{}"), "wrong denial"),
        ("permitted", Seen(200, {"cache-control": "public"}, REPORT), "wrong caching"),
        ("permitted", Seen(200, {"cache-control": "private, no-store"}, REPORT), "wrong caching"),
        ("known", Seen(403, {}, b""), ""),
        ("known", Seen(200, PRIVATE, b""), "wrong grant"),
        ("known", Seen(304, {}, b""), "wrong grant"),
        ("known", Seen(403, {}, REPORT), "wrong grant"),
        ("known", Seen(403, {"etag": 'W/"1"'}, b""), "wrong grant"),
        ("known", Seen(404, {}, b""), "wrong code"),
        ("nobody", Seen(401, {"www-authenticate": "Bearer"}, b""), ""),
        ("nobody", Seen(401, {}, b""), "wrong challenge"),
    ],
)
def test_what_is_wrong_is_seen(token: str, seen: Seen, verdict: str) -> None:
    """Each way to be wrong is told, and what is right is not."""
    case = asked(token)
    assert wrong(case, expected(case), seen) == verdict


@pytest.mark.parametrize(
    "target", [f"{STATUS}//", "//tasker/health/status", "/tasker%2Fhealth/status", STATUS.upper()]
)
def test_another_spelling_is_no_path(target: str) -> None:
    """The model knows the exact path and one trailing slash, and nothing else."""
    assert expected(asked("admin", f"{STATUS}/")).code == 200
    assert expected(asked("admin", target)) == Expected(404)


def test_every_behaviour_is_asked() -> None:
    """The generated requests reach every setting, behaviour, and code that there is."""
    generated = list(cases(40_000, 5, deployments()))
    for field in attrs.fields_dict(Deployment):
        wanted = {getattr(deployment, field) for deployment in deployments()}
        assert {getattr(case.deployment, field) for case in generated} == wanted
    codes = {expected(case).code for case in generated}
    assert codes == {200, 304, 400, 401, 403, 404, 405, 406, 503}


def test_the_same_seed_gives_the_same_requests() -> None:
    """What went wrong once can be run again."""
    assert list(cases(50, 8, deployments())) == list(cases(50, 8, deployments()))


def test_tallies_add_up() -> None:
    """Parts that ran apart are counted together, what was wrong in them included."""
    one, other, case = Tally(), Tally(), asked("known")
    one.note(case, expected(case), Seen(403, {}, b""))
    other.note(case, expected(case), Seen(200, {}, REPORT))
    one.add(other)
    assert (one.cases, one.denied, one.wrong) == (2, 2, {"wrong grant": 1})
    assert "'wrong grant': 1" in str(one)
