"""What is to be said of an order before it starts: why it cannot, what a person should know, what its rows hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from studio.errors import RunError
from studio.jobs import roles, suite_rows, templates, user_code
from studio.jobs.values import RunOrder
from studio.settings import Settings
from studio.store.rows import NO_REFERENCE, Counts
from trainer.contract import launch
from trainer.contract.records import Split
from trainer.contract.spec import SpecError, build, code_of, is_code
from trainer.contract.specs import eval_sets
from trainer.contract.specs.autolabel import AutolabelSpec
from trainer.contract.specs.generate import GenerateSpec
from trainer.contract.specs.monitor import MonitorSpec, MonitorTask
from trainer.contract.specs.orm import OrmSpec, OutcomeFrom
from trainer.contract.specs.rl import Algorithm, Generation, RlSpec
from trainer.contract.specs.route import RouteSpec
from trainer.contract.specs.search import SearchSpec
from trainer.contract.specs.sft import SftSpec
from trainer.reasoning import judging
from trainer.reasoning.credit import CreditSettings

_MONITOR = re.compile(
    r"\btrainer\.reasoning\b[^\n]*\b(?:consistency|word_scores|monitor_looks|safety|suspicions|agreement)\b"
    r"|\bmonitor\.json\b|\bsteplens\b[^\n]*\bflags\b"
)
_OUTCOMES: dict[OutcomeFrom, Callable[[Counts], int]] = {
    OutcomeFrom.KNOWN: lambda counts: counts.known,
    OutcomeFrom.RECORDED: lambda counts: counts.recorded,
    OutcomeFrom.ANSWER: lambda counts: counts.referenced,
    OutcomeFrom.RATINGS: lambda counts: counts.judged,
}
_WANTED = {
    OutcomeFrom.KNOWN: "a recorded outcome, a reference answer, or ratings of all steps",
    OutcomeFrom.RECORDED: "a recorded outcome",
    OutcomeFrom.ANSWER: "a reference answer",
    OutcomeFrom.RATINGS: "ratings of all steps",
}


def objections(order: RunOrder, counts: Counts) -> tuple[str, ...]:
    """Why a checked order cannot start; empty when it can."""
    found = []
    if counts.rows == 0:
        reasons = ", ".join(f"{why}: {number}" for why, number in counts.left_out.items())
        found.append(f"no row goes in ({reasons or suite_rows.why_empty(order)})")
    found += [*roles.missing(order), *suite_rows.objections(order), *user_code.objections(order)]
    found += [*_of_sets(order), *_of_launch(order)]
    if counts.rows and order.recipe in ("prm", "orm", "sft", "rl") and not counts.per_split.get(Split.TRAIN, 0):
        found.append("every row is held out for validation or test; choose more problems")
    if counts.rows:
        found += _of_recipe(order, counts)
    return tuple(found)


def _of_launch(order: RunOrder) -> list[str]:
    """Why it cannot run where it shall."""
    found = list(launch.objections(order.recipe, order.launch))
    if order.launch.is_elsewhere:
        try:
            templates.find(Settings.load(), order.launch)
        except RunError as error:
            found.append(str(error))
        if order.parameters.get("resident"):
            found.append("a run that stays and answers requests runs on this machine; choose it")
    return found


def _of_recipe(order: RunOrder, counts: Counts) -> list[str]:
    """What only this recipe needs of its rows and settings."""
    match build(order.recipe, dict(order.parameters)):
        case OrmSpec(outcome=outcome) if not _OUTCOMES[outcome](counts):
            return [f"no trace has {_WANTED[outcome]}; choose others, or take the outcome from elsewhere"]
        case SftSpec(drop_rated_wrong=True) if counts.wrong == counts.rows:
            return ["every trace has a step rated negative, and those are left out; choose others"]
        case RlSpec(flags_as_reward=False) as spec if _pays_by_flags(spec):
            return [
                "your own reward reads a safety monitor, and a policy that is trained against one learns to hide "
                "what it finds; leave it out, or say that you want this: flags_as_reward"
            ]
        case RlSpec(generation=Generation.SERVER) if order.launch.total > 1:
            return [
                "a server writes rollouts for one training process, which hands it the weights; set processes and "
                "machines to 1, or generation to own"
            ]
        case RlSpec(algorithm=algorithm, traces=1) if algorithm is not Algorithm.PPO:
            return [f"{algorithm.value} compares the traces of a problem; write at least 2 of each"]
        case GenerateSpec() | RouteSpec() | SearchSpec() as spec if problem := spec.objection():
            return [problem]
        case AutolabelSpec(method=method) if method.uses_policy and not counts.referenced:
            return ["no problem has a reference answer, which rollouts must reach; label by the rule alone"]
        case _ if order.recipe == "prm" and not (counts.negative and (counts.positive or counts.neutral)):
            return ["all labels are on one side; a PRM needs positive and negative steps"]
    return []


def _cost_of_judging(spec: MonitorSpec, counts: Counts) -> str:
    """What the judge will be asked, from the mean length of the rows."""
    rows = min(counts.rows, spec.judge_limit or counts.rows)
    lengths = [counts.characters // max(counts.rows, 1)] * rows
    prices = {"price_input": spec.price_input, "price_output": spec.price_output}
    said = judging.cost(lengths, spec.judge_tokens, **prices).sentence()
    return said[0].upper() + said[1:]


def _pays_by_flags(spec: RlSpec) -> bool:
    """Whether the reward of the user's own uses a monitor of ours, or what it found."""
    if not is_code(spec.reward):
        return False
    path, _ = code_of(spec.reward)
    return path.is_file() and _MONITOR.search(path.read_text("utf-8", "replace")) is not None


