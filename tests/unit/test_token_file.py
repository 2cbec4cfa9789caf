"""The token file: read strictly, changed whole, and never by two at once."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasker_health.adapters.auth import token_file
from tasker_health.adapters.auth.token_file import TokenFile, TokenRecord, is_name, parse
from tasker_health.adapters.auth.tokens import digest, new_token
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.permissions import REGISTRY, STATUS_INDEX, Permission

if TYPE_CHECKING:
    from pathlib import Path

SETTING = "TASKER_HEALTH_TOKENS_FILE"
NOON = datetime(2025, 6, 18, 12, tzinfo=UTC)
DIGEST = "ab" * 32
GOOD = f'[grafana]\nsha256 = "{DIGEST}"\ncreated = 2025-06-18T12:00:00Z\n'

RECORDS = st.builds(
    TokenRecord,
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(is_name),
    sha256=st.binary(min_size=32, max_size=32),
    permissions=st.frozensets(
        st.sampled_from([Permission(r, a) for r, actions in REGISTRY.items() for a in actions])
    ),
    admin=st.booleans(),
    created=st.integers(-30_000_000_000, 250_000_000_000).map(
        lambda seconds: datetime.fromtimestamp(seconds, UTC)
    ),
    expires=st.none() | st.just(NOON),
)


def record(name: str = "grafana", **other: Any) -> TokenRecord:
    """Make an entry."""
    made = TokenRecord(name=name, sha256=digest(new_token()), created=NOON)
    return attrs.evolve(made, **other)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a file that is not there yet."""
    return tmp_path / "tokens.toml"


@pytest.fixture
def file(path: Path) -> TokenFile:
    """Give that file, for those who change it."""
    return TokenFile(str(path), setting=SETTING, source="the environment")


def test_what_is_written_is_read(file: TokenFile) -> None:
    """An entry comes back as it was put, with all that it says."""
    one = record(permissions=frozenset({STATUS_INDEX}), admin=True, expires=NOON)
    other = record("prometheus")
    file.add(one)
    file.add(other)
    assert file.read() == (one, other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(RECORDS, max_size=6, unique_by=(lambda r: r.name, lambda r: r.sha256)), st.data())
def test_any_entries_survive_any_changes(
    tmp_path: Path, records: list[TokenRecord], data: st.DataObject
) -> None:
    """Adding and removing leaves exactly the others, in their order."""
    path = tmp_path / "any.toml"
    path.unlink(missing_ok=True)
    file = TokenFile(str(path), setting=SETTING)
    for one in records:
        file.add(one)
    for one in data.draw(st.permutations(records)):
        assert one in file.read()
        left = tuple(other for other in file.read() if other.name != one.name)
        file.remove(one.name)
        assert file.read() == left


def test_the_fields_that_may_be_left_out(path: Path, file: TokenFile) -> None:
    """An entry without them may nothing, is no admin and never expires."""
    path.write_text(GOOD)
    (found,) = file.read()
    assert found == TokenRecord(name="grafana", sha256=bytes.fromhex(DIGEST), created=NOON)
    assert not found.expired(datetime.max.replace(tzinfo=UTC))


def test_an_entry_ends_at_its_moment(path: Path, file: TokenFile) -> None:
    """It is good until then and not a moment longer, in whatever zone it was written."""
    path.write_text(GOOD + "expires = 2025-06-18T14:00:00+02:00\n")
    (found,) = file.read()
    assert found.expires == datetime(2025, 6, 18, 14, tzinfo=timezone(timedelta(hours=2)))
    assert not found.expired(NOON - timedelta(microseconds=1))
    assert found.expired(NOON)


