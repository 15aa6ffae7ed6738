"""The sample workspace: its problems hold together, its people disagree now and then, making it twice adds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import SteplensError
from studio.exchange.sample import (
    COMPETITION,
    STORIES,
    answer_of,
    make_competition,
    make_stories_project,
    read_competition,
    story_record,
)
from studio.store import annotations, projects, traces
from studio.workspace import Workspace
from trainer.contract.records import Rating
from trainer.reasoning.stories import make_stories


def test_the_problems_hold_together():
    problems = read_competition()
    assert len(problems) == 24
    assert len({p.prompt for p in problems}) == 24
    for problem in problems:
        assert len(problem.traces) == 3
        assert any(t.slip is None for t in problem.traces), problem.prompt
        for trace in problem.traces:
            answer = answer_of(trace.steps[-1])
            if trace.slip is None:
                assert answer == problem.answer, problem.prompt
            for marks in trace.ratings.values():
                assert Rating.NEGATIVE not in marks[:-1], "rating stops at the first negative"


def test_slips_are_found_by_most_and_sometimes_missed():
    rated = [(t.slip, marks) for p in read_competition() for t in p.traces for marks in t.ratings.values()]
    found = sum(slip is not None and len(marks) == slip + 1 and marks[-1] is Rating.NEGATIVE for slip, marks in rated)
    wrong = sum(slip is not None for slip, _ in rated)
    assert 0.75 < found / wrong < 1.0


def test_a_missing_key_is_named():
    with pytest.raises(SteplensError, match="problem 1: 'answer' is missing"):
        read_competition('[[problem]]\ntopic = "Algebra"\nprompt = "p"\ntrace = []\n')


def test_made_once(tmp_path: Path):
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        make_competition(workspace.database)
        make_competition(workspace.database)
        make_stories_project(workspace, count=60)
        again = make_stories_project(workspace, count=60)
        assert (again.imported, again.known) == (0, 60)
        with workspace.database.read() as c:
            by_name = {p.name: p for p in projects.all_projects(c)}
            assert (by_name[COMPETITION].traces, by_name[STORIES].traces) == (72, 60)
            people = {a.name: a.origin for a in projects.annotators(c)}
            assert people == {"Ada": "sample", "Ben": "sample", "Chloe": "sample", "Answer key": "sample"}


def test_stored_ratings_are_those_of_the_file(tmp_path: Path):
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        make_competition(workspace.database)
        wanted = {}
        for problem in read_competition():
            for trace in problem.traces:
                wanted[problem.prompt, trace.steps[0], trace.steps[-1]] = trace.ratings
        with workspace.database.read() as c:
            project = projects.by_name(c, COMPETITION)
            assert project is not None
            names = {a.id: a.name for a in projects.annotators(c)}
            ids = [row.id for row in traces.rows(c, traces.TraceQuery(project.id), limit=100, offset=0)]
            for trace in traces.load_many(c, ids):
                key = trace.problem.prompt, trace.step_text(0), trace.step_text(len(trace.segmentation.steps) - 1)
                stored = {
                    names[a.annotator_id]: tuple(r.value for r in a.ratings)
                    for a in annotations.of_trace(c, trace.id)
                    if a.annotator_id is not None
                }
                assert stored == wanted[key]


def test_story_records_say_what_the_story_says():
    for story in make_stories(200, seed=5):
        record = story_record(story)
        label = record["label"]
        assert isinstance(label, dict)
        ratings = [step["completions"][0]["rating"] for step in label["steps"]]
        if story.wrong is None:
            assert ratings == [1] * len(story.steps)
            assert label["finish_reason"] == "solution"
        else:
            assert ratings == [1] * story.wrong + [-1]
            assert label["steps"][-1]["chosen_completion"] is None
            assert label["finish_reason"] == "found_error"
