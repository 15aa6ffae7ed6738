"""Problems of a benchmark among those learned from, against a comparison of every pair by brute force."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio import cli
from studio.errors import ImportFormatError
from studio.exchange.sample import STORIES
from studio.jobs.contamination import Benchmark, Likeness, Problem, check, grams_of, read_benchmark
from studio.workspace import Workspace
from tests.unit.jobs.told_runs import made_run, story_house
from trainer.contract.records import Split
from trainer.contract.run_folder import RunFolder
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
