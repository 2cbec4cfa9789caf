"""What a vendor's exception means."""

from __future__ import annotations

import errno
import socket
import sqlite3
import ssl

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest
from sqlalchemy import exc

from tasker_health.adapters.sql.failures import reason_of
from tasker_health.domain.reasons import Reason


def told_by_sqlite(code: int) -> sqlite3.OperationalError:
    """Make what SQLite raises with this code."""
    error = sqlite3.OperationalError("told by its code alone")
    error.sqlite_errorcode = code
    return error


def wrapped(error: Exception) -> exc.DBAPIError:
    """Wrap as SQLAlchemy does, with the driver's adapted error between."""
    adapted = RuntimeError("adapted")
    adapted.__cause__ = error
    return exc.DBAPIError("SELECT 1", {}, adapted)


FAILURES = [
    (socket.gaierror(-2, "Name or service not known"), Reason.DNS),
    (UnicodeError("label too long"), Reason.DNS),
    (ConnectionRefusedError(111, "refused"), Reason.REFUSED),
    (FileNotFoundError(2, "no socket"), Reason.REFUSED),
    (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), Reason.REFUSED),
    (OSError(errno.EHOSTUNREACH, "no route"), Reason.UNREACHABLE),
    (OSError(errno.ENETUNREACH, "no network"), Reason.UNREACHABLE),
    (OSError(errno.ENOSPC, "no space"), Reason.DISK_FULL),
    (OSError(errno.EMFILE, "too many open files"), Reason.FAILED),
    (TimeoutError(), Reason.TIMEOUT),
    (exc.TimeoutError("QueuePool limit"), Reason.TIMEOUT),
    (ssl.SSLCertVerificationError("nobody we trust"), Reason.TLS),
    (ConnectionError("rejected SSL upgrade"), Reason.TLS),
    (ConnectionResetError(104, "reset"), Reason.RECOVERING),
    (BrokenPipeError(32, "broken"), Reason.RECOVERING),
    (asyncpg.CannotConnectNowError("the database system is starting up"), Reason.STARTING),
    (asyncpg.CannotConnectNowError("the database system is in recovery mode"), Reason.RECOVERING),
    (asyncpg.AdminShutdownError("terminating"), Reason.RECOVERING),
    (asyncpg.ConnectionDoesNotExistError("gone"), Reason.RECOVERING),
    (asyncpg.InterfaceError("connection is closed"), Reason.RECOVERING),
    (asyncpg.InvalidPasswordError("no"), Reason.AUTH),
    (asyncpg.InvalidCatalogNameError("no such database"), Reason.AUTH),
    (asyncpg.TooManyConnectionsError("sorry"), Reason.TOO_MANY_CONNECTIONS),
    (asyncpg.ReadOnlySQLTransactionError("no"), Reason.READ_ONLY),
    (asyncpg.DiskFullError("full"), Reason.DISK_FULL),
    (asyncpg.LockNotAvailableError("held"), Reason.LOCKED),
    (asyncpg.QueryCanceledError("statement timeout"), Reason.TIMEOUT),
    (asyncpg.InsufficientPrivilegeError("no"), Reason.FORBIDDEN),
    (asyncpg.UndefinedTableError("no"), Reason.PENDING),
    (asyncpg.UndefinedColumnError("no"), Reason.PENDING),
    (psycopg.errors.UndefinedTable("no"), Reason.PENDING),
    (psycopg.errors.LockNotAvailable("held"), Reason.LOCKED),
    (psycopg.OperationalError("FATAL: password authentication failed"), Reason.AUTH),
    (psycopg.OperationalError('FATAL: database "x" does not exist'), Reason.AUTH),
    (psycopg.OperationalError("FATAL: sorry, too many clients"), Reason.TOO_MANY_CONNECTIONS),
    (psycopg.OperationalError("failed to resolve host"), Reason.DNS),
    (psycopg.OperationalError("Connection refused"), Reason.REFUSED),
    (psycopg.errors.ConnectionTimeout("connection timeout expired"), Reason.TIMEOUT),
    (told_by_sqlite(sqlite3.SQLITE_BUSY), Reason.LOCKED),
    (told_by_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), Reason.LOCKED),
    (told_by_sqlite(sqlite3.SQLITE_FULL), Reason.DISK_FULL),
    (told_by_sqlite(sqlite3.SQLITE_CANTOPEN), Reason.REFUSED),
    (told_by_sqlite(sqlite3.SQLITE_READONLY), Reason.READ_ONLY),
    (sqlite3.OperationalError("no such table: tasker_tasks"), Reason.PENDING),
    (RuntimeError("something else"), Reason.FAILED),
]


@pytest.mark.parametrize(("error", "reason"), FAILURES, ids=lambda value: repr(value)[:40])
def test_what_a_failure_means(error: Exception, reason: Reason) -> None:
    """Each failure has its reason, bare and however it is wrapped."""
    assert reason_of(error) is reason
    assert reason_of(wrapped(error)) is reason


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Errors that name each other as cause are looked at once."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert reason_of(one) is Reason.FAILED
