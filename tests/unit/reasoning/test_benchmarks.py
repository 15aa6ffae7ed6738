"""ProcessBench and PRMBench against the last lines of their own scripts, written out again, and against sklearn."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from trainer.reasoning.benchmarks import (
    ALL_RIGHT,
    PRM_BENCH,
    category_score,
    prm_bench,
    prm_bench_columns,
    process_bench,
)


def official_process_bench(predictions: list[int], labels: list[int]) -> float:
    """The end of ProcessBench's evaluation: harmonic mean of the two accuracies, in percent."""
    rows = [{"label": label, "match": p == label} for p, label in zip(predictions, labels, strict=True)]
    acc1 = np.mean([row["match"] for row in rows if row["label"] != -1]) * 100
    acc2 = np.mean([row["match"] for row in rows if row["label"] == -1]) * 100
    return float(2 * acc1 * acc2 / (acc1 + acc2))


def random_rows(seed: int, count: int) -> tuple[list[list[float]], list[int], list[str]]:
    draw = random.Random(seed)
    scores, labels, names = [], [], []
    for _ in range(count):
        steps = draw.randint(1, 9)
        label = draw.choice([-1, draw.randrange(steps)])
        row = [draw.betavariate(5, 2) for _ in range(steps)]
        if label >= 0:
            row[label] = draw.betavariate(2, 4)
        scores.append(row)
        labels.append(label)
        names.append(draw.choice(["gsm8k", "math", "olympiadbench", "omnimath"]))
    return scores, labels, names


@pytest.mark.parametrize("threshold", [0.5, 0.37])
def test_process_bench_is_that_of_its_script(threshold: float):
    scores, labels, names = random_rows(0, 800)
    found = process_bench(scores, labels, names, threshold=threshold)
    f1s, sizes = [], []
    for name in sorted(set(names)):
        inside = [i for i, n in enumerate(names) if n == name]
        predicted = []
        for i in inside:
            below = [j for j, s in enumerate(scores[i]) if s < threshold]
            predicted.append(below[0] if below else -1)
        expected = official_process_bench(predicted, [labels[i] for i in inside])
        assert found.subsets[name].f1 * 100 == pytest.approx(expected)
        f1s.append(expected / 100)
        sizes.append(len(inside))
    assert found.f1 == pytest.approx(np.mean(f1s))
    assert found.weighted_f1 == pytest.approx(np.average(f1s, weights=sizes))
    assert found.unscored == 0


@pytest.mark.needs_data
def test_process_bench_on_its_own_rows(data_dir: Path):
    path = data_dir / "processbench" / "gsm8k.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    labels = [row["label"] for row in rows]
    perfect = [[float(i != label) for i in range(len(row["steps"]))] for row, label in zip(rows, labels, strict=True)]
    assert process_bench(perfect, labels, ["gsm8k"] * len(rows)).f1 == 1.0
    never = process_bench([[1.0] * len(row["steps"]) for row in rows], labels, ["gsm8k"] * len(rows))
    figures = never.subsets["gsm8k"]
    assert (figures.f1, figures.on_right, figures.on_wrong) == (0.0, 1.0, 0.0)
    assert (figures.n_wrong, figures.n_right) == (sum(x >= 0 for x in labels), labels.count(-1))
    draw = random.Random(1)
    noisy = [[draw.random() for _ in row["steps"]] for row in rows]
    predicted = [next((i for i, s in enumerate(row) if s < 0.5), -1) for row in noisy]
    expected = official_process_bench(predicted, labels) / 100
    assert process_bench(noisy, labels, ["gsm8k"] * len(rows)).f1 == pytest.approx(expected)


def official_prm_bench(rows: list[tuple[list[int], list[bool]]]) -> tuple[float, float]:
    """PRMBench's matrix over steps (error steps count from 1) and its two F1s."""
    tp = fp = tn = fn = 0
    for error_steps, labels in rows:
        bad = [step - 1 for step in error_steps]
        for index, label in enumerate(labels):
            if index in bad:
                fp, tn = fp + bool(label), tn + (not label)
            else:
                tp, fn = tp + bool(label), fn + (not label)
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    negative_precision, negative_recall = tn / (tn + fn), tn / (tn + fp)
    return (
        2 * precision * recall / (precision + recall),
        2 * negative_precision * negative_recall / (negative_precision + negative_recall),
    )


