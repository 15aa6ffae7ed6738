"""The verb `never-again`: a step that failed becomes a test on models; the tests there are, and what models had."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection

from studio.errors import RunError
from studio.store import regressions, traces
from studio.store.regressions import Regression, Result
from studio.workspace import Workspace
from trainer.contract.specs.evaluate import Must

MUSTS = {"answer": Must.ANSWER, "absent": Must.ABSENT}


def never_again(args: argparse.Namespace) -> int:
    """Make a test, take one out of force or put it back, or list all; 0 when that was done. Raises RunError."""
    _check(args)
    with Workspace.open(args.workspace) as workspace:
        database = workspace.database
        if args.trace is not None:
            made = database.run(lambda c: _make(c, args))
            _say(args, _told(made, ()), f"test {made.id}: {_words(made)}")
            return 0
        for number, retired in ((args.retire, True), (args.restore, False)):
            if number is not None:
                database.run(partial(regressions.retire, regression_id=number, retired=retired))
        with database.read() as c:
            kept, had = regressions.all_regressions(c, retired=True), regressions.results(c)
    _say(args, [_told(one, had) for one in kept], _listed(kept, had))
    return 0


def _check(args: argparse.Namespace) -> None:
    if (args.trace is None) != (args.step is None):
        raise RunError("a test is made of a step: name both, TRACE and --step N; without either the tests are listed")
    of_new = {"--must": args.must, "--name": args.name, "--note": args.note}
    if args.trace is None and (given := [name for name, value in of_new.items() if value]):
        raise RunError(f"{', '.join(given)}: of a new test; name the TRACE and --step N that it is made of")
    if args.trace is not None and (args.retire is not None or args.restore is not None):
        raise RunError("--retire and --restore are of tests that are there; make the new one with a call of its own")
    if args.retire is not None and args.retire == args.restore:
        raise RunError(f"test {args.retire} cannot be retired and restored at once; leave one out")


def _make(c: Connection, args: argparse.Namespace) -> Regression:
    trace = traces.load(c, args.trace)
    steps = trace.segmentation.steps
    if not 0 < args.step <= len(steps):
        raise RunError(f"--step {args.step}: the trace has steps 1 to {len(steps)}" if steps else
                       f"trace {args.trace} has no steps; cut it into steps first")  # fmt: skip
    has_reference = bool((trace.problem.reference_answer or "").strip())
    must = MUSTS[args.must] if args.must else Must.ANSWER if has_reference else Must.ABSENT
    step = steps[args.step - 1]
    return regressions.add_from_trace(c, args.trace, step.start, step.end, must=must, name=args.name, note=args.note)


def _told(one: Regression, had: tuple[Result, ...]) -> dict[str, Any]:
    return {
        "id": one.id,
        "uid": one.uid,
        "name": one.name,
        "must": one.must.value,
        "trace": one.trace_id,
        "problem": one.problem,
        "reference": one.reference,
        "prefix": one.prefix,
        "words": one.span,
        "note": one.note,
        "retired": one.retired,
        "results": [
            {"model": result.model, "held": result.held, "of": result.number, "run": result.run}
            for result in had
            if result.uid == one.uid
        ],
    }


def _listed(kept: tuple[Regression, ...], had: tuple[Result, ...]) -> str:
    if not kept:
        return "no tests yet; make one: steplens never-again TRACE --step N"
    lines = []
    for one in kept:
        lines.append(f"{one.id}: {_words(one)}{' (retired)' if one.retired else ''}")
        lines += [f"    {each.model}: held {each.held} of {each.number}" for each in had if each.uid == one.uid]
    return "\n".join(lines)


def _words(one: Regression) -> str:
    of = f", trace {one.trace_id}" if one.trace_id is not None else ""
    return f"{one.name!r}: {regressions.MUSTS[one.must]}{of}"


def _say(args: argparse.Namespace, said: object, words: str) -> None:
    text = msgspec.json.format(msgspec.json.encode(said)).decode() if args.json else words
    sys.stdout.write(f"{text}\n")
