"""The sample workspace: competition problems partly rated by three people, and arithmetic stories to train on."""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from studio.domain import Changes, Topic, changed
from studio.errors import CancelledError, SteplensError
from studio.exchange.demonstrations import make_demonstrations_project
from studio.exchange.report import ImportReport
from studio.exchange.telling import CANCELLED, Progress, Stop, Teller, cancellable, never, quiet
from studio.exchange.transfer import Afterwards, import_files, nothing
from studio.store import annotations as verbs
from studio.store import batches, projects, traces
from studio.store.database import Database
from studio.workspace import Workspace
from trainer.contract.records import FinishReason, Rating
from trainer.reasoning.stories import STORY_COUNT, STORY_SEED, Story, make_stories

COMPETITION = "Competition problems"
STORIES = "Arithmetic stories"
GUIDELINE = """\
# Rating steps

**Positive** (3): correct, easy to check, fits what came before, and moves the solution forward.
**Neutral** (2): correct and fitting, but adds nothing: restates, stalls, encourages.
**Negative** (1): wrong even in part, hard to check, off the topic, or an obvious dead end.

Rate in order. At the first negative step the trace ends: submit. Focus on substance, not on nitpicks; a final step is
positive only if the answer is right *and* follows from the rest. Use *unsure* for what these lines do not cover.
"""
ANSWER_KEY = "5e1ec7ed0000400080000000a25e4be1"  # the uid of the person whose ratings the stories come with
_MARKS = {"+": Rating.POSITIVE, "0": Rating.NEUTRAL, "-": Rating.NEGATIVE}
_SECONDS_A_STEP = 11_000  # active time written for the sample's annotators, in ms


