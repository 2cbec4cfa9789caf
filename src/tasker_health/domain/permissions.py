"""Permissions, as Tasker spells them; who holds them, and what a caller shows to be recognised.

Source: guide, *Authorization Configuration* (``tasker.health_status:index``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

import attrs

from tasker_health.domain.errors import PermissionFormatError, UnknownPermissionError
from tasker_health.domain.secret import SecretMapping

__all__ = [
    "ANONYMOUS",
    "METRICS_INDEX",
    "REGISTRY",
    "STATUS_INDEX",
    "Credentials",
    "Permission",
    "Principal",
]

_FORM: Final = re.compile(r"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*):([a-z][a-z0-9_]*)", re.ASCII)

_CRUD: Final = ("index", "show", "create", "update", "destroy")

REGISTRY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "tasker.task": frozenset({*_CRUD, "retry", "cancel"}),
        "tasker.workflow_step": frozenset({*_CRUD, "retry", "cancel"}),
        "tasker.health_status": frozenset({"index"}),
        "tasker.handler": frozenset(_CRUD),
        "tasker.metrics": frozenset({"index"}),
        "tasker.analytics": frozenset({"index"}),
    }
)
"""Tasker's resources and the actions that each has."""


@attrs.frozen(order=True)
class Permission:
    """One action on one resource, compared exactly: no case folding, no wildcards.

    Args:
        resource: dotted lower-case words, such as ``tasker.health_status``.
        action: one lower-case word, such as ``index``.
    """

    resource: str
    action: str

    def __attrs_post_init__(self) -> None:
        if _FORM.fullmatch(f"{self.resource}:{self.action}") is None:
            raise PermissionFormatError(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``resource:action``.

        Raises:
            PermissionFormatError: the text has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise PermissionFormatError(text)
        return cls(match[1], match[2])

    @classmethod
    def known(cls, text: str) -> Self:
        """Read ``resource:action`` and insist that Tasker has it.

        Raises:
            PermissionFormatError: the text has another form.
            UnknownPermissionError: Tasker has no such pair.
        """
        permission = cls.parse(text)
        if permission.action not in REGISTRY.get(permission.resource, ()):
            raise UnknownPermissionError(text)
        return permission

    def __str__(self) -> str:
        """``resource:action``, the exact inverse of :meth:`parse`."""
        return f"{self.resource}:{self.action}"


STATUS_INDEX: Final = Permission("tasker.health_status", "index")
"""What the status endpoint asks for (guide, *Authorization Configuration*)."""

METRICS_INDEX: Final = Permission("tasker.metrics", "index")
"""What the metrics endpoint asks for."""


@attrs.frozen(kw_only=True)
class Principal:
    """Somebody who was recognised; the simplest thing that satisfies the ``User`` port.

    Args:
        name: who, for the log; not a secret.
        permissions: what they hold.
        tasker_admin: whether they hold everything.
    """

    name: str
    permissions: frozenset[Permission] = frozenset()
    tasker_admin: bool = False

    def has_tasker_permission(self, permission: str) -> bool:
        """Tell whether exactly this ``resource:action`` is among the permissions."""
        return any(str(held) == permission for held in self.permissions)


@attrs.frozen(kw_only=True)
class Credentials:
    """What a caller brought to be recognised by.

    Args:
        headers: the request's headers, names in lower case; printing them shows the names.
        user: whom the host application's own middleware already found, if anybody.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict, converter=SecretMapping)
    user: object | None = attrs.field(default=None, repr=False)


ANONYMOUS: Final = Credentials()
"""No credentials at all."""
