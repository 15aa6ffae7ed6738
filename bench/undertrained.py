"""RL from a policy that was merely taught too little, beside one that was taught a mistake (`bench.loop`).

    python -m bench.undertrained [--steps 150] [--updates 20] [--keep FOLDER]

The teacher makes no mistake here, but the lessons end early: the policy errs because it lacks facts, not because it
learned wrong ones. It gets the same RL as in `bench.loop`, with exact step credit and with the outcome alone, so that
no PRM is to blame. Greedy accuracy before and after is that on the same test problems.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.loop import BEST_OF, EXACT, RL_SETTINGS, TEST_PROBLEMS, answer_of, curve, write_traces
from bench.stages import Function, Stages
from bench.tiny_prm import figure
from trainer.contract.records import InputRow, Split
from trainer.reasoning.demonstrations import (
    DEMONSTRATION_COUNT,
    DEMONSTRATION_PRESET,
    DEMONSTRATION_SEED,
    demonstration_row,
    make_demonstrations,
)
from trainer.reasoning.metrics import bootstrap


def main() -> int:
    """Teach a little, improve, compare; nothing has to be reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="lessons, where the loop's policy has 900")
    parser.add_argument("--updates", type=int, default=20, help="updates of each RL run")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        compare(Stages(given.keep or Path(scratch)), given.steps, given.updates)
    return 0


def compare(stages: Stages, steps: int, updates: int) -> None:
    """One policy, two ways of paying it."""
    made = make_demonstrations(DEMONSTRATION_COUNT, seed=DEMONSTRATION_SEED, mistake=0.0)
    rows = [demonstration_row(one, number) for number, one in enumerate(made)]
    problems = [row for row in rows if row.split is Split.TEST][:TEST_PROBLEMS]
    taught = stages.do("sft", "sft", rows, {**DEMONSTRATION_PRESET, "max_steps": steps})
    before = right(taught.folder.model, problems, 1, temperature=0.0)[:, 0]
    drawn = right(taught.folder.model, problems, BEST_OF, temperature=1.0)
    tell(f"taught without a mistake, {steps} of {DEMONSTRATION_PRESET['max_steps']} steps: greedy accuracy", before)
    tell("one trace at temperature 1, mean: accuracy", drawn.mean(1))
    tell(f"at least one of {BEST_OF} right", drawn.max(1))
    exact = stages.root / "exact.py"
    exact.write_text(EXACT, encoding="utf-8")
    ways: list[tuple[str, dict[str, Any], dict[str, Function]]] = [
        ("exact step credit + outcome", {"prm": "exact.py:exact"}, {"prm": Function(exact, "exact")}),
        ("outcome only", {}, {}),
    ]
    for name, settings, code in ways:
        asked = {**RL_SETTINGS, "model": "policy", "updates": updates, **settings}
        done = stages.do(f"rl-{name.split()[0]}", "rl", rows, asked, {"model": taught.folder.model}, code)
        after = right(done.folder.model, problems, 1, temperature=0.0)[:, 0]
        tell(f"RL, {name}, seed 0: greedy accuracy after", after)
        tell(f"RL, {name}, seed 0: gained", after - before, sign="+")
        last = curve(done.folder)[-1][1]
        figure(f"RL, {name}, seed 0: held-out accuracy of the last weights (the best were kept)", last, "")
        figure(f"RL, {name}, seed 0: time", done.seconds / 60, "min")


def right(policy: Path, problems: list[InputRow], count: int, *, temperature: float) -> NDArray[np.float64]:
    """Which of `count` traces of each problem are right, 1 or 0 [problems, count]."""
    traces = write_traces(policy, problems, count, temperature=temperature, seed=5)
    found = [float(answer_of(row) == row.reference) for row in traces]
    return np.array(found).reshape(len(problems), count)


def tell(what: str, hits: NDArray[np.float64], *, sign: str = "") -> None:
    """The mean over problems, with the 95 % interval of problems drawn with replacement."""
    names = np.arange(len(hits)).astype(str)
    interval = bootstrap(names, lambda weights: float((weights * hits).sum() / weights.sum()))
    figure(f"{what} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]", interval.value, "")


if __name__ == "__main__":
    sys.exit(main())
