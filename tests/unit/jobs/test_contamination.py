"""Problems of a benchmark among those learned from, against a comparison of every pair by brute force."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from studio import cli
from studio.errors import ImportFormatError
from studio.exchange.sample import STORIES
from studio.jobs.contamination import Benchmark, Likeness, Problem, check, grams_of, read_benchmark
from studio.jobs.ingest import ingest
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import models, projects, runs
from studio.store.rows import Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from tests.unit.jobs.told_runs import made_run, story_house
from trainer.contract.records import Block, BlockKind, Message, Split, Step, TraceRecord
from trainer.contract.run_folder import RunFolder, sha256_of_folder
from trainer.reasoning.split import fold_of


def tell(_phase: str, _done: int, _total: int) -> None:
    """Nobody listens."""


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with story_house(tmp_path) as made:
        yield made


@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.0])
def test_the_index_finds_what_comparing_every_pair_finds(threshold: float) -> None:
    draw = random.Random(7)
    words = [f"w{number}" for number in range(6)]

    def problem() -> str:
        return " ".join(draw.choice(words[:2] if draw.random() < 0.8 else words) for _ in range(draw.randint(1, 25)))

    learned, bench = [problem() for _ in range(120)], list(dict.fromkeys(problem() for _ in range(120)))
    learned += draw.sample(bench, 10)
    made = check(
        (Problem(str(number), text) for number, text in enumerate(learned)),
        len(learned),
        Benchmark(enumerate(bench, 1)),
        of="a",
        against="b",
        threshold=threshold,
        tell=tell,
    )
    expected = set()
    for text in set(learned):
        mine = _grams_by_hand(text)
        for line, other in enumerate(bench, 1):
            theirs = _grams_by_hand(other)
            if text == other:
                expected.add((text, line, "equal"))
            elif sum(gram in mine for gram in theirs) / len(theirs) >= threshold:
                expected.add((text, line, "near"))
    assert {(pair.problem, pair.line, pair.likeness.value) for pair in made.pairs} == expected
    equal = {line for _, line, likeness in expected if likeness == "equal"}
    assert (made.equal, made.near) == (len(equal), len({line for _, line, _ in expected} - equal))
    assert made.problems == len(set(learned))


def _grams_by_hand(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 8]) for at in range(max(1, len(words) - 7))}


def test_equal_is_the_fold_and_signs_count() -> None:
    bench = Benchmark([(3, "What  is\u00a0$3+1$?"), (9, "What is $3-1$?")])
    found = list(bench.alike("WHAT is $3+1$?", 0.5))
    assert found == [(0, Likeness.EQUAL, 1.0)]
    assert fold_of("WHAT is $3+1$?") == fold_of("What  is\u00a0$3+1$?")
    assert list(bench.alike("What is 3-1", 1.0)) == [(1, Likeness.NEAR, 1.0)], "punctuation aside"
    assert grams_of("") == frozenset()


def test_every_form_of_a_problem_is_read(tmp_path: Path) -> None:
    said = (("user", "old"), ("assistant", "no"), ("user", "d"))
    chat = [{"role": role, "content": text} for role, text in said]
    path = written(
        tmp_path / "b.jsonl",
        {"problem": "a", "steps": []},
        {"question": "b"},
        {"question": {"problem": "c"}},
        {"prompt": chat},
    )
    assert list(read_benchmark(path, tell)) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


@pytest.mark.parametrize(("line", "said"), [('{"answer": 4}', "there is no problem"), ("{", "not JSON")])
def test_a_line_without_a_problem_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"problem": "a"}\n\n' + line + "\n", "utf-8")
    with pytest.raises(ImportFormatError, match=f"b.jsonl:3: {said}"):
        list(read_benchmark(path, tell))


def test_a_run_is_checked_by_its_training_rows_alone(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(workspace, "a run", {})
    rows = list(RunFolder(workspace.path / run.folder).read_input())
    taught = next(row for row in rows if row.split is Split.TRAIN)
    kept = {row.problem for row in rows if row.split is not Split.TRAIN}
    bench = written(tmp_path / "b.jsonl", {"problem": "Who was it?"}, *({"problem": text} for text in sorted(kept)))
    words = ["contamination", "--workspace", str(workspace.path), "--against", str(bench), "--threshold", "1"]
    assert cli.main([*words, "--run", "a run"]) == 0
    assert "none is equal" in capsys.readouterr().out
    with bench.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"question": f"  {taught.problem.upper()} "}) + "\n")
    assert cli.main([*words, "--run", run.uid[:8], "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (pair,) = found["pairs"]
    assert (pair["row"], pair["line"], pair["likeness"]) == (taught.id, 2 + len(kept), "equal")
    assert cli.main([*words, "--project", STORIES]) == 1, "a project is checked with all its problems"
    assert f"{1 + len(kept)} problems of the benchmark are learned from" in capsys.readouterr().out


def made(workspace: Workspace, recipe: str, name: str, selection: Selection, **settings: object) -> StoredRun:
    """A run that has ended with a model, but for one that writes."""
    uid = create_run(workspace, RunOrder(recipe, {"model": "tiny", **settings}, selection, name))
    with workspace.database.read() as c:
        run = runs.by_uid(c, uid)
    if recipe != "generate":
        folder = workspace.path / run.folder / "model"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "weights").write_text(uid)
        checksum = sha256_of_folder(folder)
        workspace.database.run(
            lambda c: models.register(
                c, run_id=run.id, name=name, kind=recipe, folder=f"{run.folder}/model", checksum=checksum, base="",
                summary={},
            )
        )  # fmt: skip
    return run


def wrote(workspace: Workspace, run: StoredRun, problem: str, text: str, project: str) -> None:
    """The run has written a trace, which goes into a project of its own."""
    trace = TraceRecord(
        id="d" * 32, row="row", problem=problem, reference="4", text=text, model="m", outcome=1,
        messages=(Message("assistant", (Block(BlockKind.ANSWER, 0, len(text)),)),), steps=(Step(0, 0, len(text)),),
    )  # fmt: skip
    with workspace.database.write() as c:
        attempt = runs.claim(c, run.id)
        assert attempt is not None
        runs.settle(c, run.id, attempt, StoredState.FINISHED)
    (workspace.path / run.folder / "records.jsonl").write_bytes(msgspec.json.encode(trace) + b"\n")
    assert ingest(workspace, run.uid).stored
    with workspace.database.write() as c:
        kept = projects.create(c, project)
        key = c.exec_driver_sql("SELECT id FROM trace WHERE uid = ?", (trace.id,)).scalar_one()
        projects.put_traces(c, kept.id, [key])


def test_the_whole_ancestry_of_a_model_is_compared(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught = made(workspace, "sft", "taught", Selection(projects=(STORIES,)))
    writer = made(workspace, "generate", "writer", Selection(projects=(STORIES,)), model="taught")
    leak = "how many of the seven small red boats are left in the harbour after the storm"
    wrote(workspace, writer, "Sail on.", f"They ask {leak}, so 4.\n\n# Answer\n\n4", "distilled")
    pupil = made(workspace, "sft", "pupil", Selection(projects=("distilled",)))
    grown = made(workspace, "rl", "grown", Selection(projects=("distilled",)), model="pupil")
    unrelated = made(workspace, "sft", "unrelated", Selection(projects=(STORIES,)))
    row = next(row for row in RunFolder(workspace.path / taught.folder).read_input() if row.split is Split.TRAIN)
    bench = written(tmp_path / "b.jsonl", {"problem": row.problem}, {"problem": f"{leak}?"}, {"problem": "Who was it?"})
    words = ["contamination", "--workspace", str(workspace.path), "--against", str(bench)]
    assert cli.main([*words, "--run", "grown", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    names = {source["run"]: source["name"] for source in found["sources"]}
    way = [(source["name"], source["role"], source["of"], source["rows"] > 0) for source in found["sources"]]
    assert way == [
        ("grown", "", "", True),
        ("pupil", "made the model of", "grown", True),
        ("writer", "wrote rows of", "grown", False),  # it learned nothing itself
        ("taught", "made the model of", "writer", True),
    ]
    assert unrelated.uid not in names
    pairs = {(names[pair["run"]], pair["line"], pair["likeness"]): pair["row"] for pair in found["pairs"]}
    assert pairs["taught", 1, "equal"] == row.id
    learned = next(iter(RunFolder(workspace.path / pupil.folder).read_input()))
    assert pairs["pupil", 2, "within"] == learned.id
    assert {line for _, line, _ in pairs} == {1, 2}
    assert (found["equal"], found["near"], found["benchmark"]) == (1, 1, 3)
    assert cli.main([*words, "--run", "grown"]) == 1
    shown = capsys.readouterr().out
    assert f"run 'taught', row {row.id}: " in shown
    assert "run 'writer' (generate) wrote rows of run 'grown': learned nothing itself" in shown
    assert grown.rows > 0


def test_a_model_from_elsewhere_on_the_way_is_told(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(workspace, "sft", "begun", Selection(projects=(STORIES,)), model="somebody/else")
    bench = written(tmp_path / "b.jsonl", {"problem": "Who was it?"})
    assert (
        cli.main(["contamination", "--workspace", str(workspace.path), "--against", str(bench), "--run", "begun"]) == 0
    )
    assert "the model 'somebody/else' of run 'begun' was not made in this workspace" in capsys.readouterr().out


def test_nonsense_is_refused(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["contamination", "--workspace", str(workspace.path), "--project", STORIES, "--against"]
    empty = written(tmp_path / "empty.jsonl")
    for more, said in (
        ([str(empty)], "has no problems"),
        ([str(tmp_path / "none.jsonl")], "No such file"),
        ([str(empty), "--threshold", "0"], "give a share over 0"),
    ):
        assert cli.main([*words, *more]) == 1
        assert said in capsys.readouterr().err
    assert cli.main([*words[:3], "--project", "Nobody", "--against", str(empty)]) == 1
    assert "no project 'Nobody'" in capsys.readouterr().err