def test_a_file_of_no_tokens_is_good(path: Path, file: TokenFile) -> None:
    """An empty file and one of comments hold nothing."""
    path.write_text("")
    assert file.read() == ()
    path.write_text("# nobody yet\n")
    assert file.read() == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[grafana", "not TOML: "),
        ("\x00", "not TOML: "),
        ("a = " + "[" * 5000, "not TOML"),
        (GOOD + GOOD, "not TOML: "),
        (GOOD + GOOD.replace("grafana", "other"), "tokens ([other] has the sha256 of [grafana])"),
        ("grafana = 1", "grafana is no table: allowed is [grafana]"),
        ("[[grafana]]", "grafana is no table"),
        ('["two words"]', "an entry is named 'two words': allowed is 1 to 64 letters"),
        (f"[{'a' * 65}]", "an entry is named 'aaa"),
        ("[-a]", "an entry is named '-a'"),
        ("[tht_canary]", "an entry is named a text that is not shown"),
        (GOOD + 'secret = "x"', "[grafana] 'secret': allowed is one of the fields sha256, perm"),
        (GOOD + 'tht_canary = "x"', "[grafana] a text that is not shown: allowed is one of"),
        (GOOD + "[grafana.more]", "[grafana] 'more': allowed is one of the fields"),
        ("[grafana]", "[grafana] sha256: allowed is the 64 hexadecimal digits"),
        (GOOD.replace(DIGEST, "tht_canary"), "[grafana] sha256: "),
        (GOOD.replace(DIGEST, DIGEST.upper()), "[grafana] sha256: "),
        (GOOD.replace(DIGEST, DIGEST + "\\n"), "[grafana] sha256: "),
        (GOOD.replace(f'"{DIGEST}"', "1"), "[grafana] sha256: "),
        (GOOD + 'admin = "true"', "[grafana] admin: allowed is true or false"),
        (GOOD + "admin = 1", "tokens ([grafana] admin: allowed is true or false"),
        (GOOD + 'permissions = "tasker.task:index"', "[grafana] permissions: allowed is a list"),
        (GOOD + "permissions = [1]", "[grafana] permissions: allowed is a list"),
        (GOOD + 'permissions = ["*"]', "[grafana] permissions with '*': allowed is permissions"),
        (GOOD + 'permissions = ["tasker.task:fly"]', "permissions with 'tasker.task:fly'"),
        (GOOD + 'permissions = ["tht_canary"]', "permissions with a text that is not shown"),
        (GOOD + f'permissions = ["{"x" * 80}"]', f"permissions with '{'x' * 80}'"),
        (GOOD + f'permissions = ["{"x" * 81}"]', "permissions with a text that is not shown"),
        (f'[grafana]\nsha256 = "{DIGEST}"', "[grafana] created: allowed is a date and time"),
        (GOOD.replace("12:00:00Z", "12:00:00"), "[grafana] created: "),
        (GOOD + "expires = 2026-12-31", "[grafana] expires: "),
        (GOOD + "expires = 2026-12-31T00:00:00", "[grafana] expires: "),
        (GOOD + 'expires = "2026-12-31T00:00:00Z"', "[grafana] expires: "),
        (GOOD + "expires = false", "[grafana] expires: "),
        (GOOD + "expires = 0001-01-01T00:00:00+10:00", "[grafana] expires: "),
    ],
)
def test_an_entry_that_is_not_good_is_named(
    path: Path, file: TokenFile, text: str, told: str
) -> None:
    """The error names setting, file, source and entry, in one line without any secret."""
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        file.read()
    line = str(caught.value)
    assert line.startswith(f"{SETTING} is {str(path)!r} (from the environment): allowed is a file")
    assert told in line
    assert "\n" not in line
    assert "canary" not in line


def test_bytes_that_are_no_text_are_not_repeated(path: Path, file: TokenFile) -> None:
    """A file in another encoding is told as that."""
    path.write_bytes(b"# canary \xff")
    with pytest.raises(ConfigurationError, match="not TOML in UTF-8") as caught:
        file.read()
    assert "canary" not in repr(caught.value)


def test_a_file_that_cannot_be_read_is_named(path: Path, tmp_path: Path) -> None:
    """Nothing there, a folder, a pipe that nobody writes to: each is told and none hangs."""
    os.mkfifo(tmp_path / "pipe")
    for place, why in (
        (path, "No such file or directory"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        (path / "\0", "embedded null byte"),
    ):
        with pytest.raises(ConfigurationError, match=rf"tokens.*\({why}\)$"):
            TokenFile(str(place), setting=SETTING).read()


def test_a_new_file_is_ours_alone(path: Path, file: TokenFile) -> None:
    """Whatever the umask, only its owner reads it and writes it; nothing else is left there."""
    before = os.umask(0)
    try:
        file.add(record())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("mode", "after"), [(0o644, 0o640), (0o640, 0o640), (0o777, 0o640), (0o600, 0o600)]
)
def test_that_the_group_may_read_is_kept(
    path: Path, file: TokenFile, mode: int, after: int
) -> None:
    """A change takes away what everybody may, and not what the service's group needs."""
    file.add(record())
    path.chmod(mode)
    file.add(record("other"))
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_the_owner_stays(path: Path, file: TokenFile) -> None:
    """A change does not take the file from the service that reads it, whoever makes it."""
    file.add(record())
    # Only root can give a file away; anybody else's stays their own.
    owner = (65_534, 65_534) if os.geteuid() == 0 else (os.geteuid(), path.stat().st_gid)
    os.chown(path, *owner)
    file.add(record("other"))
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_comments_and_the_other_entries_stay_as_they_are(path: Path, file: TokenFile) -> None:
    """A file that people edit keeps what they wrote, but for the entry that goes."""
    own = GOOD + '# the team\'s own order\npermissions = [\n  "tasker.metrics:index",\n]\n'
    path.write_text(f"# ours\n\n{own}\n# for the other one\n")
    file.add(record("other"))
    assert path.read_text().startswith(f"# ours\n\n{own}\n# for the other one\n\n[other]\n")
    file.remove("other")
    assert path.read_text().rstrip() == f"# ours\n\n{own}\n# for the other one"
    file.remove("grafana")
    assert path.read_text() == "# ours\n\n# for the other one\n\n"


