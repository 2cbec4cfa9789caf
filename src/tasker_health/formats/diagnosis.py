"""A diagnosis as people read it in a terminal, and as JSON for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tasker_health.domain.diagnosis import Area, Grade
from tasker_health.formats.documents import Instant, instant
from tasker_health.formats.terminal import clean, paint, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasker_health.domain.diagnosis import Diagnosis, Finding

__all__ = ["json", "text"]

_MARKS: Final = {Grade.OK: "ok", Grade.WARNING: "warning", Grade.PROBLEM: "PROBLEM"}
_INDENT: Final = " " * 9
_WIDEST: Final = max(map(len, Area))


class FindingDocument(Struct, frozen=True, kw_only=True):
    """One thing that was looked at; there is a remedy exactly when it is not ok."""

    area: Area
    grade: Grade
    seen: str
    remedy: str | UnsetType = UNSET


class DiagnosisDocument(Struct, frozen=True, kw_only=True):
    """All of them, worst first."""

    grade: Grade
    timestamp: Instant
    findings: list[FindingDocument]


def json(diagnosis: Diagnosis) -> bytes:
    """Write a diagnosis as one line of JSON, without its end."""
    return msgspec.json.encode(
        DiagnosisDocument(
            grade=diagnosis.grade,
            timestamp=instant(diagnosis.at),
            findings=[
                FindingDocument(
                    area=finding.area,
                    grade=finding.grade,
                    seen=clean(finding.seen),
                    remedy=finding.remedy or UNSET,
                )
                for finding in diagnosis.findings
            ],
        )
    )


def text(diagnosis: Diagnosis, *, colour: bool = False) -> str:
    """Write a diagnosis for a terminal.

    Args:
        diagnosis: what was found.
        colour: whether the terminal takes it.
    """
    lines = [line for finding in diagnosis.findings for line in _lines(finding, colour=colour)]
    number = {grade: sum(f.grade is grade for f in diagnosis.findings) for grade in Grade}
    told = ", ".join(f"{count} {grade}" for grade, count in number.items() if count)
    return "\n".join([*lines, "", told]) + "\n"


def _lines(finding: Finding, *, colour: bool) -> Iterator[str]:
    mark = f"{_MARKS[finding.grade]:<{len(_INDENT)}}"
    area = f"{finding.area:<{_WIDEST + 2}}"
    deep = " " * (len(mark) + len(area))
    first, *more = wrap(finding.seen, first=deep, then=deep)
    yield f"{paint(mark, finding.grade, colour=colour)}{area}{first[len(deep) :]}"
    yield from more
    if finding.remedy:
        yield from wrap(f"-> {finding.remedy}", first=deep, then=f"{deep}   ")
