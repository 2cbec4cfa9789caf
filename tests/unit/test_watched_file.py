"""A file that a setting names: when it is read, and what follows when it is bad."""

# ruff: noqa: ASYNC240  a test that changes a small file has nothing else to do meanwhile

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tasker_health.adapters.auth.watched_file import WatchedFile
from tasker_health.domain.errors import AccessUnavailableError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


class Reader:
    """Parses a file to its text and counts how often it did; ``bad`` is not good."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, data: bytes) -> str:
        """Parse."""
        self.threads.add(threading.get_ident())
        assert self.go.wait(10)
        self.texts.append(data.decode())
        if data == b"bad":
            raise ValueError("not good")
        if data == b"worse":
            raise RecursionError("canary")
        return data.decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that was last changed long ago."""
    path = tmp_path / "file"
    path.write_text("one")
    return path


@pytest.fixture
def later(path: Path) -> ManualClock:
    """Give a clock on which the file has been as it is for an hour."""
    clock = ManualClock()
    clock.jump(path.stat().st_ctime + 3600 - clock.now().timestamp())
    return clock


async def test_a_look_a_second_at_most(path: Path, later: ManualClock) -> None:
    """Within a second nobody looks again; after it, a change is seen."""
    file = WatchedFile(path, Reader(), later)
    assert await file.current() == "one"
    path.write_text("two")
    later.advance(0.9)
    assert await file.current() == "one"
    later.advance(0.1)
    assert await file.current() == "two"


async def test_a_file_that_did_not_change_is_not_parsed_again(
    path: Path, later: ManualClock
) -> None:
    """As long as nothing changed, one parse serves."""
    reader = Reader()
    file = WatchedFile(path, reader, later)
    for _ in range(5):
        later.advance(1)
        assert await file.current() == "one"
    assert reader.texts == ["one"]


async def test_a_young_file_is_read_again(path: Path) -> None:
    """A file that may change twice within a tick of its times is read until it is older."""
    reader, clock = Reader(), ManualClock()
    clock.jump(path.stat().st_ctime + 0.5 - clock.now().timestamp())
    file = WatchedFile(path, reader, clock)
    for _ in range(6):
        assert await file.current() == "one"
        clock.advance(1)
    assert len(reader.texts) == 3


async def test_a_replaced_file_of_the_same_look_is_seen(path: Path, later: ManualClock) -> None:
    """A file put in place of another, of the same size and times, is a change."""
    file = WatchedFile(path, Reader(), later)
    assert await file.current() == "one"
    times = path.stat()
    other = path.with_name("other")
    other.write_text("two")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    later.advance(1)
    assert await file.current() == "two"


async def test_a_link_is_followed_anew(path: Path, later: ManualClock) -> None:
    """A symbolic link that now leads elsewhere, as a mounted secret's does, is a change."""
    link, other = path.with_name("link"), path.with_name("other")
    other.write_text("two")
    link.symlink_to(path)
    file = WatchedFile(link, Reader(), later)
    assert await file.current() == "one"
    link.unlink()
    link.symlink_to(other)
    later.advance(1)
    assert await file.current() == "two"


@pytest.mark.parametrize("content", ["bad", "worse", None])
async def test_what_is_not_good_gives_nothing_and_heals(
    path: Path, later: ManualClock, content: str | None
) -> None:
    """While the file is gone or not good nothing is had from it, not even what it was."""
    file = WatchedFile(path, Reader(), later)
    assert await file.current() == "one"
    assert [file.problem] == [None]
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    later.advance(1)
    for _ in range(2):
        with pytest.raises(AccessUnavailableError):
            await file.current()
    assert file.problem is Reason.UNREADABLE
    path.write_text("two")
    later.advance(1)
    assert await file.current() == "two"
    assert file.problem is None


@pytest.mark.parametrize(
    ("content", "told"), [("bad", "not good"), ("worse", "RecursionError"), (None, "No such file")]
)
async def test_what_is_wrong_is_told_by_the_name_of_the_file(
    path: Path, later: ManualClock, content: str | None, told: str
) -> None:
    """The failure names the file and says why; of an error not meant for it, only the kind."""
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(AccessUnavailableError) as failed:
        await WatchedFile(path, Reader(), later).current()
    assert str(failed.value).startswith(f"{path}: ")
    assert told in str(failed.value)
    assert "canary" not in str(failed.value)


