"""`steplens failures --rubric NAME`: run a rubric by its rule, its classifier or a judge, and tell what it found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from studio.errors import CancelledError, NotFoundError, RunError
from studio.exchange.telling import CANCELLED, Stop, Teller, cancellable
from studio.jobs import grid, headless, prepare, rubric_runs
from studio.jobs.values import RunOrder
from studio.store import projects, rubrics
from studio.store import runs as run_store
from studio.store.rubrics import RULE, Cluster, Rubric
from studio.workspace import Workspace
from trainer.contract.spec import SpecError
from trainer.contract.specs.rubric import RubricBy

BY = {RULE: None, "classifier": RubricBy.CLASSIFIER, "judge": RubricBy.JUDGE}


@dataclass(frozen=True, slots=True)
class Needed:
    """What a run would take: nothing was asked yet. `seconds` None: nobody can say."""

    rubric: str
    by: str
    traces: int
    questions: int
    tokens_read: int
    tokens_written: int
    money: float
    seconds: float | None
    basis: str

    def sentences(self) -> Iterator[str]:
        """For a person."""
        took = "an unknown time" if self.seconds is None else f"about {self.seconds / 60:,.1f} minutes"
        asked = f", about {self.questions:,} questions" if self.questions else ""
        yield f"{self.rubric} by {self.by}: {self.traces:,} traces{asked}, {took} ({self.basis})"
        if self.questions:
            price = f"{self.money:,.2f} at the given prices" if self.money else "no price given"
            yield f"{self.tokens_read:,} tokens read, at most {self.tokens_written:,} written: {price}"


@dataclass(frozen=True, slots=True)
class RubricReport:
    """What was found."""

    rubric: str
    by: str
    hits: int
    traces: int

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.rubric} by {self.by}: {self.hits:,} hits in {self.traces:,} traces, every quote as it stands"


class _Aside(Teller):
    """Tells on stderr what is not the answer."""

    def say(self, text: str) -> None:
        """Tell a person."""
        sys.stderr.write(text + "\n")


def failures(args: argparse.Namespace) -> int:
    """`steplens failures`, with a rubric or without one: 1 when something was found."""
    if not args.rubric:
        from studio.exchange.failing import failures_

        return failures_(args)
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:
            return _with_rubric(workspace, args, teller, stop)
    except SpecError as error:
        raise RunError(str(error)) from error
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED


def look_by_rule(
    workspace: Workspace, rubric_id: int, project: int | None, tell: Callable[[str, int, int, str], None], stop: Stop
) -> Rubric:
    """Run the rule of a rubric over all traces, a piece at a time; what was found before a Cancel stays."""
    rubric = workspace.database.run(lambda c: rubrics.start(c, rubric_id))
    after: int | None = 0
    number = 0
    while after is not None:
        if stop():
            raise CancelledError(f"cancelled; {number:,} hits of {rubric.draft.name!r} are kept")
        with workspace.database.read() as c:
            found, after = rubrics.find(c, rubric.draft, project=project, after=after)
        workspace.database.run(lambda c, found=found: rubrics.store(c, rubric, found))  # type: ignore[misc]
        number += len(found)
        tell("looking", 0, 0, f"{number:,} hits so far")
    return rubric


def document(rubric: Rubric, by: str, clusters: tuple[Cluster, ...]) -> dict[str, Any]:
    """The numbers of the window, and every hit behind them."""
    hits = [hit for cluster in clusters for hit in cluster.hits]
    return {
        "rubric": rubric.draft.name,
        "version": rubric.version,
        "by": by,
        "hits": len(hits),
        "traces": len({hit.trace_id for hit in hits}),
        "clusters": [
            {"name": cluster.name, "traces": cluster.traces, "hits": [asdict(hit) for hit in cluster.hits]}
            for cluster in clusters
        ],
    }


def _with_rubric(workspace: Workspace, args: argparse.Namespace, teller: Teller, stop: Stop) -> int:
    with workspace.database.read() as c:
        rubric = next((one for one in rubrics.all_of(c) if one.draft.name == args.rubric), None)
        if rubric is None:
            rubrics.card(c, args.rubric)  # which says the names that there are
            raise NotFoundError(f"there is no rubric {args.rubric!r}")
    if args.dry_run:
        _tell(args, teller, _needed(workspace, args))
        return 0
    if args.by == RULE:
        look_by_rule(workspace, rubric.id, _project(workspace, args), teller, stop)
    else:
        code = _run(workspace, args, teller, stop)
        if code:
            return code
    with workspace.database.read() as c:
        found = rubrics.clusters(c, rubric.id, how=args.by)
    told = document(rubric, args.by, found)
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        teller.report(RubricReport(rubric.draft.name, args.by, told["hits"], told["traces"]))
        if args.progress != "json":
            teller.say("\n".join(f"  {len(one.hits):,} in {one.traces:,}: {one.name}" for one in found[:20]))
    return 1 if found and args.progress != "json" else 0


def _run(workspace: Workspace, args: argparse.Namespace, teller: Teller, stop: Stop) -> int:
    """A run of the recipe, waited for. Its cost is said first, on the channel that is not the answer's."""
    needed = _needed(workspace, args)
    sys.stderr.write("\n".join(needed.sentences()) + "\n")
    uid = prepare.create_run(workspace, _order(args), headless.guarded(teller, stop))
    with workspace.database.read() as c:
        run_id = run_store.by_uid(c, uid).id
    return headless.wait(workspace, run_id, _Aside("none") if args.json else teller, stop)


def _needed(workspace: Workspace, args: argparse.Namespace) -> Needed:
    """The cost of what is asked for. Raises RunError when it cannot start."""
    if args.by == RULE:
        with workspace.database.read() as c:
            number = rubrics.searched(c, _project(workspace, args))
        return Needed(args.rubric, RULE, number, 0, 0, 0, 0.0, None, "a rule reads the index, and asks nobody")
    order = prepare.checked(_order(args))
    found = grid.preview(workspace, (order,))
    if found.problems:
        raise RunError(f"cannot start: {'; '.join(found.problems)}")
    with workspace.database.read() as c:
        asked = rubric_runs.cost(c, order, found.counts)
    return Needed(args.rubric, args.by, **asdict(asked), seconds=found.estimate.seconds, basis=found.estimate.basis)


def _order(args: argparse.Namespace) -> RunOrder:
    settings: dict[str, str] = {}
    for each in args.settings:
        key, equals, value = each.partition("=")
        if not equals:
            raise RunError(f"--set {each}: write KEY=VALUE")
        settings[key.strip()] = value
    if args.project:
        settings.setdefault("projects", args.project)
    selection = headless.selection_of(settings)
    way = BY[args.by]
    assert way is not None
    return RunOrder("rubric", {**settings, "rubric": args.rubric, "by": way.value}, selection)


def _project(workspace: Workspace, args: argparse.Namespace) -> int | None:
    if args.project is None:
        return None
    with workspace.database.read() as c:
        known = projects.by_name(c, args.project)
    if known is None:
        raise NotFoundError(f"there is no project {args.project!r} in this workspace")
    return known.id


def _tell(args: argparse.Namespace, teller: Teller, needed: Needed) -> None:
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(asdict(needed))).decode() + "\n")
    else:
        teller.report(needed)
