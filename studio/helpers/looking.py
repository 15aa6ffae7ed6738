"""The exact checks of one trace, for a helper process: an InputRow in, the records of a monitor out."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.contract.records import FlagRecord, InputRow, MonitorRecord, MonitorRef, record_id
from trainer.reasoning import consistency
from trainer.reasoning.monitor_looks import rules_look

TARGET = "studio.helpers.looking:look"
REF = MonitorRef(kind="rules", name=consistency.NAME, version=consistency.VERSION)


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks found in a trace; ids are the same whenever the same steps are checked by the same rules."""

    found: tuple[FlagRecord, ...]
    scored: MonitorRecord


def look(row: InputRow) -> Look:
    """Check a row. Every finding quotes the row's text."""
    looked = rules_look(row, lambda: None)
    origin = f"check:{REF.version}"
    found = tuple(
        FlagRecord(
            id=record_id(origin, row.id, number),
            row=row.id,
            trace=row.trace,
            segmentation=row.segmentation,
            step=looked.step_at(finding.start, row.step_ids),
            category=finding.category.value,
            severity=finding.severity,
            start=finding.start,
            end=finding.end,
            quote=finding.quote,
            monitor=REF,
            score=finding.score,
            part=finding.part.value,
            why=finding.why,
            counterpart=None if finding.counterpart is None else (finding.counterpart.start, finding.counterpart.end),
        )
        for number, finding in enumerate(looked.findings)
    )
    scored = MonitorRecord(
        id=record_id(origin, row.id, -1),
        row=row.id,
        trace=row.trace,
        segmentation=row.segmentation,
        monitor=REF,
        scores=looked.scores,
        gap=looked.gap.value,
        evidence=tuple(dict.fromkeys(record.category for record in found)),
    )
    return Look(found, scored)
