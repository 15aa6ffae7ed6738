"""The verbs find and diff: the window's numbers without the window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import Connection

from studio.errors import FindError, NotFoundError
from studio.store import find, find_spans, projects, saved_filters, trace_diff, trace_list
from studio.store.find_pattern import SLOW, Mode
from studio.store.find_spans import EVERYWHERE, Place, Query, Results
from studio.store.trace_diff import Group, GroupDiff, TraceDiff
from studio.store.trace_filter import Filter, parsed
from studio.store.trace_list import OutcomeFilter, TraceQuery
from studio.workspace import Workspace
from trainer.reasoning.alignment import Change

NONSENSE, INCOMPLETE = 2, 3  # exit codes of find: it cannot be asked; in some texts the expression took too long
MOST_NAMED = 10
MARKS = {Change.SAME: " ", Change.CHANGED: "~", Change.LEFT: "<", Change.RIGHT: ">"}


def find_(args: argparse.Namespace) -> int:
    """`steplens find`: 0 when something was found, 1 when not, 2 for what cannot be asked, 3 when some texts were left
    out, in which the expression takes too long."""
    try:
        with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
            if not args.text:
                return _list(c, args)
            results = find_spans.search(c, _query(c, args), limit=args.limit)
    except FindError as error:
        sys.stderr.write(f"steplens: {error}\n")
        return NONSENSE
    if args.json:
        _write(_found(results))
    else:
        for hit in results.hits:
            text = " ".join(hit.snippet.split()).replace(find.MARK_START, "[").replace(find.MARK_END, "]")
            count = f"{len(hit.spans)}{'+' if hit.more else ''}"
            sys.stdout.write(f"{hit.trace_id:>8}  {hit.spans[0].place:<8}  {count:>4}  {text}\n")
        if results.after is not None:
            sys.stderr.write(f"the first {len(results.hits)} traces; --limit asks for more\n")
    if results.left_out:
        shown = ", ".join(map(str, results.left_out[:MOST_NAMED])) + (", …" * (len(results.left_out) > MOST_NAMED))
        many = f"{len(results.left_out):,} trace{'' if len(results.left_out) == 1 else 's'}"
        sys.stderr.write(f"steplens: “{args.text}” takes too long in {many}, left out: {shown}. {SLOW}\n")
        return INCOMPLETE
    return 0 if results.hits else 1


def diff(args: argparse.Namespace) -> int:
    """`steplens diff`: 0 when both are the same, 1 when they differ."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        if args.models:
            return _diff_models(trace_diff.compare_groups(c, Group(args.left), Group(args.right)), json=args.json)
        made = trace_diff.compare(c, _number(args.left), _number(args.right))
    if args.json:
        _write(_document(made))
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(made))
    return 0 if made.diverges is None else 1


def _list(c: Connection, args: argparse.Namespace) -> int:
    """Traces that no text, only filters, ask for."""
    query = _query(c, args)
    if args.regex or args.places or args.role or args.flag or args.score_below is not None:
        raise FindError("without TEXT only --filter, --saved, --any, --model, --project and --outcome can be asked")
    if not (query.filter or query.model or query.outcome is not None or query.project is not None):
        raise FindError("say what to find: TEXT, or a condition such as --filter 'tokens used from 4000'")
    judged = {1: OutcomeFilter.RIGHT, 0: OutcomeFilter.WRONG}
    outcome = OutcomeFilter.ANY if query.outcome is None else judged[query.outcome]
    wanted = TraceQuery(project=query.project, model=query.model, outcome=outcome, filter=query.filter)
    found = trace_list.head(c, wanted, limit=args.limit)
    if args.json:
        rows = [{"trace": row.id, "title": row.title, "steps": row.steps, "model": row.model} for row in found.rows]
        for each, row in zip(rows, found.rows, strict=True):
            each |= {"log": row.log, "sample": row.sample, "epoch": row.epoch, "outcome": row.outcome}
        _write({"count": found.count, "traces": rows})
    else:
        for row in found.rows:
            judgement = {1: "right", 0: "wrong"}.get(-1 if row.outcome is None else row.outcome, "")
            title = " ".join(row.title.split())
            sys.stdout.write(f"{row.id:>8}  {judgement:<5}  {row.steps:>5} steps  {row.model:<16}  {title}\n")
        if found.count > len(found.rows):
            sys.stderr.write(f"the first {len(found.rows):,} of {found.count:,}; --limit asks for more\n")
    return 0 if found.count else 1


