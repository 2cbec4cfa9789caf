"""The closed set of public reasons: the only words that a bad answer may give a stranger.

What a vendor wrote about a failure belongs in the log. What everybody may read is one
of these words, so that no host name, statement or password can reach an open endpoint.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ADVICE", "Reason"]


class Reason(StrEnum):
    """Why something is not well."""

    # The way to a server.
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS = "tls"
    # What the server says of itself.
    STARTING = "starting"
    RECOVERING = "recovering"
    AUTH = "auth"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    READ_ONLY = "read_only"
    DISK_FULL = "disk_full"
    OUT_OF_MEMORY = "out_of_memory"
    LOCKED = "locked"
    POOLER = "pooler"
    # What stands in the database.
    PENDING = "pending"
    FAILED_MIGRATION = "failed_migration"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"
    # What we were told against what we found.
    AMBIGUOUS = "ambiguous"
    MISMATCH = "mismatch"
    UNREADABLE = "unreadable"
    # Ourselves.
    DRAINING = "draining"
    FAILED = "failed"


ADVICE: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.DNS: "the host name does not resolve: check the host in DATABASE_URL or CACHE_URL",
        Reason.REFUSED: "nothing listens there: is the server running, and on that port?",
        Reason.UNREACHABLE: "the network gives no way to that address: check routes and firewalls",
        Reason.TIMEOUT: "no answer in time: a frozen server, a full pool or a slow network",
        Reason.TLS: "no secure connection: compare sslmode and the certificates on both sides",
        Reason.STARTING: "the server is starting up and will answer soon",
        Reason.RECOVERING: "the server went away or is recovering from a crash; it is asked again",
        Reason.AUTH: "the server turned us away: check user, password and database name",
        Reason.TOO_MANY_CONNECTIONS: "no connection is left: raise max_connections or pool less",
        Reason.READ_ONLY: "it takes no writes: a standby, or default_transaction_read_only",
        Reason.DISK_FULL: "the server's disk is full",
        Reason.OUT_OF_MEMORY: "the server is out of memory: raise its limit or let it evict",
        Reason.LOCKED: "another session holds a lock that we waited for",
        Reason.POOLER: "a pooler that shares sessions is in between: set PREPARED_STATEMENTS=false",
        Reason.PENDING: "tables, columns or migrations are missing: run Tasker's migrations",
        Reason.FAILED_MIGRATION: "a migration stopped half-way: repair it and run it again",
        Reason.FORBIDDEN: "our role may not read Tasker's tables: GRANT SELECT on them",
        Reason.UNKNOWN: "it could not be found out, because something else failed first",
        Reason.AMBIGUOUS: "both Tasker generations stand in this database: set TASKER_SCHEMA",
        Reason.MISMATCH: "the database holds another Tasker generation than TASKER_SCHEMA says",
        Reason.UNREADABLE: "a file that a setting names can no longer be read",
        Reason.DRAINING: "this process was asked to stop and takes no new traffic",
        Reason.FAILED: "it failed in a way we have no word for: see the log",
    }
)
"""What to do about each reason; it goes into the log line of a transition, never into a body."""
