"""The coordinator of the guide's example.

Source: guide, *Authorization Coordinator Implementation*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasker_health.domain.coordination import BaseCoordinator, is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PermissionCoordinator"]


class PermissionCoordinator(BaseCoordinator):
    """Grants to admins and to those who hold the permission.

    Who cannot be asked for permissions has none, admins included.
    """

    async def is_authorized(
        self, resource: str, action: str, context: Mapping[str, object]
    ) -> bool:
        """Ask the user."""
        del context
        ask = getattr(self.user, "has_tasker_permission", None)
        if not callable(ask):
            return False
        admin = self.user.tasker_admin
        if await is_true(admin() if callable(admin) else admin):
            return True
        return await is_true(ask(f"{resource}:{action}"))
