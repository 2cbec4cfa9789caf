"""The threats, what defends against each, and the tests that notice when it does not.

``python -m tests.threats`` removes one defence after the other in a copy of the source and
runs its tests: it ends with 1 when a defence can be removed unnoticed. Followed by names of
threats, it does so for those alone.
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
import pytest

__all__ = ["PACKAGE", "ROOT", "THREATS", "Defence", "Threat"]

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "src/tasker_health"
_SOCKETS: Final = "integration/test_access_over_sockets.py"
_PROXY: Final = "integration/test_caching_proxy.py"
_AUTH: Final = "adapters/auth"
_PASSED, _FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


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
            "integration/test_serve.py::test_authorization_without_anybody_to_recognise_is_closed",
        ),
        (
            Defence(f"{_AUTH}/loading.py", "    if found is None:\n", "    if False:\n"),
            Defence(
                "entrypoints/authentication.py", "if required and knows_nobody(made):", "if False:"
            ),
            Defence("entrypoints/server.py", "journal.record(_CLOSED_TO_ALL)", "pass"),
        ),
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
            "unit/test_jwt.py::test_a_token_that_is_not_whole",
            "unit/test_jwt.py::test_a_huge_token",
            "unit/test_jwt_keys.py::test_a_public_key_is_no_secret",
            "unit/test_jwt_keys.py::test_a_kid_is_never_a_path",
            "unit/test_jwt_keys.py::test_the_kid_picks_the_key",
            "unit/test_jwt_keys.py::test_a_key_keeps_to_its_algorithm",
            "unit/test_jwt_keys.py::test_keys_for_something_else_are_passed_over",
            "unit/test_jwt_keys.py::test_a_key_file_that_is_not_good",
            "unit/test_jwt_keys.py::test_a_secret_in_a_set_is_as_long_as_its_algorithm_needs",
            "unit/test_claims.py::test_a_missing_claim",
            "unit/test_claims.py::test_a_claim_that_does_not_hold",
            "unit/test_claims.py::test_the_leeway_is_as_configured",
            "unit/test_authentication.py::test_a_leeway_out_of_range",
        ),
        (
            Defence(f"{_AUTH}/jwt_keys.py", "if algorithm in one.algorithms and (", "if ("),
            Defence(f"{_AUTH}/jwt_keys.py", "(not self.named or kid in (None, one.kid))", "(True)"),
            Defence(f"{_AUTH}/jwt_keys.py", "and key.alg in (None, name)", ""),
            Defence(f"{_AUTH}/jwt_keys.py", 'if b"-----BEGIN" not in data and', "if"),
            Defence(f"{_AUTH}/jwt_keys.py", "    if bits < least:\n", "    if False:\n"),
            Defence(f"{_AUTH}/jwt.py", "and not _REFUSED & header.keys()", ""),
            Defence(
                f"{_AUTH}/jwt.py",
                "jws.deserialize_compact(token, key, registry=_REGISTRY).payload",
                'urlsafe_b64decode(token.split(".")[1].encode())',
            ),
            Defence(f"{_AUTH}/schemes.py", "if len(header) <= _LONGEST else None", ""),
            *(
                Defence(
                    f"{_AUTH}/claims.py", f'claims.get("{name}")', f'claims.get("{name}", {good})'
                )
                for name, good in (
                    ("iss", "rules.issuer"),
                    ("aud", "rules.audience"),
                    ("sub", "'somebody'"),
                    ("exp", "now + 1"),
                )
            ),
            Defence(f"{_AUTH}/claims.py", 'claims.get("iss") == rules.issuer', "True"),
            Defence(f"{_AUTH}/claims.py", "and rules.audience in _audiences(", "and _audiences("),
            Defence(f"{_AUTH}/claims.py", "now - leeway < _seconds(", "_seconds("),
            Defence(f"{_AUTH}/claims.py", "begin <= now + leeway for", "True for"),
            Defence(
                "entrypoints/options.py",
                "default=30.0, validator=seconds(0, 60)",
                "default=30.0, validator=seconds(0, 3600)",
            ),
        ),
    ),
    "timing": Threat(
        ("unit/test_tokens.py::test_unknown_wrong_expired_and_right_take_the_same_way",),
        (
            Defence(
                f"{_AUTH}/tokens.py",
                "hmac.compare_digest(entry.sha256, brought)",
                "entry.sha256 == brought",
            ),
            Defence(
                f"{_AUTH}/tokens.py",
                "        found = entry if hmac.compare_digest(entry.sha256, brought) else found\n",
                "        if hmac.compare_digest(entry.sha256, brought):\n"
                "            return entry\n",
            ),
        ),
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
            "unit/test_snapshot.py::test_poison_is_refused_at_once",
            "unit/test_snapshot.py::test_a_pickle_is_not_run",
            "integration/test_faults_redis.py::test_poison_is_a_miss_deleted_and_counted",
            "integration/test_faults_redis.py::test_another_keys_report_is_a_miss",
        ),
        (
            Defence("formats/sealed.py", "if not found.startswith(self.mark):", "if False:"),
            Defence("formats/snapshot.py", "if len(data) > LARGEST_BYTES:", "if False:"),
            Defence("formats/snapshot.py", "version: Literal[1]", "version: int"),
            Defence("formats/snapshot.py", "_Document, strict=True)", "_Document, strict=False)"),
            Defence("formats/snapshot.py", "forbid_unknown_fields=True", ""),
        ),
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
            "unit/test_database_url.py::test_half_a_password_is_no_parameter",
            "unit/test_secret.py::test_nobody_pickles_a_secret",
            "unit/test_secret.py::test_nobody_prints_a_secret",
            "unit/test_secret.py::test_a_copy_shows_no_more",
            "unit/test_secret.py::test_a_list_of_the_fields_shows_no_more",
            "unit/test_log.py::test_secrets_are_not_shown",
            "integration/test_canaries.py::test_settings_do_not_show_their_secrets",
            "integration/test_canaries.py::test_a_refused_url_does_not_show_its_secrets",
        ),
        (
            Defence("domain/secret.py", '"Secret(...)"', "repr(self._value)"),
            Defence("domain/secret.py", "map(repr, self._entries)", "map(repr, self.values())"),
            Defence(
                "domain/secret.py",
                "    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:\n        raise",
                "    def nobody_asks(self) -> NoReturn:\n        raise",
            ),
            Defence("domain/permissions.py", "converter=SecretMapping)", "converter=dict)"),
            Defence("adapters/sql/url.py", '"@" not in query', "True"),
            Defence("adapters/log.py", "redact(changed.detail, self._secrets)", "changed.detail"),
        ),
    ),
    "TLS downgrade": Threat(
        (
            "unit/test_database_url.py::test_what_is_understood",
            "integration/test_faults_database.py::test_a_server_without_tls",
            "integration/test_faults_database.py::test_a_certificate_of_nobody_we_trust",
            "integration/test_redis_cache.py::test_a_unix_socket_and_tls_are_spoken",
        ),
        (
            Defence(
                "adapters/sql/drivers.py",
                'f"postgresql://?{urlencode(target.tls)}" if target.tls else None',
                "None",
            ),
            Defence("adapters/sql/drivers.py", "            **target.tls,\n", ""),
            Defence(
                "adapters/sql/url.py", '"sslrootcert": _tls,', '"sslrootcert": lambda *_: None,'
            ),
        ),
    ),
    "least privilege": Threat(
        (
            "integration/test_sql_tasker.py::test_a_role_that_may_only_select_is_enough",
            "integration/test_sql_tasker.py::test_a_view_cannot_write",
            "integration/test_probe_connection.py::test_the_server_gives_up_before_we_do",
        ),
        (
            Defence("adapters/sql/opening.py", '{"default_transaction_read_only": "on"}', "{}"),
            Defence("adapters/sql/snapshot.py", ", postgresql_readonly=True", ""),
            Defence(
                "adapters/sql/vitals.py",
                "FROM pg_stat_activity\n",
                "FROM pg_stat_activity WHERE EXISTS (SELECT FROM pg_authid)\n",
            ),
        ),
    ),
}
"""Every threat that concerns what there is."""


def _unnoticed(threat: Threat, defence: Defence, copied: Path) -> bool:
    """Remove a defence, run the tests of its threat, put it back."""
    place = copied / PACKAGE / defence.file
    original = place.read_text()
    assert original.count(defence.present) == 1, f"{defence.file}: {defence.present!r}"
    place.write_text(original.replace(defence.present, defence.gone))
    try:
        return _pass(threat, copied)
    finally:
        place.write_text(original)


def _pass(threat: Threat, copied: Path) -> bool:
    """Run the unit tests and, when they notice nothing, those with real servers."""
    unit = [test for test in threat.tests if test.startswith("unit/")]
    others = [test for test in threat.tests if test not in unit]
    return all(_passed(tests, copied) for tests in (unit, others) if tests)


def _passed(tests: Sequence[str], copied: Path) -> bool:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copied / 'src'}{os.pathsep}{copied}",
        "TASKER_HEALTH_TEST_ACCESS_CASES": "5000",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # only those that the tests use
    }
    plugins = ("no:cacheprovider", "anyio.pytest_plugin", "_hypothesis_pytestplugin")
    words = ["-x", "-q", *(word for plugin in plugins for word in ("-p", plugin))]
    told = subprocess.run(  # noqa: S603  our own tests
        [sys.executable, "-m", "pytest", *words, *(f"tests/{test}" for test in tests)],
        cwd=copied,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert told.returncode in {_PASSED, _FAILED}, f"{tests} cannot be run"
    return told.returncode == _PASSED


def main(names: Sequence[str]) -> int:
    """Remove each defence in turn."""
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="threats-") as folder:
        copied = Path(folder)
        for name in ("src", "tests", "deploy"):
            shutil.copytree(ROOT / name, copied / name)
        shutil.copy(ROOT / "pyproject.toml", copied)
        for name in names or THREATS:
            threat = THREATS[name]
            assert not threat.defences or _pass(threat, copied), f"{name}: its tests fail as it is"
            for defence in threat.defences:
                lives = _unnoticed(threat, defence, copied)
                unnoticed += lives
                told = "UNNOTICED" if lives else "noticed"
                print(f"{told}: {name}: {defence.file}: {defence.present.strip()}", flush=True)  # noqa: T201  a command
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
