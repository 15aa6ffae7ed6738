"""The tiny policy and PRM that travel with the app, made from nothing by our own recipes, and what they can do.

    python -m bench.shipped [--keep FOLDER] [--out resources/models] [--picture docs/pictures/shipped-budgets.svg]

The policy learns from demonstrations of trying numbers in any order, each with the length of its thinking in the
prompt; RL (LCPO-exact) makes it keep to a budget. Its own traces, labelled by rollouts from every step (Math-Shepherd,
soft), teach the PRM, on problems that neither RL nor the test sees. Measured on test problems, drawn at temperature 1:
accuracy at each budget, and best of 8 by the PRM beside majority and one trace, three seeds.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from bench.budgets import ANSWER, BUDGETS, MOST, Kept, Study, figure, interval_of, teach
from bench.line_picture import Line, line_picture
from bench.loop import answer_of, is_for_prm, with_labels
from bench.stages import Stages
from trainer.contract.forms import BudgetReward
from trainer.contract.records import InputRow, MachineLabelRecord, Split
from trainer.contract.run_folder import all_records
from trainer.models.generate import BudgetRule, Decoder, Sampling
from trainer.models.load import load_prm
from trainer.models.policies import load_policy
from trainer.models.response_tokens import ResponseTokens
from trainer.reasoning.budget import with_budget
from trainer.reasoning.response import read_response
from trainer.reasoning.tries import TRY_COUNT, TRY_SEED, make_tries, try_row
from trainer.rl.rewarder import PrmJudge

UPDATES = 40
PRM_TRACES = 2000
BEST_OF, SEEDS, PROBLEMS = 8, 3, 300
BEST_AT = 40  # tokens of thinking at which picking one of several is measured
MOST_BYTES = 5_000_000
PRM_SETTINGS: dict[str, Any] = {
    "model": "policy", "max_length": 192, "batch_size": 32, "max_steps": 600, "head_rate": 3e-3, "body_rate": 1e-3,
    "decay": 0.9, "weight_decay": 0.1, "eval_every": 200, "checkpoint_every": 300, "threads": 2,
    "after_error": "keep labels",  # they are chances of success, which rise again where a number is found
}  # fmt: skip
LABELS: dict[str, Any] = {
    "method": "rollouts from every step", "hardness": "soft", "model": "policy", "rollouts": 4, "max_tokens": MOST,
    "verifier": "strict", "algebra": False, "threads": 2,
}  # fmt: skip


def main() -> int:
    """Run every stage, put the models in their place and print the figures; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; what stands there is not repeated")
    parser.add_argument("--out", type=Path, help="where the two models go (default: nowhere, they are only measured)")
    parser.add_argument("--picture", type=Path, help="the budget curve, as SVG")
    given = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        stages = Stages(given.keep or Path(scratch))
        rows = rows_of(TRY_COUNT)
        policy = make_policy(stages, rows)
        prm = make_prm(stages, rows, policy)
        if given.out is not None:
            put(given.out, policy=policy, prm=prm)
        met, curve = budget_curve(rows, policy)
        met &= best_of(rows, policy, prm)
        if given.picture is not None:
            given.picture.write_text(picture(curve), encoding="utf-8")
    return 0 if met else 1


def rows_of(count: int) -> list[InputRow]:
    """The demonstrations as rows, in the splits of their problems."""
    tried = make_tries(count, seed=TRY_SEED, keeps_checking=True, any_order=True)
    return [try_row(one, number) for number, one in enumerate(tried)]


def make_policy(stages: Stages, rows: Sequence[InputRow]) -> Path:
    """A policy that tries, and keeps to the budget in its prompt."""
    taught = teach(stages, rows)
    figure("the policy, demonstrations: time", taught.seconds / 60, "min")
    others = [row for row in rows if row.split is not Split.TRAIN or not is_for_prm(row)]
    done = Study(stages, others, taught.folder.model).improve(BudgetReward.EXACT, 0, UPDATES)
    figure(f"the policy, {UPDATES} updates of RL: time", done.seconds / 60, "min")
    return done.folder.model


def make_prm(stages: Stages, rows: Sequence[InputRow], policy: Path) -> Path:
    """A PRM that says of a step how often the policy still reaches the right answer from there."""
    mine = [row for row in rows if row.split is Split.TRAIN and is_for_prm(row)][:PRM_TRACES]
    draw = random.Random(7)
    budgets = [draw.randint(BUDGETS[0], BUDGETS[-1]) for _ in mine]
    traces = write(policy, mine, budgets, 1, seed=77)
    asked = [
        msgspec.structs.replace(trace, problem=with_budget(trace.problem, budget))
        for trace, budget in zip(traces, budgets, strict=True)
    ]
    labelled = stages.do("labels", "autolabel", asked, LABELS, {"model": policy})
    figure("the PRM, labels: time", labelled.seconds / 60, "min")
    found = [one for one in all_records(labelled.folder.records) if isinstance(one, MachineLabelRecord)]
    values = {one.row: one.values for one in found}
    taught = [with_labels(trace, values[trace.id]) for trace in traces if trace.steps]
    done = stages.do("prm", "prm", taught, PRM_SETTINGS, {"model": policy})
    figure("the PRM: time", done.seconds / 60, "min")
    return done.folder.model


