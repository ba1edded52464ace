"""Who calls, and what callers may do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runindex_server.errors import PermissionDenied


class Role(StrEnum):
    """What a caller may do. Each role may do what the ones before it may."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    def includes(self, role: "Role") -> bool:
        """Tell whether this role may do what another may."""
        return _RANKS[self] >= _RANKS[role]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: As histories, the audit log and remembered request ids know them; empty when nobody is asked.
        role: What they may do.
    """

    name: str
    role: Role

    def check(self, role: Role) -> None:
        """Refuse what takes more than the caller's role.

        Raises:
            PermissionDenied: It does.
        """
        if not self.role.includes(role):
            raise PermissionDenied(role)


ANYBODY: Final = Caller("", Role.ADMIN)
"""Who calls where nobody is asked."""
