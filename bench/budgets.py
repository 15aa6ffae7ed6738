"""Thinking budgets with the tiny model, on problems where trying again helps: kept, capped, and worth their tokens.

    python -m bench.budgets [--updates 40] [--seeds 1] [--keep FOLDER] [--picture docs/pictures/budgets.svg]

A policy learns from demonstrations of as many lines as a teacher happened to write, their length in the prompt. From
there RL, once with each form of LCPO, draws a budget for every problem and pays for right answers and for keeping to
it. All are real runs of real workers. Measured on test problems, drawn at temperature 1: accuracy at each budget,
|n - b| / b, the share over the budget, and with the decoder's hard cap at the budget how often it was exceeded.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from bench.line_picture import Line, line_picture
from bench.stages import Done, Stages
from trainer.contract.forms import BudgetReward
from trainer.contract.records import InputRow, Split
from trainer.models.generate import BudgetRule, Decoder, Generated, Sampling
from trainer.models.policies import LoadedPolicy, load_policy
from trainer.models.response_tokens import ResponseTokens
from trainer.reasoning.metrics import bootstrap
from trainer.reasoning.response import read_response
from trainer.reasoning.thinking import CLOSE
from trainer.reasoning.tries import TRY_COUNT, TRY_PRESET, TRY_SEED, make_tries, try_row

LOW, HIGH, MOST = 24, 96, 120
BUDGETS = (24, 32, 40, 48, 56, 64, 72, 80, 88, 96)
PROBLEMS, UPDATES = 300, 40
CAPPED = 1000
MUST_DEVIATE, MUST_OVERRUN = 0.15, 0.15
ANSWER = 12
AGAIN: dict[str, Any] = {"model": "policy", "rate": 2e-3, "max_steps": 600, "threads": 2}
RL_SETTINGS: dict[str, Any] = {
    "model": "policy", "prompts": 32, "traces": 8, "max_thinking": MOST, "max_answer": ANSWER, "rate": 5e-4,
    "parts": 2, "budget_low": LOW, "budget_high": HIGH, "budget_rate": 0.04, "eval_every": 10, "eval_problems": 200,
    "checkpoint_every": 10, "keep_rollouts": 10, "threads": 2, "on_alarm": "only tell",
}  # fmt: skip

Floats = NDArray[np.float64]


class Kept(msgspec.Struct, frozen=True):
    """What a policy did at one budget: tokens of thinking [n] and whether the answers were right [n]."""

    budget: int
    tokens: list[int]
    right: list[bool]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(np.mean(self.right))

    @property
    def deviation(self) -> float:
        """Mean |n - b| / b."""
        return float(np.abs(np.asarray(self.tokens) - self.budget).mean() / self.budget)

    @property
    def excess(self) -> Floats:
        """Tokens over the budget [n], 0 where it was kept."""
        return np.maximum(np.asarray(self.tokens, np.float64) - self.budget, 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the accuracy."""
        return interval_of(np.asarray(self.right, np.float64))


class Told(msgspec.Struct, frozen=True):
    """A policy at every budget, asked for it alone and with the decoder's hard cap there."""

    asked: list[Kept]
    capped: list[Kept]


