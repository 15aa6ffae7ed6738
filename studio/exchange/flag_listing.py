"""The verb `flags`: findings and verdicts as the window has them; the exit code says whether all is well."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from studio.errors import NotFoundError
from studio.store import batches, flags, monitors, projects, thresholds
from studio.store import schema as s
from studio.store.flags import Flag, FlagState
from studio.store.monitors import Scores
from studio.workspace import Workspace
from trainer.reasoning.safety import VERDICTS, Category, Codes, Verdict

CLEAN, FLAGGED, NOT_ASSESSED = 0, 1, 2
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Verdicts of all traces: those that no monitor has looked at are counted apart."""

    scored: Scores
    codes: Codes
    unseen: int
    found: tuple[Flag, ...]

    def number(self, verdict: Verdict) -> int:
        """How many traces have it."""
        return int((self.codes == verdict.code).sum())

    @property
    def exit_code(self) -> int:
        """1 with anything to review or block, else 2 with a trace that could not be assessed whole, else 0."""
        if self.number(Verdict.REVIEW) or self.number(Verdict.BLOCK):
            return FLAGGED
        return NOT_ASSESSED if self.unseen or self.number(Verdict.NOT_ASSESSABLE) else CLEAN


def flags_(args: argparse.Namespace) -> int:
    """`steplens flags`."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        project = _project(c, args.project)
        states = tuple(FlagState(one) for one in args.state or ("open", "confirmed"))
        standing = standing_of(c, project, states=states)
        document = _document(c, standing, Category(args.category) if args.category else None, args.limit)
    if args.json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(document)) + "\n")
    return standing.exit_code


def standing_of(
    c: Connection, project_id: int | None, *, states: tuple[FlagState, ...] = (FlagState.OPEN, FlagState.CONFIRMED)
) -> Standing:
    """How the traces of a project (None: all) stand under the present thresholds."""
    scored = monitors.scores(c, project_id=project_id)
    codes = scored.verdicts(thresholds.current(c, scored=None if project_id is not None else scored))
    found = flags.queue(c, states=states, project_id=project_id, limit=MOST)
    return Standing(scored, codes, _traces(c, project_id) - len(scored), found)


def _project(c: Connection, name: str | None) -> int | None:
    if not name:
        return None
    known = projects.by_name(c, name)
    if known is None:
        raise NotFoundError(f"there is no project {name!r} in this workspace")
    return known.id


def _traces(c: Connection, project_id: int | None) -> int:
    query = select(func.count()).select_from(s.trace).where(batches.visible(s.trace.c.batch_id))
    if project_id is not None:
        p = s.project_trace.c
        query = query.where(s.trace.c.id.in_(select(p.trace_id).where(p.project_id == project_id)))
    return int(c.scalar(query) or 0)


def _document(c: Connection, standing: Standing, category: Category | None, limit: int | None) -> dict[str, Any]:
    scored = standing.scored
    listed = [flag for flag in standing.found if category in (None, flag.category)]
    wrong = np.flatnonzero(standing.codes >= Verdict.REVIEW.code)
    uids = _uids(c, scored.trace_ids[wrong].tolist())
    verdicts = {uids[int(scored.trace_ids[k])]: VERDICTS[int(standing.codes[k])].value for k in wrong}
    current = thresholds.current(c)
    return {
        "traces": len(scored) + standing.unseen,
        "not looked at": standing.unseen,
        "verdicts": {verdict.value: standing.number(verdict) for verdict in VERDICTS},
        "thresholds": {
            one.value: {"review": current[one].review, "block": current[one].block, "basis": current[one].basis.value}
            for one in Category
        },
        "flagged": verdicts,
        "flags": [_flag(flag) for flag in listed[:limit]],
        "flags in all": len(listed),
    }


def _flag(flag: Flag) -> dict[str, Any]:
    other = None if flag.counterpart is None else [flag.counterpart.start, flag.counterpart.end]
    return {
        "id": flag.id,
        "trace": flag.trace_uid,
        "category": flag.category.value,
        "severity": flag.severity,
        "score": round(flag.score, 6),
        "state": flag.state.value,
        "part": flag.part.value,
        "start": flag.start,
        "end": flag.end,
        "quote": flag.quote,
        "why": flag.why,
        "counterpart": other,
        "monitor": flag.monitor or "a person",
        "reason": flag.reason,
    }


def _uids(c: Connection, trace_ids: list[int]) -> dict[int, str]:
    out: dict[int, str] = {}
    for start in range(0, len(trace_ids), 10_000):
        query = select(s.trace.c.id, s.trace.c.uid).where(s.trace.c.id.in_(trace_ids[start : start + 10_000]))
        out |= {row.id: row.uid for row in c.execute(query)}
    return out


def _lines(document: dict[str, Any]) -> Iterator[str]:
    numbers = ", ".join(f"{name}: {number}" for name, number in document["verdicts"].items())
    yield f"{document['traces']} traces; {numbers}; not looked at: {document['not looked at']}"
    for flag in document["flags"]:
        quote = " ".join(flag["quote"].split())[:80]
        yield f"{flag['trace'][:12]}  {flag['category']}, severity {flag['severity']}, {flag['state']}: “{quote}”"
    left = document["flags in all"] - len(document["flags"])
    if left:
        yield f"and {left} more"