async def test_asking_for_the_problem_looks_again(path: Path, later: ManualClock) -> None:
    """A file is noticed, and heals, though nobody asks for its value."""
    file = WatchedFile(path, Reader(), later)
    assert await file.current() == "one"
    for content, expected in (("bad", Reason.UNREADABLE), ("two", None)):
        path.write_text(content)
        later.advance(1)
        assert file.problem is not expected
        assert file._looking is not None
        await file._looking
        assert file.problem is expected
    assert await file.current() == "two"


def test_the_problem_without_an_event_loop(path: Path, later: ManualClock) -> None:
    """Where no event loop runs, the problem is what is known."""
    file = WatchedFile(path, Reader(), later)
    assert file.problem is None
    path.write_text("bad")
    with pytest.raises(ValueError, match="not good"):
        file.load()
    later.advance(1)
    assert file.problem is Reason.UNREADABLE


def test_the_start_is_told_what_is_wrong(path: Path, later: ManualClock) -> None:
    """At the start the file's own error is raised, and a good file gives its value."""
    assert WatchedFile(path, Reader(), later).load() == "one"
    with pytest.raises(FileNotFoundError):
        WatchedFile(path.with_name("none"), Reader(), later).load()
    with pytest.raises(IsADirectoryError):
        WatchedFile(path.parent, Reader(), later).load()


def test_a_pipe_is_no_file(path: Path, later: ManualClock) -> None:
    """A pipe that nobody writes to is refused at once, and not waited for."""
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        WatchedFile(pipe, Reader(), later).load()


def test_a_huge_file_is_not_read(path: Path, later: ManualClock) -> None:
    """A file larger than any is refused; the largest is not."""
    largest, reader = 16 * 1024 * 1024, Reader()
    os.truncate(path, largest)
    assert len(WatchedFile(path, Reader(), later).load()) == largest
    os.truncate(path, largest + 1)
    with pytest.raises(OSError, match="larger than 16 MiB"):
        WatchedFile(path, reader, later).load()
    assert reader.texts == []


async def test_many_callers_share_a_look_in_a_thread(path: Path, later: ManualClock) -> None:
    """However many ask at once, one look is made, and not in the event loop's thread."""
    reader = Reader()
    file = WatchedFile(path, reader, later)
    assert await asyncio.gather(*(file.current() for _ in range(50))) == ["one"] * 50
    assert reader.texts == ["one"]
    assert reader.threads.isdisjoint({threading.get_ident()})


async def test_a_caller_who_gives_up_leaves_the_look_to_the_others(
    path: Path, later: ManualClock
) -> None:
    """A look that takes long is waited for by those who stay, and is not begun twice."""
    reader = Reader()
    reader.go.clear()
    file = WatchedFile(path, reader, later)
    leaving, staying = (asyncio.ensure_future(file.current()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert leaving.cancelled()
    third = asyncio.ensure_future(file.current())
    reader.go.set()
    assert [*await asyncio.gather(staying, third)] == ["one", "one"]
    assert reader.texts == ["one"]


async def test_a_look_that_never_ended_changes_nothing(path: Path, later: ManualClock) -> None:
    """A look that was cancelled, as when its threads are ended, leaves what was known."""
    reader = Reader()
    file = WatchedFile(path, reader, later)
    assert await file.current() == "one"
    later.advance(1)
    path.write_text("two")
    reader.go.clear()
    assert file.problem is None
    assert file._looking is not None
    file._looking.cancel()
    reader.go.set()
    assert await file.current() == "two"


async def test_nothing_of_the_content_is_shown(path: Path, later: ManualClock) -> None:
    """Neither the file nor its last look shows what was read."""
    path.write_text("canary")
    file = WatchedFile(path, Reader(), later)
    assert await file.current() == "canary"
    assert "canary" not in repr(file)
    assert "canary" not in repr(file._last)
    path.write_text("worse")
    later.advance(1)
    with pytest.raises(AccessUnavailableError):
        await file.current()
    assert "canary" not in repr(file._last)