def main() -> int:
    """Run every stage and print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=UPDATES, help="updates of each RL run")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the RL runs")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; what stands there is not repeated")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/budgets.svg"), help="the curves, as SVG")
    given = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        stages, rows = Stages(given.keep or Path(scratch)), rows_of(TRY_COUNT)
        taught = teach(stages, rows)
        figure("supervised: time", taught.seconds / 60, "min")
        study = Study(stages, rows, taught.folder.model)
        study.tell("after demonstrations", taught.folder.model, None)
        met = True
        for form in (BudgetReward.EXACT, BudgetReward.MAX):
            for seed in range(given.seeds):
                met &= study.run(form, seed, given.updates)
    text = line_picture(
        "Accuracy on test problems at each thinking budget", "budget in tokens", "accuracy", study.lines()
    )
    given.picture.write_text(text, encoding="utf-8")
    return 0 if met else 1


def rows_of(count: int) -> list[InputRow]:
    """The demonstrations as rows, in the splits of their problems."""
    tried = make_tries(count, seed=TRY_SEED, keeps_checking=True)
    return [try_row(one, number) for number, one in enumerate(tried)]


def teach(stages: Stages, rows: Sequence[InputRow], **settings: object) -> Done:
    """A policy that has learned the demonstrations, each with the length of its thinking in the prompt.

    It learns twice: only a second round, at a high rate again, teaches what length each number means.
    """
    given = {**TRY_PRESET, "budget": BudgetReward.EXACT, **settings}
    first = stages.do("sft", "sft", rows, given)
    again = stages.do("sft-again", "sft", rows, {**given, **AGAIN, **settings}, {"model": first.folder.model})
    return Done(again.folder, first.seconds + again.seconds, again.summary)


class Study:
    """RL from a policy, and what came of it."""

    def __init__(self, stages: Stages, rows: Sequence[InputRow], policy: Path, problems: int = PROBLEMS) -> None:
        self._stages, self._rows, self._policy = stages, rows, policy
        self.problems = [row for row in rows if row.split is Split.TEST][:problems]
        self._curves: dict[str, list[Kept]] = {}

    def run(self, form: BudgetReward, seed: int, updates: int) -> bool:
        """Improve and measure; whether every target was met."""
        done = self.improve(form, seed, updates)
        name = f"{form.value}, seed {seed}"
        figure(f"{name}: time of {updates} updates", done.seconds / 60, "min")
        return self.tell(name, done.folder.model, form)

    def improve(self, form: BudgetReward, seed: int, updates: int, **settings: object) -> Done:
        """Budget-aware RL from the policy."""
        given = {**RL_SETTINGS, "budget_reward": form, "seed": seed, "updates": updates, **settings}
        name = f"rl-{form.name.lower()}-{seed}"
        return self._stages.do(name, "rl", self._rows, given, {"model": self._policy})

    def lines(self) -> list[Line]:
        """The curves, a colour a form, each point with its 95 % interval."""
        out: list[Line] = []
        forms: list[str] = []
        for name, curve in self._curves.items():
            form = name.partition(",")[0]
            told = "" if form in forms else form
            forms += [form] if told else []
            out.append(Line(told, [(float(one.budget), one.accuracy) for one in curve], forms.index(form)))
            out += [Line("", [(one.budget, y) for y in one.interval], forms.index(form)) for one in curve]
        return out

    def tell(self, name: str, policy: Path, form: BudgetReward | None) -> bool:
        """Figures of a policy; whether it met the targets of its form."""
        told = self.measured(name, policy)
        self._curves[name] = told.asked
        for one in told.asked:
            low, high = one.interval
            what = f"{name}: accuracy at a budget of {one.budget} tokens [{low:.3f}, {high:.3f}]"
            figure(what, one.accuracy, f"with {np.mean(one.tokens):.1f} tokens of thinking")
        lead = np.asarray(told.asked[-1].right, np.float64) - np.asarray(told.asked[0].right)
        low, high = interval_of(lead)
        rises = low > 0
        what = f"{name}: accuracy at {BUDGETS[-1]} over {BUDGETS[0]} tokens [{low:+.3f}, {high:+.3f}]"
        figure(what, float(lead.mean()), "", "> 0" if form else "", rises if form else None)
        kept, capped = self._tell_kept(name, told.asked, form), self._tell_capped(name, told.capped)
        return rises and kept and capped

    def measured(self, name: str, policy: Path) -> Told:
        """What the policy does, measured once and kept among the stages."""
        file = self._stages.root / f"{name}.json"
        if not file.exists():
            loaded, share = load_policy(str(policy)), -(-CAPPED // len(BUDGETS))
            asked = [self.at(loaded, budget) for budget in BUDGETS]
            capped = [self.at(loaded, budget, capped=True, most=share) for budget in BUDGETS]
            file.write_bytes(msgspec.json.encode(Told(asked, capped)))
        return msgspec.json.decode(file.read_bytes(), type=Told)

    def _tell_kept(self, name: str, curve: Sequence[Kept], form: BudgetReward | None) -> bool:
        excess = np.concatenate([one.excess for one in curve])
        deviation, overrun = float(np.mean([one.deviation for one in curve])), float((excess > 0).mean())
        met = True
        for value, what, must, of in (
            (deviation, "mean |n - b| / b", MUST_DEVIATE, BudgetReward.EXACT),
            (overrun, "share over the budget", MUST_OVERRUN, BudgetReward.MAX),
        ):
            is_goal = form is of
            met &= not is_goal or value <= must
            figure(f"{name}: {what}", value, "", f"<= {must}" if is_goal else "", value <= must if is_goal else None)
        worst = max(curve, key=lambda one: one.deviation)
        figure(f"{name}: largest mean |n - b| / b, at {worst.budget} tokens", worst.deviation, "")
        over = excess[excess > 0]
        figure(f"{name}: tokens over the budget, mean of those over", float(over.mean()) if over.size else 0.0, "")
        return met

    def _tell_capped(self, name: str, found: Sequence[Kept]) -> bool:
        count, over = sum(len(one.tokens) for one in found), sum(int((one.excess > 0).sum()) for one in found)
        figure(f"{name}: of {count} traces under the hard cap, beyond it", over, "", "0", over == 0)
        forced = sum(token == one.budget for one in found for token in one.tokens)
        figure(f"{name}: traces at the very cap", forced / count, "share")
        figure(f"{name}: accuracy under the hard cap", float(np.mean([one.accuracy for one in found])), "")
        return over == 0

    def at(self, policy: LoadedPolicy, budget: int, *, capped: bool = False, most: int | None = None) -> Kept:
        """A trace of each test problem at a budget; `capped` puts the decoder's hard cap at the budget itself."""
        rows = self.problems[:most]
        rule = BudgetRule(thinking=budget if capped else MOST, answer=ANSWER)
        sampling = Sampling(temperature=1.0, max_new_tokens=MOST + ANSWER + 16, budget=rule)
        decoder = Decoder(policy.language.model, policy.tokenizer, frozen=True)
        prompts = [policy.prompts.ids_of(row.problem, budget) for row in rows]
        seeds = range(budget * 1_000_003, budget * 1_000_003 + len(rows))
        made = [one[0] for one in decoder.generate(prompts, sampling, seeds=seeds)]
        texts = [ResponseTokens(policy.tokenizer).text(one.ids) for one in made]
        right = [read_response(text).answer == row.reference for text, row in zip(texts, rows, strict=True)]
        return Kept(budget, [thinking_of(policy, one) for one in made], right)


def thinking_of(policy: LoadedPolicy, made: Generated) -> int:
    """Tokens before the close mark, counted again from the tokens' texts; all of them where there is no mark."""
    mark = policy.prompts.plain_ids(CLOSE)
    ids = made.ids.tolist()
    places = (place for place in range(len(ids)) if ids[place : place + len(mark)] == mark)
    return next(places, len(ids))


def interval_of(values: Floats) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over problems."""
    names = np.arange(len(values))
    found = bootstrap(names, lambda weights: float((weights * values).sum() / weights.sum()), rounds=1000, seed=0)
    return found.low, found.high


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
