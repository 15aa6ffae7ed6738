"""ProcessBench's F1 on its own rows, calculated in another way from the same predictions."""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from trainer.reasoning.benchmarks import process_bench
from trainer.reasoning.evaluation import process_bench_interval


@pytest.mark.parametrize("hit_rate", [0.1, 0.5, 0.9])
def test_f1_equals_counting_by_hand(data_dir: Path, hit_rate: float) -> None:
    draw = random.Random(hit_rate)
    counts: Counter[tuple[str, bool, bool]] = Counter()
    scores, labels, subsets, predicted = [], [], [], []
    for subset in ("gsm8k", "math"):
        for line in (data_dir / "processbench" / f"{subset}.jsonl").read_text().splitlines():
            row = json.loads(line)
            steps, label = len(row["steps"]), row["label"]
            guess = label if draw.random() < hit_rate else draw.randint(-1, steps - 1)
            scores.append([0.9] * steps if guess < 0 else [0.7] * guess + [0.2] + [0.9] * (steps - guess - 1))
            labels.append(label)
            subsets.append(subset)
            predicted.append(guess)
            counts[subset, label == -1, guess == label] += 1
    f1s = []
    for subset in ("gsm8k", "math"):
        shares = [
            Fraction(counts[subset, right, True], counts[subset, right, True] + counts[subset, right, False])
            for right in (False, True)
        ]
        f1s.append(2 * shares[0] * shares[1] / sum(shares))
    figure = process_bench(scores, labels, subsets)
    assert len(labels) == 1400
    assert figure.f1 == pytest.approx(float(sum(f1s) / 2), abs=1e-12)
    interval = process_bench_interval(predicted, labels, subsets)
    assert interval.value == pytest.approx(figure.f1, abs=1e-12)
    assert interval.low < figure.f1 < interval.high
