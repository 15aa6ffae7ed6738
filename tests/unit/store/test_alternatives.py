"""PRM800K's candidates as rows of their own, against a plain reading of the records they came from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from studio.exchange.transfer import import_files
from studio.store import annotations, rows
from studio.store import schema as s
from studio.store.rows import Resolution, Selection
from studio.workspace import Workspace
from tests.unit.store.making import small
from trainer.contract.records import InputRow, Rating, Split, Votes
from trainer.contract.specs.prm import AfterError, NeutralPolicy
from trainer.data import label_rows
from trainer.reasoning.split import fold_of, split_of

Record = dict[str, Any]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def record(draw: random.Random, problem: str, labeler: str) -> Record:
    """A phase 1 record: at every position up to four candidates, one chosen or a written one, texts that repeat."""
    steps, count = [], draw.randint(2, 5)
    for at in range(count):
        texts = draw.sample([f"s{at}a", f"s{at}b", f"s{at}c", f"s{at}d", f"s{at}e"], draw.randint(1, 4))
        completions = [{"text": t, "rating": draw.choice([-1, 0, 1, 1, None]), "flagged": False} for t in texts]
        written = draw.random() < 0.2
        human = {"text": f"h{at}", "rating": draw.choice([1, None]), "flagged": False} if written else None
        chosen = None if written else draw.randrange(len(texts))
        steps.append({"completions": completions, "human_completion": human, "chosen_completion": chosen})
    return {
        "labeler": labeler,
        "timestamp": "2022-07-17T16:56:51.323252",
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": problem,
            "ground_truth_answer": "42",
        },
        "label": {"steps": steps, "total_time": 1, "finish_reason": "solution"},
    }


def prefixes(records: list[Record]) -> tuple[dict[tuple, int], dict[tuple, set[int]]]:
    """(problem, steps) with the rating of their last step: on the chosen paths, and of the other candidates."""
    main: dict[tuple, int] = {}
    other: dict[tuple, set[int]] = {}
    for one in records:
        problem, path = one["question"]["problem"], []
        for step in one["label"]["steps"]:
            chosen = step["chosen_completion"]
            for number, completion in enumerate(step["completions"]):
                if completion["rating"] is None:
                    continue
                key = (problem, (*path, completion["text"]))
                if number == chosen:
                    main[key] = completion["rating"]
                else:
                    other.setdefault(key, set()).add(completion["rating"])
            human = step["human_completion"]
            if human is not None and human["rating"] is not None:
                other.setdefault((problem, (*path, human["text"])), set()).add(human["rating"])
            path.append(step["completions"][chosen]["text"] if chosen is not None else human["text"])
    return main, other


def test_every_rated_candidate_of_a_training_problem_teaches_once(workspace: Workspace, tmp_path: Path):
    draw = random.Random(4)
    records = [record(draw, f"What is {number % 17}+1?", f"labeler {number % 3}") for number in range(60)]
    source = tmp_path / "phase1.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in records))
    assert import_files(workspace, [source], "Phase 1").broken == 0
    with workspace.database.read() as c:
        plain = list(rows.stream(c, Selection()))
        everything = list(rows.stream(c, Selection(alternatives=True)))
        counts = rows.count(c, Selection(alternatives=True))
    made = everything[len(plain) :]
    assert everything[: len(plain)] == plain
    assert counts.rows == len(plain)
    assert counts.alternatives == len(made) > 100
    own = [one for one in records if prefixes([one])[0]]  # a trace without a label of its own is left out, and counted
    assert counts.left_out == {"no rating": len(records) - len(own)}
    main, other = prefixes(own)
    expected = {
        key: values for key, values in other.items() if key not in main and split_of(fold_of(key[0])) is Split.TRAIN
    }
    found = {(row.problem, row.steps): row for row in made}
    assert len(found) == len(made) == len({row.id for row in made})
    assert set(found) == set(expected)
    worth = {-1: Votes(negative=1.0), 0: Votes(neutral=1.0), 1: Votes(positive=1.0)}
    for key, row in found.items():
        assert row.labelled_from == len(row.steps) - 1
        assert row.votes is not None
        assert row.votes[-1] in {worth[value] for value in expected[key]}
        assert row.split is Split.TRAIN
        assert row.sources


def test_a_prefix_is_supervised_once_in_training(workspace: Workspace, tmp_path: Path):
    draw = random.Random(5)
    records = [record(draw, f"Sum {number}?", "Ada") for number in range(40)]
    source = tmp_path / "phase1.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in records))
    import_files(workspace, [source], "Phase 1")
    with workspace.database.read() as c:
        given = list(rows.stream(c, Selection(alternatives=True)))
    labelled = label_rows(given, NeutralPolicy.POSITIVE, AfterError.KEEP)
    taught = [
        (row.problem, row.steps[: at + 1]) for row in labelled.rows for at in range(len(row.steps)) if labels(row, at)
    ]
    assert len(taught) == len(set(taught)) == labelled.counts.labels
    assert labelled.counts.steps_taught_elsewhere > 0
    alternatives = [row for row in labelled.rows if row.id.count(":") > 1]
    assert all(
        [labels(row, at) for at in range(len(row.steps))] == [False] * (len(row.steps) - 1) + [True]
        for row in alternatives
    )


def labels(row: Any, at: int) -> bool:
    return bool(row.targets[at, 0] == row.targets[at, 0])


def test_several_voices_on_one_candidate_are_resolved_like_a_step(tmp_path: Path):
    made = small(tmp_path, traces_wanted=4, overlap=3)
    with made.database.write() as c:
        at = next(i for i, t in enumerate(made.traces) if split_of(fold_of(f"What is {i}+1?")) is Split.TRAIN)
        trace = made.traces[at]
        c.execute(
            s.candidate.insert(),
            [
                {"trace_id": trace, "ordinal": 1, "option": k, "text": text, "source": "model"}
                for k, text in ((1, "one way"), (2, "another"))
            ],
        )
        for who, first, second in (
            (made.ada, Rating.POSITIVE, Rating.POSITIVE),
            (made.bob, Rating.POSITIVE, Rating.NEGATIVE),
        ):
            work = made.work(at, who)
            for ordinal in range(4):
                annotations.rate(c, work, ordinal, Rating.POSITIVE)
            annotations.rate(c, work, 1, first, option=1)
            annotations.rate(c, work, 1, second, option=2)
            annotations.submit(c, work, active_ms=1)

    def found(selection: Selection) -> dict[str, InputRow]:
        with made.database.read() as c:
            return {row.steps[-1]: row for row in rows.stream(c, selection) if row.labelled_from}

    dropped = found(Selection(alternatives=True))
    assert set(dropped) == {"one way"}
    assert dropped["one way"].votes == (Votes(positive=1.0), Votes(positive=1.0))
    soft = found(Selection(alternatives=True, resolution=Resolution.SOFT))
    assert soft["another"].votes == (Votes(positive=1.0), Votes(negative=0.5, positive=0.5))
    assert found(Selection()) == {}


def test_repairs_and_outcomes_come_along(tmp_path: Path):
    made = small(tmp_path, traces_wanted=2)
    with made.database.write() as c:
        work = made.work()
        for ordinal, value in enumerate((Rating.POSITIVE, Rating.NEGATIVE)):
            annotations.rate(c, work, ordinal, value)
        annotations.submit(c, work, active_ms=1)
        annotation = c.scalar(select(s.annotation.c.id))
        c.execute(
            s.rating.insert(),
            [
                {"annotation_id": annotation, "ordinal": 2, "option": 0, "value": 1, "repairs": 1},
                {"annotation_id": annotation, "ordinal": 3, "option": 0, "value": 1, "repairs": None},
            ],
        )
        c.execute(update(s.trace).where(s.trace.c.id == made.traces[0]).values(outcome=1))
    with made.database.read() as c:
        (row,) = rows.stream(c, Selection())
        both = list(rows.stream(c, Selection(unrated=True)))
    assert row.repairs == (None, None, 1, None)
    assert row.outcome == 1
    assert row.votes is not None
    assert [vote is not None for vote in row.votes] == [True] * 4  # with a repair, what follows the error counts
    labelled = label_rows([row], NeutralPolicy.POSITIVE, AfterError.REPAIRS)
    assert labelled.rows[0].correct.tolist() == [1, 0, 1, 1]
    masked = label_rows([row], NeutralPolicy.POSITIVE, AfterError.MASK)
    assert masked.counts.labels == 2
    assert [one.outcome for one in both] == [1, None]
    assert both[0].votes == row.votes
