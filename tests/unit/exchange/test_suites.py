"""Files of suites: every line is checked, named by its content, and brings what its suite needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.errors import ImportFormatError
from studio.exchange.suites import drawn, read_suite
from trainer.contract.records import Split
from trainer.contract.specs.evaluate import Suite
from trainer.reasoning import grids

GOOD: dict[Suite, dict[str, Any]] = {
    Suite.GSM8K: {"question": "2 ducks?", "answer": "One.\n#### 1,000"},
    Suite.MATH500: {"problem": "1+1", "answer": "2", "unique_id": "test/1.json", "level": 3, "subject": "Algebra"},
    Suite.AIME: {"id": 60, "problem": "p", "answer": "007"},
    Suite.ARC: {
        "id": "t", "train": [{"input": [[1]], "output": [[2]]}],
        "test": [{"input": [[3]], "output": [[4, 4]]}, {"input": [[5]], "output": [[6]]}],
    },
    Suite.HUMANEVAL: {
        "task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1)", "canonical_solution": "    return x\n",
    },
    Suite.PROGRAMS: {"id": "4A", "description": "Halve.", "official_tests": [{"input": "8", "output": "4"}]},
    Suite.PROCESSBENCH: {"id": "gsm8k-3", "problem": "p", "steps": ["a", "b"], "label": 1},
    Suite.PRMBENCH: {
        "idx": "x1", "question": "q", "modified_process": ["a", "b"], "error_steps": [2], "classification": "counter",
    },
    Suite.OWN: {"question": "Why?", "reference": 42},
}  # fmt: skip


def write(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize("suite", list(GOOD))
def test_a_good_row(tmp_path: Path, suite: Suite) -> None:
    rows = read_suite(suite, [write(tmp_path / "a.jsonl", GOOD[suite])])
    assert len(rows) == (2 if suite is Suite.ARC else 1)
    row = rows[0]
    assert row.id.startswith(f"{suite}:")
    assert (row.split, row.origin, row.trace) == (Split.TEST, "a.jsonl", "")
    expected = {
        Suite.GSM8K: "1,000", Suite.MATH500: "2", Suite.AIME: "7", Suite.ARC: "4 4", Suite.PROGRAMS: None,
        Suite.HUMANEVAL: "    return x\n", Suite.PROCESSBENCH: "1", Suite.PRMBENCH: "1", Suite.OWN: "42",
    }[suite]  # fmt: skip
    assert row.reference == expected


def test_what_suites_need_stands_beside_the_row(tmp_path: Path) -> None:
    def extra(suite: Suite) -> dict[str, Any]:
        return read_suite(suite, [write(tmp_path / f"{suite}.jsonl", GOOD[suite])])[0].extra

    assert extra(Suite.MATH500) == {"subject": "Algebra", "level": 3}
    assert extra(Suite.HUMANEVAL)["entry_point"] == "f"
    assert extra(Suite.PROGRAMS) == {"tests": [{"input": "8", "output": "4"}]}
    assert extra(Suite.PROCESSBENCH) == {"label": 1, "subset": "gsm8k"}
    assert extra(Suite.PRMBENCH) == {"wrong": [1], "category": "counter"}
    assert extra(Suite.ARC)["output"] == ((4, 4),)


def test_tests_of_programs_are_read_in_both_forms(tmp_path: Path) -> None:
    value = {
        "problem": "p", "time_limit": 2, "public_tests": {"input": ["1"], "output": ["2"]},
        "private_tests": {"input": ["3"], "output": ["4"]},
    }  # fmt: skip
    (row,) = read_suite(Suite.PROGRAMS, [write(tmp_path / "a.jsonl", value)])
    assert row.extra == {"tests": [{"input": "1", "output": "2"}, {"input": "3", "output": "4"}], "seconds": 2.0}


@pytest.mark.parametrize(
    ("suite", "change", "said"),
    [
        (Suite.GSM8K, {"answer": "no gold"}, "####"),
        (Suite.GSM8K, {"question": None}, "no text in question"),
        (Suite.MATH500, {"answer": ""}, "no text in answer"),
        (Suite.AIME, {"answer": "1000"}, "from 0 to 999"),
        (Suite.ARC, {"test": [{"input": [[1]]}]}, "no 'output'"),
        (Suite.ARC, {"train": [{"input": [[1], [1, 2]], "output": [[1]]}]}, "same length"),
        (Suite.ARC, {"train": None}, "lists `train` and `test`"),
        (Suite.HUMANEVAL, {"entry_point": "g"}, "defines no function 'g'"),
        (Suite.HUMANEVAL, {"test": "assert True"}, "no function `check`"),
        (Suite.PROGRAMS, {"official_tests": []}, "no tests"),
        (Suite.PROGRAMS, {"official_tests": [{"input": 1, "output": "2"}]}, "official_tests[0]"),
        (Suite.PROCESSBENCH, {"label": 2}, "no place of its 2 steps"),
        (Suite.PROCESSBENCH, {"label": True}, "no place"),
        (Suite.PROCESSBENCH, {"steps": "a"}, "no list of texts"),
        (Suite.PRMBENCH, {"error_steps": [0]}, "no places of its 2 steps"),
        (Suite.OWN, {"reference": [1]}, "no text in answer"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_remedy(
    tmp_path: Path, suite: Suite, change: dict[str, Any], said: str
) -> None:
    path = write(tmp_path / "a.jsonl", GOOD[suite], GOOD[suite] | change)
    with pytest.raises(ImportFormatError, match=r"a\.jsonl:2: ") as caught:
        read_suite(suite, [path])
    assert said in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ":1: "),
        ("[1]\n", "a row is a JSON object, not list"),
        ("", "there are no rows"),
        ('{"problem": "p", "answer": "1"}\n\n{"problem": "p", "answer": "1"}\n', ":3: the same row as"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ImportFormatError) as caught:
        read_suite(Suite.OWN, [tmp_path / "a.jsonl"])
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="there is no such file"):
        read_suite(Suite.OWN, [tmp_path / "none.jsonl"])
    with pytest.raises(ImportFormatError, match=r"no \.json or \.jsonl"):
        read_suite(Suite.ARC, [tmp_path])
    with pytest.raises(ImportFormatError, match="come from the workspace"):
        read_suite(Suite.REGRESSIONS, [write(tmp_path / "a.jsonl", {})])


def test_a_row_is_named_by_its_content(tmp_path: Path) -> None:
    def name(**change: object) -> str:
        return read_suite(Suite.MATH500, [write(tmp_path / "b.jsonl", GOOD[Suite.MATH500] | change)])[0].id

    assert name().startswith("math500:test/1.json:")
    assert name() == name(solution="not asked")
    assert len({name(), name(answer="3"), name(problem="1+2"), name(level=4)}) == 4


def test_a_folder_of_tasks_and_a_list_in_one_file(tmp_path: Path) -> None:
    task = {key: GOOD[Suite.ARC][key] for key in ("train", "test")}
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps(task | {"train": task["train"] * (1 + (name == "a"))}))
    rows = read_suite(Suite.ARC, [tmp_path])
    assert [row.id.split(":")[1] for row in rows] == ["a/0", "a/1", "b/0", "b/1"]
    (tmp_path / "list.json").write_text(json.dumps([GOOD[Suite.OWN], {"problem": "q", "answer": "1"}]))
    assert len(read_suite(Suite.OWN, [tmp_path / "list.json"])) == 2


def test_a_larger_limit_draws_the_same_and_more(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *({"problem": f"p{i}", "answer": str(i)} for i in range(50)))
    every = [row.id for row in read_suite(Suite.OWN, [path])]
    some = [row.id for row in read_suite(Suite.OWN, [path], limit=10)]
    more = [row.id for row in read_suite(Suite.OWN, [path], limit=20)]
    assert len(some) == 10
    assert set(some) < set(more) < set(every)
    assert some == [id for id in every if id in set(some)]
    assert some != [row.id for row in read_suite(Suite.OWN, [path], limit=10, seed=1)]
    assert drawn(read_suite(Suite.OWN, [path]), 0, 0)[0].id == every[0]


def test_real_files_of_every_suite(data_dir: Path) -> None:
    places = {
        Suite.GSM8K: ("gsm8k/test.jsonl", 1319),
        Suite.MATH500: ("math/math500.jsonl", 500),
        Suite.AIME: ("math/aime24.jsonl", 30),
        Suite.ARC: ("arc", 416),
        Suite.HUMANEVAL: ("code/humaneval.jsonl", 164),
        Suite.PROCESSBENCH: ("processbench", 1400),
    }
    for suite, (place, count) in places.items():
        rows = read_suite(suite, [data_dir / place])
        assert len(rows) == count, suite
        if suite is Suite.ARC:
            assert all(grids.read_grid(row.reference or "") == row.extra["output"] for row in rows)