def test_a_comment_right_above_an_entry_is_its_own(path: Path, file: TokenFile) -> None:
    """What stands between two entries goes with the second of them."""
    other = f'# for the other one\n[other]\nsha256 = "{"cd" * 32}"\ncreated = {NOON.isoformat()}\n'
    path.write_text(GOOD + other)
    file.remove("grafana")
    assert path.read_text() == other


def test_an_entry_in_other_words_is_left_alone(path: Path, file: TokenFile) -> None:
    """What cannot be taken out without touching anything else is told, and nothing changes."""
    text = GOOD.replace("[grafana]", '["grafana"]')
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"\(\[grafana\] .* take it out by hand"):
        file.remove("grafana")
    assert path.read_text() == text


def test_a_name_is_used_once(path: Path, file: TokenFile) -> None:
    """A second token of a name is refused and the first one stays."""
    file.add(record())
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"^NAME is 'grafana'.*that no token has yet"):
        file.add(record())
    assert path.read_bytes() == before


def test_an_unknown_name_cannot_be_removed(path: Path, file: TokenFile) -> None:
    """The error lists the names there are, and makes no file where there is none."""
    with pytest.raises(ConfigurationError, match="there are no tokens"):
        file.remove("grafana")
    assert not path.exists()
    file.add(record("b"))
    file.add(record("a"))
    with pytest.raises(ConfigurationError, match=r"^NAME is 'grafana'.*one of a, b"):
        file.remove("grafana")


@pytest.mark.parametrize("content", [b"[grafana", b"# \xff"])
def test_a_file_that_is_not_good_is_never_replaced(
    path: Path, file: TokenFile, content: bytes
) -> None:
    """A change of a malformed file is refused and leaves it as it is."""
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not TOML"):
        file.add(record())
    with pytest.raises(ConfigurationError, match="not TOML"):
        file.remove("grafana")
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A misspelt path is an error, not a new file that no service reads."""
    file = TokenFile(str(tmp_path / "none" / "tokens.toml"), setting=SETTING)
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        file.add(record())
    assert not any(tmp_path.iterdir())


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    """What is replaced is the file that it leads to."""
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    TokenFile(str(link), setting=SETTING).add(record())
    assert link.is_symlink()
    assert len(parse(path.read_bytes())) == 1


def test_a_disk_that_takes_nothing_loses_nothing(
    path: Path, file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new file cannot be written the old one stays, and nothing lies about."""
    file.add(record())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        file.add(record("other"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_the_disk_before_it_takes_its_place(
    path: Path, file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written out is whole, and hidden, so that no crash leaves half a file in sight."""
    written: list[tuple[int, bool]] = []

    def sync(descriptor: int) -> None:
        (made,) = path.parent.iterdir()
        written.append((os.fstat(descriptor).st_size, made.name.startswith(".")))

    monkeypatch.setattr(os, "fsync", sync)
    file.add(record())
    assert written == [(path.stat().st_size, True)]


def test_changes_at_once_lose_nothing(file: TokenFile) -> None:
    """Many who add and remove at the same time leave what each of them left."""
    for number in range(8):
        file.add(record(f"old-{number}"))
    start = threading.Barrier(8)

    def change(number: int) -> None:
        start.wait()
        file.add(record(f"new-{number}"))
        file.remove(f"old-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
    assert {found.name for found in file.read()} == {f"new-{number}" for number in range(8)}


def test_a_lock_that_is_never_let_go_is_told(
    path: Path, file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for another process waits for a bounded time."""
    monkeypatch.setattr(token_file, "_LOCK_SECONDS", 0.05)
    held = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="stays locked by another process"):
            file.add(record())
    finally:
        os.close(held)
    file.add(record())


def test_an_entry_does_not_show_its_digest() -> None:
    """Not even what is kept of a token prints."""
    one = record()
    assert one.sha256.hex() not in repr(one)
    assert repr(one.sha256) not in repr(one)
