"""The verb `failures`: explain wrong traces in the background, and tell the window's numbers."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from studio.errors import CancelledError, NotFoundError, RunError
from studio.exchange.telling import CANCELLED, Progress, Stop, Teller, cancellable
from studio.store import failures, projects
from studio.store.failures import Standing, Wrong
from studio.workspace import Workspace
from trainer.reasoning.failure_checks import needs_regrade
from trainer.reasoning.failures import Case, Cause, Failure, Regrade, classify
from trainer.reasoning.grader import GradeForm, Grader, Pair


@dataclass(frozen=True, slots=True)
class FailureReport:
    """What one pass did: traces looked at, by cause."""

    looked: int
    causes: dict[str, int]

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.looked:,} wrong traces explained"
        for cause, count in sorted(self.causes.items(), key=lambda one: -one[1]):
            yield f"  {cause}: {count:,}"


def failures_(args: argparse.Namespace) -> int:
    """`steplens failures`: 0 when no trace is wrong, 1 when some are."""
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:
            which = _which(workspace, args)
            report = explain(workspace, which, teller, stop)
            with workspace.database.read() as c:
                standing = failures.standing(c, which.project)
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(standing))).decode() + "\n")
    elif args.progress == "json":
        teller.report(report)
    else:
        teller.report(report)
        teller.say("\n".join(_lines(standing)))
    return 1 if standing.wrong and args.progress != "json" else 0


def explain(workspace: Workspace, which: Wrong, tell: Progress, stop: Stop) -> FailureReport:
    """Explain what is wanted, a chunk at a time; what was stored when it is cancelled stays. Raises CancelledError."""
    with workspace.database.read() as c:
        wanted = failures.wanted(c, which)
    counted: Counter[str] = Counter()
    with Grader(1) as grader:
        for start in range(0, len(wanted), failures.CHUNK):
            if stop():
                raise CancelledError(f"cancelled; {start:,} of {len(wanted):,} traces are explained and kept")
            tell("explaining", start, len(wanted), f"{start:,} of {len(wanted):,} traces")
            with workspace.database.read() as c:
                found = tuple(_explained(c, wanted[start : start + failures.CHUNK], grader, which.low))
            with workspace.database.bulk() as c:
                failures.store(c, found, low=which.low)
            counted.update(failure.cause.value for _, _, failure in found)
    return FailureReport(counted.total(), dict(counted))


def document(standing: Standing) -> dict[str, Any]:
    """The numbers of the view, and every trace behind them."""
    causes = Counter(one.failure.cause for one in standing.explained)
    bases = Counter(one.failure.basis.value for one in standing.explained)
    return {
        "wrong": standing.wrong,
        "not looked at": standing.unseen,
        "causes": {cause.value: causes[cause] for cause in Cause},
        "first bad step by": dict(sorted(bases.items())),
        "traces": [
            {"trace": one.trace_id, "cause": one.failure.cause.value, "step": one.failure.step, "steps": one.steps}
            | {"by": one.failure.basis.value, "start": one.failure.start, "end": one.failure.end}
            | {"quote": one.failure.quote, "why": one.failure.why, "model": one.model}
            | {"method": one.method, "version": one.version, "stale": one.stale}
            for one in standing.explained
        ],
    }


def _explained(c: Connection, ids: Sequence[int], grader: Grader, low: float) -> Iterator[tuple[int, int, Failure]]:
    read = list(failures.cases(c, ids))
    regraded = _regraded([case for _, _, case in read], grader)
    for (trace_id, segmentation_id, _), case in zip(read, regraded, strict=True):
        yield trace_id, segmentation_id, classify(case, low=low)


def _regraded(found: Sequence[Case], grader: Grader) -> list[Case]:
    """The cases with what both graders say of their answers; undecided ones stay undecided."""
    asked = [place for place, case in enumerate(found) if needs_regrade(case)]
    pairs = [Pair(found[place].answer, found[place].reference or "") for place in asked]
    strict, lenient = (grader.grade(pairs, form=form) for form in (GradeForm.STRICT, GradeForm.LENIENT))
    out = list(found)
    for place, one, other in zip(asked, strict, lenient, strict=True):
        out[place] = replace(found[place], regrade=Regrade(one.correct, other.correct))
    return out


def _which(workspace: Workspace, args: argparse.Namespace) -> Wrong:
    if not 0 < args.threshold < 1:
        raise RunError(f"--threshold {args.threshold}: give a score between 0 and 1")
    project = None
    if args.project is not None:
        with workspace.database.read() as c:
            known = projects.by_name(c, args.project)
        if known is None:
            raise NotFoundError(f"there is no project {args.project!r} in this workspace")
        project = known.id
    ids = tuple(args.trace) if args.trace else None
    return Wrong(project, None, args.model, ids, again=args.again, low=args.threshold)


def _lines(standing: Standing) -> Iterator[str]:
    causes = Counter(one.failure.cause.value for one in standing.explained)
    said = " · ".join(f"{cause} {count:,}" for cause, count in causes.most_common())
    yield f"{standing.wrong:,} wrong traces; why: {said or 'nothing explained'}"
    bases = Counter(one.failure.basis.value for one in standing.explained)
    yield "first bad step by: " + (", ".join(f"{name} {count:,}" for name, count in bases.most_common()) or "nobody")
