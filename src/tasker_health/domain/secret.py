"""Values that are not shown: not printed, not pickled, not listed when their holder is.

Whoever needs what is inside says so, by ``reveal`` or by the name of an entry, so that the
places where a secret is used can be found. None of this is an attrs class on purpose:
``attrs.asdict`` would look inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Generic, NoReturn, Self, SupportsIndex, TypeVar, final

__all__ = ["Secret", "SecretMapping"]

T = TypeVar("T")


class _Kept:
    """Stays in this process; a copy of it is itself."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is never pickled, nor what holds one")


@final
class Secret(_Kept, Generic[T]):
    """One value that is not shown; false when it is empty.

    Args:
        value: what is not shown.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: Final = value

    def reveal(self) -> T:
        """Give the value, to be used and not kept."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(...)"


@final
class SecretMapping(_Kept, Mapping[str, str]):
    """Texts by name, of which only the names are shown.

    Args:
        entries: copied.
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries: Final = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"SecretMapping({', '.join(map(repr, self._entries))})"