def test_prm_bench_is_that_of_its_script_and_of_sklearn():
    draw = random.Random(3)
    scores, wrong, names = [], [], []
    for _ in range(500):
        steps = draw.randint(2, 12)
        name = draw.choice(["redundency", "circular", "deception", "correct"])
        bad = [] if name == "correct" else sorted(draw.sample(range(steps), draw.randint(1, 2)))
        scores.append([draw.betavariate(2, 3) if i in bad else draw.betavariate(5, 2) for i in range(steps)])
        wrong.append(bad)
        names.append(name)
    found = prm_bench(scores, wrong, names)
    for name, figures in [("all", found.overall), *((n, f) for n, f in found.categories.items() if n != "correct")]:
        inside = [i for i, n in enumerate(names) if (n == name or name == "all") and n != "correct"]
        rows = [([step + 1 for step in wrong[i]], [s >= 0.5 for s in scores[i]]) for i in inside]
        f1, f1_wrong = official_prm_bench(rows)
        assert figures.f1 == pytest.approx(f1)
        assert figures.f1_wrong == pytest.approx(f1_wrong)
        assert figures.prm_score == pytest.approx(0.5 * f1 + 0.5 * f1_wrong)
        truth = [j not in wrong[i] for i in inside for j in range(len(scores[i]))]
        called = [s >= 0.5 for i in inside for s in scores[i]]
        assert figures.f1 == pytest.approx(f1_score(truth, called))
        assert figures.f1_wrong == pytest.approx(f1_score(truth, called, pos_label=False))
        assert figures.accuracy == pytest.approx(accuracy_score(truth, called))
        assert (figures.n_right, figures.n_wrong) == (sum(truth), len(truth) - sum(truth))
    assert found.categories["correct"].n_wrong == 0


def test_a_step_at_the_threshold_is_called_right_and_wholly_wrong_calls_score_nought():
    at, inverted = prm_bench([[0.5]], [[]], ["a"]).overall, prm_bench([[0.1, 0.9]], [[1]], ["a"]).overall
    assert (at.f1, at.accuracy) == (1.0, 1.0)
    assert (inverted.f1, inverted.f1_wrong, inverted.accuracy) == (0.0, 0.0, 0.0)


def test_the_columns_are_those_of_the_table():
    """A subject is the mean of its categories where all are there; where no step is wrong F1 stands for the score."""
    names = [name for subject in PRM_BENCH.values() for name in subject]
    scores = [[0.9, 0.2 + 0.1 * at, 0.8 - 0.1 * at] for at in range(len(names))]
    wrong = [[] if name == ALL_RIGHT else [1] for name in names]
    found = prm_bench([*scores, [0.9, 0.1]], [*wrong, [1]], [*names, "of another kind"]).categories
    columns = prm_bench_columns(found)
    assert columns["MS"] == category_score(ALL_RIGHT, found[ALL_RIGHT]) == found[ALL_RIGHT].f1
    assert columns["NR"] == found["redundency"].prm_score
    assert columns["of another kind"] == 1.0
    assert len(columns) == 9 + 3 + 1
    for subject, columns_of in {"simplicity": "NR NCL", "soundness": "ES SC DC CI", "sensitivity": "PS DR MS"}.items():
        assert columns[subject] == pytest.approx(np.mean([columns[short] for short in columns_of.split()]))
    del found["circular"]
    assert set(columns) - set(prm_bench_columns(found)) == {"NCL", "simplicity"}


def test_steps_without_a_score_are_counted_and_never_called_wrong():
    found = process_bench([[0.9, None], [None, None]], [-1, 0], ["a", "a"])
    assert found.unscored == 3
    assert (found.subsets["a"].on_right, found.subsets["a"].on_wrong) == (1.0, 0.0)
    bench = prm_bench([[0.9, None, 0.1]], [[2]], ["deception"])
    assert bench.unscored == 1
    assert (bench.overall.n_right, bench.overall.n_wrong, bench.overall.prm_score) == (1, 1, 1.0)


def test_what_cannot_be_is_refused_and_what_does_not_exist_is_nan():
    with pytest.raises(ValueError, match="equally many"):
        process_bench([[0.5]], [], ["a"])
    with pytest.raises(ValueError, match="equally many"):
        prm_bench([[0.5]], [[]], [])
    assert math.isnan(prm_bench([], [], []).overall.accuracy)
    with pytest.raises(ValueError, match="count from 0"):
        prm_bench([[0.5, 0.5]], [[2]], ["a"])
    assert math.isnan(process_bench([], [], []).f1)
    right_only = prm_bench([[0.9, 0.8]], [[]], ["multi_solutions"]).categories["multi_solutions"]
    assert right_only.f1 == 1.0
    assert math.isnan(right_only.f1_wrong)
    assert math.isnan(right_only.prm_score)