def _filter(c: Connection, args: argparse.Namespace) -> Filter:
    conditions = tuple(map(parsed, args.filters))
    if not args.saved:
        return Filter(conditions, args.any)
    kept = {named.name: named.filter for named in saved_filters.filters(c)}
    if args.saved not in kept:
        raise NotFoundError(f"no filter is saved as {args.saved!r}; there are: {', '.join(kept) or 'none'}")
    if conditions:
        raise FindError("--saved is a filter by itself: give it or --filter")
    return kept[args.saved]


def _query(c: Connection, args: argparse.Namespace) -> Query:
    project = None
    if args.project is not None:
        found = projects.by_name(c, args.project)
        if found is None:
            raise NotFoundError(f"there is no project {args.project!r} in {args.workspace}")
        project = found.id
    return Query(
        args.text,
        Mode.REGEX if args.regex else Mode.WORDS,
        args.match_case,
        frozenset(map(Place, args.places)) or EVERYWHERE,
        role=args.role,
        model=args.model,
        project=project,
        outcome=None if args.outcome is None else int(args.outcome == "right"),
        flagged=args.flag,
        score_below=args.score_below,
        filter=_filter(c, args),
    )


def _found(results: Results) -> dict[str, Any]:
    return {
        "traces": [
            {
                "trace": hit.trace_id,
                "spans": [asdict(span) for span in hit.spans],
                "more": hit.more,
                "snippet": hit.snippet.replace(find.MARK_START, "").replace(find.MARK_END, ""),
            }
            for hit in results.hits
        ],
        "read": results.read,
        "candidates": results.candidates,
        "after": results.after,
        "left_out": results.left_out,
    }


def _number(text: str) -> int:
    if not text.isdigit():
        raise NotFoundError(f"{text!r} is not the number of a trace; `steplens traces` lists them")
    return int(text)


def _document(made: TraceDiff) -> dict[str, Any]:
    return {
        "left": made.left.id,
        "right": made.right.id,
        "same_problem": made.same_problem,
        "diverges": made.diverges,
        "answers": [made.left.answer, made.right.answer],
        "outcomes": [made.left.outcome, made.right.outcome],
        "pairs": [
            {
                "left": pair.left,
                "right": pair.right,
                "change": pair.change.value,
                "similarity": pair.similarity,
                "edits": [asdict(edit) for edit in made.edits(pair)] if pair.change is Change.CHANGED else [],
            }
            for pair in made.pairs
        ],
        "scores": [asdict(scored) for scored in made.scored],
    }


def _lines(made: TraceDiff) -> Iterator[str]:
    for pair in made.pairs:
        left, right = (" ".join(text.split()) for text in made.text(pair))
        at = f"{_place(pair.left)} {_place(pair.right)}"
        if pair.change in (Change.SAME, Change.LEFT):
            yield f"{MARKS[pair.change]} {at}  {left}"
        elif pair.change is Change.RIGHT:
            yield f"{MARKS[pair.change]} {at}  {right}"
        else:
            yield f"~ {at}  {left}"
            yield f"~ {' ' * len(at)}  {right}"
    for scored in made.scored:
        yield f"lowest score of {scored.scorer}: {_low(scored.left)} and {_low(scored.right)}"
    if made.left.answer != made.right.answer:
        yield f"answers: {made.left.answer or 'none'} and {made.right.answer or 'none'}"


def _place(step: int | None) -> str:
    return "   ·" if step is None else f"{step + 1:>4}"


def _low(values: tuple[float | None, ...]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.2f}" if known else "none"


def _diff_models(made: GroupDiff, *, json: bool) -> int:
    if json:
        _write(asdict(made))
    else:
        sys.stdout.writelines(f"{line}\n" for line in group_lines(made))
    return 1 if made.changed else 0


def group_lines(made: GroupDiff) -> Iterator[str]:
    """What came out of comparing two groups, for people."""
    yield f"{made.problems} problems that both tried"
    yield f"{made.left.name}: {made.left_mean:.3f}    {made.right.name}: {made.right_mean:.3f}"
    d = made.difference
    yield f"difference {d.value:+.3f}  95 % [{d.low:+.3f}, {d.high:+.3f}]"
    if made.paired is not None:
        p = made.paired
        yield f"only left right {p.left_only}, only right right {p.right_only}, McNemar p = {p.p:.3g}"
    yield f"{len(made.changed)} problems came out differently"


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
