"""What is kept secret stays so in whatever is made of its holder."""

from __future__ import annotations

import ast
import copy
import pickle
import pprint
import re
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
import pytest

import tasker_health
from tasker_health.adapters.auth.jwt_keys import parse_jwks, parse_key
from tasker_health.adapters.auth.schemes import Presented, presented
from tasker_health.adapters.redis.url import parse_redis_url
from tasker_health.adapters.sql.drivers import Connector
from tasker_health.adapters.sql.opening import DatabaseOptions
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.permissions import Credentials
from tasker_health.domain.secret import Secret, SecretMapping
from tasker_health.entrypoints.options import CATALOGUE, Configuration

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY: Final = "canary"
URL: Final = f"postgresql://{CANARY}:{CANARY}@h/d?sslpassword={CANARY}&variables[a]={CANARY}"
TARGET: Final = parse_database_url(URL)
HEADER: Final = Credentials(headers={"authorization": f"Bearer {CANARY}"})
KEY: Final = CANARY.encode() * 8

HOLDERS: Final[dict[str, Any]] = {
    "Secret": Secret(CANARY),
    "SecretMapping": SecretMapping({"name": CANARY}),
    "Configuration": Configuration(database_url=URL, cache_url=f"redis://:{CANARY}@h"),
    "DatabaseTarget": TARGET,
    "DatabaseOptions": DatabaseOptions(target=TARGET),
    "Connector": Connector(
        TARGET, settings={}, connect_timeout_seconds=1, prepared_statements=True
    ),
    "RedisTarget": parse_redis_url(
        f"redis+sentinel://{CANARY}:{CANARY}@h/m?sentinel_password={CANARY}"
    ),
    "Credentials": HEADER,
    "Presented": presented(HEADER),
    "KeyRing": parse_key(KEY, {"HS256"}),
    "VerificationKey": parse_key(KEY, {"HS256"}).keys[0],
    "JWK Set": parse_jwks(b'{"keys": [{"kty": "oct", "k": "%s"}]}' % (KEY * 2), {"HS256"}),
}

holders: Final = pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)


def shown(value: object) -> str:
    """Show a value in every way that Python has, in lower case."""
    as_error = RuntimeError(value)
    as_error.add_note(f"{value!r}")
    report = traceback.TracebackException.from_exception(as_error)
    ways = (f"{value} {value!r}", pprint.pformat(value), repr(as_error.args))
    return "\n".join((*ways, *report.format())).lower()


@holders
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nobody_pickles_a_secret(holder: object, protocol: int) -> None:
    """By no protocol, not alone, and not inside of something else."""
    for value in (holder, [holder], {"a": (holder,)}):
        with pytest.raises((TypeError, pickle.PicklingError)) as refused:
            pickle.dumps(value, protocol)
        assert CANARY not in shown(refused.value)


@holders
def test_nobody_prints_a_secret(holder: object) -> None:
    """Neither the holder nor an exception that carries it shows what it holds."""
    assert CANARY not in shown(holder)


@holders
@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, attrs.evolve])
def test_a_copy_shows_no_more(holder: object, make: Callable[[object], object]) -> None:
    """What is made of a holder, where it can be made, keeps the secret as it does."""
    with suppress(TypeError, attrs.exceptions.NotAnAttrsClassError):
        assert CANARY not in shown(make(holder))


@pytest.mark.parametrize(
    "holder",
    [one for one in HOLDERS.values() if attrs.has(type(one))],
    ids=lambda h: type(h).__name__,
)
def test_a_list_of_the_fields_shows_no_more(holder: attrs.AttrsInstance) -> None:
    """Neither a dict nor a tuple of what stands in a value, however deep, shows it."""
    assert CANARY not in shown(attrs.asdict(holder))
    assert CANARY not in shown(attrs.astuple(holder))


@pytest.mark.parametrize("holder", [Secret(CANARY), SecretMapping({"name": CANARY})])
def test_nobody_encodes_a_secret(holder: object) -> None:
    """It becomes JSON in no way that anybody would use by mistake."""
    with pytest.raises(TypeError):
        msgspec.json.encode({"a": holder})


def test_a_secret_is_had_by_asking_for_it() -> None:
    """It is its value to whoever asks by name, and equal to another that keeps the same."""
    assert Secret("a").reveal() == "a"
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert repr(Secret("a")) == "Secret(...)"
    assert {Secret("a")} == {copy.copy(Secret("a"))}
    assert [bool(Secret(value)) for value in ("", "a", (), (1,))] == [False, True, False, True]


def test_secret_texts_are_had_by_their_names() -> None:
    """They are a mapping like any other, which nobody changes, and shows its names."""
    given = {"a": "1", "b": "2"}
    kept = SecretMapping(given)
    given["a"] = "3"
    assert kept == {"a": "1", "b": "2"} == {**copy.deepcopy(kept)}
    assert (kept["b"], kept.get("c"), len(kept), bool(SecretMapping({}))) == ("2", None, 2, False)
    assert repr(kept) == "SecretMapping('a', 'b')"
    assert not hasattr(kept, "__setitem__")


def test_each_holder_holds_one() -> None:
    """What the tests look for is really there: who needs it finds it."""
    configuration = HOLDERS["Configuration"]
    assert CANARY in configuration.database_url.reveal()
    assert CANARY in configuration.cache_url.reveal()
    assert attrs.evolve(configuration) == configuration
    assert TARGET.password.reveal() == TARGET.user.reveal() == CANARY
    assert TARGET.tls == {"sslpassword": CANARY}
    assert TARGET.settings == {"a": CANARY}
    assert HOLDERS["RedisTarget"].arguments.reveal()["password"] == CANARY
    assert HOLDERS["RedisTarget"].asking.reveal()["password"] == CANARY
    assert HEADER.headers["authorization"] == f"Bearer {CANARY}"
    assert HOLDERS["Presented"] == Presented("bearer", Secret(CANARY))
    assert HOLDERS["VerificationKey"].key.reveal().raw_value == KEY


def test_a_setting_that_is_secret_is_kept_as_one() -> None:
    """Neither a setting's mark nor its type can be forgotten: each asks for the other."""
    kept = {setting.name for setting in CATALOGUE.values() if setting.kind == Secret[str]}
    assert kept == {setting.name for setting in CATALOGUE.values() if setting.secret}
    assert {"database_url", "cache_url"} <= kept


def test_what_is_called_a_secret_is_kept_as_one() -> None:
    """No field of any class is called a password, a secret or a key and is a mere text."""
    called = re.compile(r"(?:.*_)?(?:passwords?|passphrase|secrets?|routing_key|authorization)")
    mere = [
        f"{path.name}: {ast.unparse(field)}"
        for path in Path(tasker_health.__file__).parent.rglob("*.py")
        for holder in ast.walk(ast.parse(path.read_text()))
        if isinstance(holder, ast.ClassDef)
        for field in holder.body
        if isinstance(field, ast.AnnAssign)
        and called.fullmatch(ast.unparse(field.target))
        and not re.match(r"Secret\b|SecretMapping|bool", ast.unparse(field.annotation))
    ]
    assert mere == []