def write(policy: Path, rows: Sequence[InputRow], budgets: Sequence[int], count: int, *, seed: int) -> list[InputRow]:
    """`count` traces of each problem under its budget, as rows whose steps are those of the response."""
    loaded = load_policy(str(policy))
    decoder, tokens = Decoder(loaded.language.model, loaded.tokenizer, frozen=True), ResponseTokens(loaded.tokenizer)
    rule = BudgetRule(thinking=MOST, answer=ANSWER)
    sampling = Sampling(temperature=1.0, max_new_tokens=MOST + ANSWER + 16, budget=rule)
    prompts = [loaded.prompts.ids_of(row.problem, budget) for row, budget in zip(rows, budgets, strict=True)]
    first = seed * 1_000_003
    made = decoder.generate(prompts, sampling, n=count, seeds=range(first, first + len(rows) * count))
    out: list[InputRow] = []
    for row, of_row in zip(rows, made, strict=True):
        for number, one in enumerate(of_row):
            response = read_response(tokens.text(one.ids.tolist()))
            name = f"{row.id}-{number}"
            ids = tuple(range(1, len(response.steps) + 1))
            out.append(
                msgspec.structs.replace(
                    row,
                    id=name,
                    trace=name,
                    steps=response.step_texts,
                    step_ids=ids,
                    response=response.text,
                    votes=None,
                )
            )
    return out


def put(out: Path, **models: Path) -> None:
    """Copy what loads a model, and its card, and check how much it is."""
    for name, source in models.items():
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(source, out / name)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    figure("both models on disk", size / 1e6, "MB", f"< {MOST_BYTES / 1e6:g}", size < MOST_BYTES)
    if size >= MOST_BYTES:
        raise SystemExit(f"{out}: {size} bytes are too many to travel with the app")


def budget_curve(
    rows: Sequence[InputRow], policy: Path, budgets: Sequence[int] = BUDGETS, problems: int = PROBLEMS
) -> tuple[bool, list[Kept]]:
    """Accuracy at each budget; whether it rises from the least to the greatest beyond doubt."""
    study, loaded = Study(Stages(Path(tempfile.gettempdir())), rows, policy, problems), load_policy(str(policy))
    curve = [study.at(loaded, budget) for budget in budgets]
    for one in curve:
        low, high = one.interval
        what = f"accuracy at a budget of {one.budget} tokens [{low:.3f}, {high:.3f}]"
        figure(what, one.accuracy, f"with {np.mean(one.tokens):.1f} tokens of thinking")
    low, high = interval_of(np.asarray(curve[-1].right, np.float64) - np.asarray(curve[0].right))
    figure(f"accuracy at {budgets[-1]} over {budgets[0]} tokens", f"[{low:+.3f}, {high:+.3f}]", "", "> 0", low > 0)
    return low > 0, curve


def best_of(
    rows: Sequence[InputRow], policy: Path, prm: Path, seeds: Sequence[int] = range(SEEDS), most: int = PROBLEMS
) -> bool:
    """Best of eight by the PRM's last step score beside majority and one trace; whether it leads with every seed."""
    problems = [row for row in rows if row.split is Split.TEST][:most]
    judge, met = PrmJudge(load_prm(str(prm))), True
    for seed in seeds:
        traces = write(policy, problems, [BEST_AT] * len(problems), BEST_OF, seed=1000 + seed)
        scores = judge.scores([row.problem for row in traces], [row.steps for row in traces])
        right = np.array([answer_of(row) == row.reference for row in traces]).reshape(-1, BEST_OF)
        last = np.array([one[-1] if one and one[-1] is not None else 0.0 for one in scores]).reshape(-1, BEST_OF)
        best = right[np.arange(len(right)), last.argmax(1)].astype(float)
        majority = np.array([majority_is_right(traces[i : i + BEST_OF]) for i in range(0, len(traces), BEST_OF)])
        for name, hits in (
            ("one trace, mean", right.mean(1)),
            ("majority of 8", majority),
            ("best of 8 by the PRM", best),
            ("any of 8", right.any(1).astype(float)),
        ):
            low, high = interval_of(hits)
            figure(f"seed {seed}, {BEST_AT} tokens: {name} [{low:.3f}, {high:.3f}]", float(hits.mean()), "")
        for name, other in (("majority", majority), ("one trace", right.mean(1))):
            low, high = interval_of(best - other)
            what = f"seed {seed}: best of 8 by the PRM over {name} [{low:+.3f}, {high:+.3f}]"
            figure(what, float((best - other).mean()), "", "> 0", low > 0)
            met &= low > 0
    return met


def majority_is_right(traces: Sequence[InputRow]) -> float:
    """Whether the most frequent answer is the reference; of equally frequent ones the first."""
    answers = Counter(answer for row in traces if (answer := answer_of(row)) is not None)
    return float(bool(answers) and answers.most_common(1)[0][0] == traces[0].reference)


def picture(curve: Sequence[Kept]) -> str:
    """The budget curve with its 95 % intervals."""
    lines = [Line("the policy that travels with the app", [(float(one.budget), one.accuracy) for one in curve], 0)]
    lines += [Line("", [(one.budget, y) for y in one.interval], 0) for one in curve]
    title = "Accuracy on test problems at each thinking budget"
    return line_picture(title, "budget in tokens", "accuracy", lines)


if __name__ == "__main__":
    sys.exit(main())