@dataclass(frozen=True, slots=True)
class SampleTrace:
    """One trace of a sample problem; `slip` is the position of its first wrong step, None in a right trace."""

    steps: tuple[str, ...]
    slip: int | None
    ratings: dict[str, tuple[Rating, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleProblem:
    """A problem of the sample with its three traces."""

    topic: str
    prompt: str
    answer: str
    traces: tuple[SampleTrace, ...]


def read_competition(text: str | None = None) -> tuple[SampleProblem, ...]:
    """The problems of resources/sample/competition.toml. Raises SteplensError naming the problem's number."""
    if text is None:
        text = resources.files("resources").joinpath("sample", "competition.toml").read_text("utf-8")
    document = tomllib.loads(text)
    return tuple(_problem(number, each) for number, each in enumerate(document["problem"], 1))


def make_competition(database: Database) -> Changes:
    """Make the competition project with its traces and ratings, all in one transaction; nothing if it is there."""
    problems = read_competition()

    def make(c: Connection) -> Changes:
        if projects.by_name(c, COMPETITION) is not None:
            return Changes()
        project = projects.create(c, COMPETITION, overlap=3, guideline=GUIDELINE)
        names = sorted({name for problem in problems for trace in problem.traces for name in trace.ratings})
        people = {name: projects.ensure_annotator(c, name, origin="sample") for name in names}
        batch = batches.begin(c, "sample", project.id, source=COMPETITION)
        added = list(_add_traces(c, problems, batch, project.id))
        batches.publish(c, batch, {"problems": len(problems), "traces": len(added)})
        for trace_id, trace in added:
            for name, marks in trace.ratings.items():
                _rate(c, verbs.Work(project.id, trace_id, people[name].id, device="command"), trace, marks)
        return changed(Topic.EVERYTHING)

    return database.run(make)


def _add_traces(
    c: Connection, problems: Sequence[SampleProblem], batch: int, project: int
) -> Iterator[tuple[int, SampleTrace]]:
    line = 0
    # first all first traces, then all second ones, so that no problem follows itself in the queue
    for place in range(max(len(p.traces) for p in problems)):
        for problem in problems:
            trace, line = problem.traces[place], line + 1
            new = traces.from_steps(
                problem.prompt,
                trace.steps,
                reference_answer=problem.answer,
                source=f"sample: {problem.topic}",
                model="written by hand",
                answer=answer_of(trace.steps[-1]),
                line=line,
            )
            yield traces.add(c, new, batch_id=batch, project_id=project).trace_id, trace


def _rate(c: Connection, work: verbs.Work, trace: SampleTrace, marks: Sequence[Rating]) -> None:
    for ordinal, value in enumerate(marks):
        verbs.rate(c, work, ordinal, value)
    if len(marks) == len(trace.steps) or marks[-1] is Rating.NEGATIVE:
        verbs.submit(c, work, active_ms=_SECONDS_A_STEP * len(marks))


def make_stories_project(
    workspace: Workspace, *, count: int = STORY_COUNT, progress: Progress = quiet, stop: Stop = never
) -> ImportReport:
    """Make the stories, write them as a PRM800K file and import it; stories that are there stay as they are."""
    workspace.database.run(_ensure_answer_key)
    with tempfile.TemporaryDirectory(prefix="steplens-") as folder:
        file = Path(folder) / "arithmetic-stories.jsonl"
        with file.open("wb") as out:
            for story in make_stories(count, seed=STORY_SEED):
                out.write(msgspec.json.encode(story_record(story)) + b"\n")
        return import_files(workspace, [file], STORIES, progress=progress, stop=stop)


def _ensure_answer_key(c: Connection) -> Changes:
    projects.ensure_annotator(c, "Answer key", uid=ANSWER_KEY, origin="sample")
    return changed(Topic.ANNOTATORS)


def story_record(story: Story) -> dict[str, object]:
    """A story as PRM800K would hold it: rated up to the first wrong step by the answer key."""
    rated = [(text, rating) for text, rating in zip(story.steps, story.ratings, strict=True) if rating is not None]
    reason = FinishReason.SOLUTION if story.wrong is None else FinishReason.FOUND_ERROR
    steps = [
        {
            "completions": [{"text": text, "rating": int(rating), "flagged": None}],
            "human_completion": None,
            "chosen_completion": None if rating is Rating.NEGATIVE else 0,
        }
        for text, rating in rated
    ]
    return {
        "labeler": ANSWER_KEY,
        "timestamp": "2026-11-01T09:00:00.000000",
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": story.problem,
            "ground_truth_answer": story.answer,
            "pre_generated_steps": list(story.steps),
            "pre_generated_answer": answer_of(story.steps[-1]),
        },
        "label": {"steps": steps, "total_time": None, "finish_reason": reason.value},
    }


def make_sample(workspace: Workspace, *, progress: Progress = quiet, stop: Stop = never) -> ImportReport:
    """Both projects of the sample; what is there already is left alone. Raises CancelledError."""
    progress("sample", 0, 1, "competition problems")
    make_competition(workspace.database)
    return make_stories_project(workspace, progress=progress, stop=stop)


def sample(args: argparse.Namespace, afterwards: Afterwards = nothing) -> int:
    """`steplens sample`: put the sample projects into a workspace; exit code 130 when cancelled."""
    teller = Teller(args.progress)
    try:
        with cancellable() as stop, Workspace.open(args.workspace, create=True) as workspace:
            if args.demonstrations:
                report = make_demonstrations_project(workspace, progress=teller, stop=stop)
            else:
                report = make_sample(workspace, progress=teller, stop=stop)
            afterwards(workspace, teller, stop)
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    teller.report(report)
    return 1 if report.broken else 0


def answer_of(step: str) -> str | None:
    """What stands behind "# Answer" in a last step, None when it states no answer."""
    _, found, answer = step.partition("# Answer")
    return answer.strip() if found else None


def _problem(number: int, document: dict[str, Any]) -> SampleProblem:
    try:
        return SampleProblem(
            document["topic"],
            document["prompt"],
            document["answer"],
            tuple(_trace(number, each) for each in document["trace"]),
        )
    except KeyError as error:
        raise SteplensError(f"competition.toml, problem {number}: {error} is missing") from None


def _trace(number: int, document: dict[str, Any]) -> SampleTrace:
    steps = tuple(step.strip() for step in document["steps"].strip().split("\n---\n"))
    slip = None if document["slip"] < 0 else int(document["slip"])
    ratings = {name: tuple(_MARKS[mark] for mark in marks) for name, marks in document.get("ratings", {}).items()}
    if any(len(marks) > len(steps) for marks in ratings.values()) or (slip is not None and slip >= len(steps)):
        raise SteplensError(f"competition.toml, problem {number}: more ratings, or a later slip, than steps")
    return SampleTrace(steps, slip, ratings)
