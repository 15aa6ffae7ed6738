"""The whole loop from nothing with the tiny model: demonstrations with a mistake, labels, PRM, best-of-8, RL.

    python -m bench.loop [--seeds 3] [--updates 20] [--picture docs/pictures/rl-credit.svg]

A teacher borrows wrongly in 60 % of the subtractions that borrow, so the policy that learns from it does, too. Its own
traces are labelled by the arithmetic rule, a PRM learns from them, on problems that neither RL nor the test ever sees,
and RL with that PRM is to put the policy right. Every stage is a real run of a real worker.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.line_picture import Line, line_picture
from bench.stages import Done, Function, Stages
from bench.tiny_prm import figure
from trainer.contract import events
from trainer.contract.records import InputRow, MachineLabelRecord, Split, Votes
from trainer.contract.run_folder import RunFolder, all_records, read_events
from trainer.reasoning.demonstrations import (
    DEMONSTRATION_COUNT,
    DEMONSTRATION_PRESET,
    DEMONSTRATION_SEED,
    demonstration_row,
    make_demonstrations,
)
from trainer.reasoning.metrics import bootstrap
from trainer.reasoning.response import read_response

MUST_LIFT, MUST_MINUTES = 0.20, 10.0
PRM_TRACES, BEST_OF, TEST_PROBLEMS = 6000, 8, 500
PRM_SETTINGS: dict[str, Any] = {
    "model": "tiny", "max_length": 128, "batch_size": 32, "max_steps": 700, "head_rate": 3e-3, "body_rate": 3e-3,
    "decay": 0.95, "weight_decay": 0.1, "language_loss": 1.0, "eval_every": 350, "checkpoint_every": 700, "threads": 2,
}  # fmt: skip
RL_SETTINGS: dict[str, Any] = {
    "prompts": 64, "traces": 8, "max_thinking": 72, "max_answer": 12, "rate": 2e-4, "eval_every": 2, "parts": 2,
    "eval_problems": 400, "checkpoint_every": 100, "threads": 2, "on_alarm": "only tell",
}  # fmt: skip
EXACT = '''"""Exact step credit: 1 while every step does what the problem says, 0 from the first that does not."""


def exact(problem, steps):
    words = problem.replace(".", "").split()
    value, plan, place = int(words[2]), [], 3
    while place < len(words):
        if words[place] in ("Add", "Subtract"):
            plan.append(("+" if words[place] == "Add" else "-", int(words[place + 1])))
        else:
            plan.append(("*" if words[place] == "Double" else "/", 2))
        place += 2
    scores, right = [], True
    for k, step in enumerate(steps):
        if right and k < len(plan):
            sign, operand = plan[k]
            result = {"+": value + operand, "-": value - operand, "*": value * operand, "/": value // operand}[sign]
            right = step.strip() == f"{value} {sign} {operand} = {result}"
            value = result
        else:
            right = False
        scores.append(1.0 if right else 0.0)
    return scores
'''


def main() -> int:
    """Run every stage and print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the RL runs with the learned PRM")
    parser.add_argument("--updates", type=int, default=20, help="updates of each RL run")
    parser.add_argument(
        "--keep", type=Path, help="work in this folder and keep it; stages found there are not repeated"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("docs/pictures/rl-credit.svg"), help="where the curves go, as SVG"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        return Loop(given.keep or Path(scratch), given.updates).run(given.seeds, given.picture)


class Loop:
    """The stages, each a run folder under `root`."""

    def __init__(self, root: Path, updates: int) -> None:
        self.root, self.updates = root, updates
        self._stages = Stages(root)
        made = make_demonstrations(DEMONSTRATION_COUNT, seed=DEMONSTRATION_SEED)
        self.rows = [demonstration_row(one, number) for number, one in enumerate(made)]

    def run(self, seeds: int, picture: Path) -> int:
        """All of it; 1 when a target was missed."""
        sft = self._stages.do("sft", "sft", self.rows, DEMONSTRATION_PRESET)
        figure("supervised: minutes", sft.seconds / 60, "min")
        prm = self._prm(sft.folder.model)
        met = self._best_of(sft.folder.model, prm.folder.model)
        curves, lifts = [], []
        for seed in range(seeds):
            done = self._rl(f"rl-combined-{seed}", sft.folder.model, prm.folder.model, seed=seed)
            lifts.append(self._tell_lift(f"RL, learned PRM and outcome, seed {seed}", done))
            met &= lifts[-1] >= MUST_LIFT and done.seconds <= MUST_MINUTES * 60
            curves.append(Line("0.3 process + 0.7 outcome" if seed == 0 else "", curve(done.folder), 0))
        variants: list[tuple[str, Path | None, dict[str, Any]]] = [
            ("outcome only", None, {}),
            ("process only", prm.folder.model, {"process_weight": 1.0, "outcome_weight": 0.0}),
            ("exact step credit + outcome", None, {"prm": "exact.py:exact"}),
        ]
        for number, (name, model, settings) in enumerate(variants, 1):
            done = self._rl(f"rl-{name.replace(' ', '-')}", sft.folder.model, model, seed=0, **settings)
            lift = self._tell_lift(f"RL, {name}, seed 0", done)
            curves.append(Line(name, curve(done.folder), number))
            if name.startswith("exact"):
                figure("gap to exact step credit, greedy accuracy, seed 0", lift - lifts[0], "")
        text = line_picture("Greedy accuracy on held-out problems", "update", "accuracy", curves)
        picture.write_text(text, encoding="utf-8")
        return 0 if met else 1

    def _prm(self, policy: Path) -> Done:
        """The policy's own traces on problems of its side, labelled by the rule, teach a PRM."""
        mine = [row for row in self.rows if row.split is Split.TRAIN and is_for_prm(row)]
        kept = self.root / "traces.jsonl"
        if not kept.exists():
            problems = mine[: PRM_TRACES // 2]
            traces = write_traces(policy, problems, 2, temperature=1.0, seed=77)
            kept.write_bytes(b"\n".join(msgspec.json.encode(row) for row in traces) + b"\n")
        rows = [msgspec.json.decode(line, type=InputRow) for line in kept.read_bytes().splitlines()]
        labelled = self._stages.do("labels", "autolabel", rows, {"algebra": False, "threads": 1})
        values = {
            record.row: record.values
            for record in all_records(labelled.folder.records)
            if isinstance(record, MachineLabelRecord)
        }
        taught = [with_labels(row, values[row.id]) for row in rows if row.steps]
        figure("steps labelled wrong by the rule", labelled.summary["rule_wrong"] / labelled.summary["steps"], "share")
        done = self._stages.do("prm", "prm", taught, PRM_SETTINGS)
        figure("PRM: test AUC", done.summary["test_auc"], "")
        figure("PRM: minutes, labels and all", (done.seconds + labelled.seconds) / 60, "min")
        return done

    def _best_of(self, policy: Path, prm: Path) -> bool:
        """Best of eight by the PRM's least step score, beside majority and the mean of one."""
        from trainer.models.load import load_prm
        from trainer.rl.rewarder import PrmJudge

        problems = [row for row in self.rows if row.split is Split.TEST][:TEST_PROBLEMS]
        traces = write_traces(policy, problems, BEST_OF, temperature=1.0, seed=5)
        judge = PrmJudge(load_prm(str(prm)))
        scores = judge.scores([row.problem for row in traces], [row.steps for row in traces])
        right = np.array([answer_of(row) == row.reference for row in traces]).reshape(-1, BEST_OF)
        least = np.array([min((s for s in one if s is not None), default=0.0) for one in scores]).reshape(-1, BEST_OF)
        best = right[np.arange(len(right)), least.argmax(1)]
        majority = np.array([self._majority(traces[i : i + BEST_OF]) for i in range(0, len(traces), BEST_OF)])
        names = np.array([row.problem for row in problems])
        for name, hits in (("one trace, mean", right.mean(1)), ("majority of 8", majority), ("best of 8 by PRM", best)):
            interval = bootstrap(names, lambda weights, hits=hits: float((weights * hits).sum() / weights.sum()))
            figure(f"{name}: accuracy [{interval.low:.3f}, {interval.high:.3f}]", interval.value, "")
        lead = best.astype(float) - majority
        interval = bootstrap(names, lambda weights: float((weights * lead).sum() / weights.sum()))
        what = f"best of 8 by PRM over majority [{interval.low:+.3f}, {interval.high:+.3f}]"
        figure(what, interval.value, "", "> 0", interval.low > 0)
        return interval.low > 0

    def _majority(self, traces: Sequence[InputRow]) -> float:
        answers = Counter(answer for row in traces if (answer := answer_of(row)) is not None)
        return float(bool(answers) and answers.most_common(1)[0][0] == traces[0].reference)

    def _rl(self, name: str, policy: Path, scorer: Path | None, **settings: object) -> Done:
        rows = [row for row in self.rows if row.split is not Split.TRAIN or not is_for_prm(row)]
        models = {"model": policy} | ({"prm": scorer} if scorer else {})
        given = {**RL_SETTINGS, "model": "policy", "updates": self.updates, **settings}
        code = {}
        if "prm" in settings:
            code = {"prm": Function(self.root / "exact.py", "exact")}
            code["prm"].file.write_text(EXACT, encoding="utf-8")
        return self._stages.do(name, "rl", rows, given, models, code)

    def _tell_lift(self, name: str, done: Done) -> float:
        """Greedy accuracy on the test problems, and how far it lies above the held-out accuracy of before."""
        before = curve(done.folder)[0][1]
        after = done.summary["test_accuracy"]
        span = f"[{done.summary['test_accuracy_low']:.3f}, {done.summary['test_accuracy_high']:.3f}]"
        figure(f"{name}: greedy accuracy before, 400 held-out problems", before, "")
        figure(f"{name}: greedy accuracy after, test problems {span}", after, "")
        last = curve(done.folder)[-1][1]
        figure(f"{name}: held-out accuracy of the last weights (the best were kept)", last, "")
        is_goal = "learned PRM" in name
        met = after - before >= MUST_LIFT
        figure(f"{name}: lift", after - before, "", f">= {MUST_LIFT}" if is_goal else "", met if is_goal else None)
        must, in_time = f"<= {MUST_MINUTES:g}", done.seconds / 60 <= MUST_MINUTES
        figure(f"{name}: time", done.seconds / 60, "min", must if is_goal else "", in_time if is_goal else None)
        return after - before


def is_for_prm(row: InputRow) -> bool:
    """Which side of the training problems a row is on: the PRM's, or RL's."""
    return sha256(row.problem.encode()).digest()[0] % 2 == 0


def write_traces(
    policy: Path, rows: Sequence[InputRow], count: int, *, temperature: float, seed: int
) -> list[InputRow]:
    """`count` traces of each problem by a policy, as rows: the lines of their thinking are the steps."""
    import torch

    from trainer.models.generate import BudgetRule, Decoder, Sampling
    from trainer.models.policies import load_policy
    from trainer.models.response_tokens import ResponseTokens

    torch.set_num_threads(2)
    loaded = load_policy(str(policy))
    decoder, tokens = Decoder(loaded.language.model, loaded.tokenizer, frozen=True), ResponseTokens(loaded.tokenizer)
    sampling = Sampling(temperature=temperature, max_new_tokens=100, budget=BudgetRule(thinking=72, answer=12))
    out: list[InputRow] = []
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        prompts = [loaded.prompts.ids_of(row.problem) for row in part]
        first = seed * 1_000_003 + start * count
        made = decoder.generate(prompts, sampling, n=count, seeds=range(first, first + len(part) * count))
        for row, of_row in zip(part, made, strict=True):
            for number, one in enumerate(of_row):
                response = read_response(tokens.text(one.ids.tolist()))
                out.append(
                    msgspec.structs.replace(
                        row,
                        id=f"{row.id}-{number}",
                        trace=f"{row.id}-{number}",
                        steps=response.step_texts,
                        step_ids=tuple(range(1, len(response.steps) + 1)),
                        response=response.text,
                        votes=None,
                    )
                )
    return out


def answer_of(row: InputRow) -> str | None:
    """The final answer of a trace."""
    return read_response(row.response or "").answer


def with_labels(row: InputRow, values: Sequence[float | None]) -> InputRow:
    """The rule's word for each step as a vote; the PRM's side has a validation and a test split of its own."""
    votes = tuple(None if value is None else Votes(negative=1.0 - value, positive=value) for value in values)
    place = sha256(row.problem.encode()).digest()[1]
    split = Split.TEST if place < 26 else Split.VALIDATION if place < 52 else Split.TRAIN
    return msgspec.structs.replace(row, votes=votes, split=split)


def curve(folder: RunFolder) -> list[tuple[float, float]]:
    """(update, accuracy on held-out problems) of an RL run."""
    parts = RL_SETTINGS["parts"]
    return [
        (event.step / parts, event.values["accuracy"])
        for event in read_events(folder.events)[0]
        if isinstance(event, events.Metrics) and event.split == "validation"
    ]


if __name__ == "__main__":
    sys.exit(main())
