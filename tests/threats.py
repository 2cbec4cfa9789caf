"""The threats, what defends against each, and the tests that notice when it does not.

``python -m tests.threats`` removes one defence after the other in a copy of the source and
runs its tests: it ends with 1 when a defence can be removed unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

__all__ = ["PACKAGE", "ROOT", "THREATS", "Defence", "Threat"]

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "src/tasker_health"
_SOCKETS: Final = "integration/test_access_over_sockets.py"
_PROXY: Final = "integration/test_caching_proxy.py"


@attrs.frozen
class Defence:
    """One place in the source, and what stands there when the defence is gone.

    Args:
        file: below the package.
        present: the text that defends, there exactly once.
        gone: what is put in its place.
    """

    file: str
    present: str
    gone: str


@attrs.frozen
class Threat:
    """One threat.

    Args:
        tests: as pytest names them, below ``tests``.
        defences: each of which the tests notice when it is gone.
    """

    tests: Sequence[str]
    defences: Sequence[Defence]


THREATS: Final = {
    "error text on open endpoints": Threat(
        (
            "unit/test_http.py::test_what_nobody_thought_of_is_no_500",
            "unit/test_threats.py::test_no_vendors_words_reach_a_body",
            "integration/test_canaries.py::test_no_secret_comes_out_of_a_broken_service",
        ),
        (
            Defence(
                "entrypoints/http.py",
                'return problem(503, "The report failed.",',
                "return problem(503, str(error),",
            ),
        ),
    ),
    "path and method variants": Threat(
        (
            "unit/test_access_model.py::test_no_generated_request_is_granted_or_denied_wrongly",
            f"{_SOCKETS}::test_nothing_is_granted_or_denied_wrongly_over_sockets",
        ),
        (
            Defence(
                "entrypoints/asgi.py",
                'path: str = scope["path"] if raw is None else',
                'path: str = scope["path"] if True else',
            ),
            Defence("entrypoints/http.py", "if request.method not in METHODS:", "if False:"),
        ),
    ),
    "everything under /health is public": Threat(
        ("unit/test_threats.py::test_a_hosts_route_below_the_prefix_stays_the_hosts",),
        (
            Defence(
                "entrypoints/asgi.py",
                "if path in self._paths or self._entrance.has(path):",
                'if path.startswith("/tasker/health/"):',
            ),
        ),
    ),
    "a missing module turns security off": Threat(
        (
            "unit/test_auth.py::test_what_names_no_class_is_refused",
            "unit/test_authentication.py::test_a_missing_extra",
            "unit/test_authentication.py::test_authentication_that_nobody_can_pass",
        ),
        (Defence("adapters/auth/loading.py", "    if found is None:\n", "    if False:\n"),),
    ),
    "cached body across identities": Threat(
        (
            "unit/test_http.py::test_a_protected_report_is_private",
            "unit/test_access_model.py::test_no_generated_request_is_granted_or_denied_wrongly",
            f"{_PROXY}::test_what_a_permitted_caller_saw_is_given_to_nobody_else",
        ),
        (
            Defence("entrypoints/http.py", 'b"private, no-store"', 'b"public, max-age=60"'),
            Defence("entrypoints/http.py", 'b"Authorization, Cookie"', 'b"Accept"'),
        ),
    ),
    "fail-open": Threat(
        (
            "unit/test_access.py::test_only_true_grants",
            "unit/test_access.py::test_what_is_no_user_is_nobody_known",
            "unit/test_access.py::test_an_authenticator_that_breaks_or_hangs_lets_nobody_in",
        ),
        (
            Defence("domain/access.py", "return answer is True", "return bool(answer)"),
            Defence(
                "domain/access.py",
                "if isinstance(told, bool) or not told:",
                "if False:",
            ),
            Defence(
                "domain/access.py", "raise AccessUnavailableError from error", "return object()"
            ),
        ),
    ),
    "permission confusion": Threat(
        (
            "unit/test_permissions.py::test_a_principal_holds_exactly_what_it_was_given",
            "unit/test_permissions.py::test_another_case_is_another_permission",
        ),
        (
            Defence(
                "domain/permissions.py",
                "str(held) == permission for",
                "str(held).lower() == permission.lower() for",
            ),
        ),
    ),
    "JWT": Threat(
        (
            "unit/test_jwt.py::test_alg_none_in_any_spelling",
            "unit/test_jwt.py::test_the_key_decides_the_algorithm",
            "unit/test_jwt.py::test_a_header_that_asks_for_more_is_refused",
            "unit/test_jwt.py::test_a_kid_is_never_a_path",
            "unit/test_jwt.py::test_a_missing_claim",
            "unit/test_jwt.py::test_a_huge_token",
        ),
        (),
    ),
    "timing": Threat(
        ("unit/test_tokens.py::test_unknown_wrong_expired_and_right_take_the_same_way",), ()
    ),
    "forged X-Forwarded-*/Host": Threat(
        ("unit/test_access_model.py::test_no_generated_request_is_granted_or_denied_wrongly",),
        (
            Defence(
                "entrypoints/asgi.py",
                "    return headers\n",
                '    return {**headers, "authorization": headers.get("x-authorization",'
                ' headers.get("authorization", ""))} if "x-authorization" in headers'
                " else headers\n",
            ),
        ),
    ),
    "log injection": Threat(
        (
            "unit/test_log.py::test_a_line_is_one_line",
            "unit/test_log.py::test_any_text_comes_out_printable_and_capped",
        ),
        (Defence("adapters/log.py", 'c if c.isprintable() else " " for', "c for"),),
    ),
    "cache poisoning, deserialising": Threat(
        (
            "integration/test_faults_redis.py::test_poison_is_a_miss_deleted_and_counted",
            "integration/test_faults_redis.py::test_another_keys_report_is_a_miss",
        ),
        (),
    ),
    "amplification by query strings": Threat(
        ("unit/test_threats.py::test_query_strings_cause_no_measurement",),
        (
            Defence(
                "domain/reporting.py",
                "if held is not None and held.freshness(now) is Freshness.FRESH:",
                "if False:",
            ),
        ),
    ),
    "dotted-path import of a class": Threat(
        (
            "unit/test_auth.py::test_what_names_no_class_is_refused",
            "unit/test_auth.py::test_a_class_that_does_not_fit_the_port_is_refused",
        ),
        (Defence("adapters/auth/loading.py", "if not isinstance(found, type):", "if False:"),),
    ),
    "secrets in settings": Threat(
        (
            "unit/test_environment.py::test_secrets_never_print",
            "unit/test_database_url.py::test_secrets_are_not_shown",
            "integration/test_canaries.py::test_settings_do_not_show_their_secrets",
        ),
        (
            Defence(
                "adapters/sql/url.py",
                'password: str = attrs.field(default="", repr=False)',
                'password: str = attrs.field(default="")',
            ),
        ),
    ),
    "TLS downgrade": Threat(
        (
            "integration/test_faults_database.py::test_a_server_without_tls",
            "integration/test_faults_database.py::test_a_certificate_of_nobody_we_trust",
        ),
        (),
    ),
    "least privilege": Threat(
        ("integration/test_sql_tasker.py::test_a_role_that_may_only_select_is_enough",), ()
    ),
}
"""Every threat that concerns what there is. Where no defence is named, the tests attack the
real thing, and there is no one line that could be taken away."""


def _unnoticed(threat: Threat, defence: Defence, copied: Path) -> bool:
    """Remove a defence, run the unit tests of its threat, put it back."""
    place = copied / PACKAGE / defence.file
    original = place.read_text()
    assert original.count(defence.present) == 1, f"{defence.file}: {defence.present!r}"
    place.write_text(original.replace(defence.present, defence.gone))
    try:
        return _pass(threat, copied)
    finally:
        place.write_text(original)


def _pass(threat: Threat, copied: Path) -> bool:
    tests = [f"tests/{test}" for test in threat.tests if test.startswith("unit/")]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copied / 'src'}{os.pathsep}{copied}",
        "TASKER_HEALTH_TEST_ACCESS_CASES": "5000",
    }
    told = subprocess.run(  # noqa: S603  our own tests
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=copied,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    return told.returncode == 0


def main() -> int:
    """Remove each defence in turn."""
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="threats-") as folder:
        copied = Path(folder)
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, copied / name)
        shutil.copy(ROOT / "pyproject.toml", copied)
        for name, threat in THREATS.items():
            assert not threat.defences or _pass(threat, copied), f"{name}: its tests fail as it is"
            for defence in threat.defences:
                lives = _unnoticed(threat, defence, copied)
                unnoticed += lives
                told = "UNNOTICED" if lives else "noticed"
                print(f"{told}: {name}: {defence.file}: {defence.present.strip()}", flush=True)  # noqa: T201  a command
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