def _of_sets(order: RunOrder) -> list[str]:
    """Whether the held-out set that decides is one of those that are named."""
    try:
        sets = eval_sets.parse(str(order.parameters.get("eval_sets", "")))
        eval_sets.check_best(sets, str(order.parameters.get("best_by", "")))
    except SpecError as error:
        return [str(error)]
    return []


def warnings(order: RunOrder, counts: Counts) -> tuple[str, ...]:
    """What a person should know before a checked order starts, as sentences."""
    found: list[str] = []
    match build(order.recipe, dict(order.parameters)):
        case OrmSpec(outcome=outcome):
            found += _few(counts.rows - _OUTCOMES[outcome](counts), f"without {_WANTED[outcome]}", "teaches nothing")
        case SftSpec(drop_rated_wrong=drop):
            does = "is left out" if drop else "is learned all the same"
            found += _few(counts.wrong, "with a step rated negative", does)
        case RlSpec() as spec:
            found += _of_rewards(spec, counts)
        case AutolabelSpec(method=method) if method.uses_policy:
            found += _few(counts.rows - counts.referenced, "without a reference answer", "gets no rollouts")
        case MonitorSpec(task=MonitorTask.SCORE) as spec if spec.judge or spec.judge_url:
            found.append(f"{_cost_of_judging(spec, counts)}.")
    judged = sum(number for split, number in counts.by_machine.items() if split is not Split.TRAIN)
    if judged:
        found.append(f"{judged:,} held-out traces have machine labels alone: its figures measure agreement with those.")
    held_out = counts.rows - counts.per_split.get(Split.TRAIN, 0)
    if order.recipe in ("sft", "rl") and counts.rows and not held_out:
        found.append("No problem is held out: nothing says how well it does on new ones.")
    return tuple(found)


def _of_rewards(spec: RlSpec, counts: Counts) -> list[str]:
    weight = spec.process_weight if spec.prm else 0.0
    credit = CreditSettings(
        form=spec.credit, process_weight=weight, outcome_weight=spec.outcome_weight, scale=spec.scale
    )
    found = [*credit.warnings]
    if spec.process_weight > 0 and not spec.prm:
        found.append("No PRM is chosen: the outcome alone pays.")
    if spec.reward.strip() and spec.reward_weight == 0:
        found.append("Your own reward weighs 0; give it a weight.")
    without = counts.left_out.get(NO_REFERENCE, 0)
    return [*found, *_few(without, "without a reference answer", "is left out: nothing can say what is right")]


def _few(number: int, which: str, does: str) -> list[str]:
    """A sentence about so many traces; none about no trace."""
    if number <= 0:
        return []
    verbs = {"teaches": "teach", "is": "are", "gets": "get"}
    first, _, rest = does.partition(" ")
    return [f"{number:,} trace{'' if number == 1 else 's'} {which} {first if number == 1 else verbs[first]} {rest}."]


def facts(order: RunOrder, counts: Counts) -> dict[str, int]:
    """What is known of the rows besides labels, in words, where the recipe asks for it."""
    machine = {"labelled by machine alone": sum(counts.by_machine.values())} if order.selection.machine else {}
    known = {
        "with a reference answer": counts.referenced,
        "with a recorded outcome": counts.recorded,
        "with all steps rated, or one negative": counts.judged,
        "with a step rated negative": counts.wrong,
    }
    asked = {"orm": (0, 1, 2), "sft": (3,), "autolabel": (0,)}.get(order.recipe, ())
    return machine | {name: number for place, (name, number) in enumerate(known.items()) if place in asked}
