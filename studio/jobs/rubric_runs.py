"""Runs of the recipe `rubric`: why one cannot start, and what it will ask, cost and take, before it starts."""

from __future__ import annotations

from sqlalchemy import Connection

from studio.errors import NotFoundError
from studio.jobs.needs import weights_of
from studio.jobs.roles import JUDGE
from studio.jobs.values import RunOrder
from studio.store import rubrics
from studio.store.rows import Counts
from studio.workspace import Workspace
from trainer.contract.rubrics import RubricCard
from trainer.contract.spec import build
from trainer.contract.specs.rubric import RubricBy, RubricSpec
from trainer.reasoning import rubric_asks
from trainer.reasoning.judging import JudgeCost

LEAST_EXAMPLES = 3
CLASSIFIED_STEPS_A_SECOND = 1500.0
LOCAL_FLOPS, GPU_FLOPS = 6.0e10, 2.0e13  # fp32 on a few cores, on a GPU; assumptions
WRITTEN_COST = 4.0  # a token written one after the other, in tokens read at once; an assumption
START_SECONDS = 10.0


def objections(c: Connection, order: RunOrder) -> tuple[str, ...]:
    """Why a checked order of a rubric cannot start; empty for other recipes."""
    if order.recipe != "rubric":
        return ()
    spec = _spec(order)
    try:
        card = rubrics.card(c, spec.rubric)
    except NotFoundError as error:
        return (str(error),)
    positive = sum(example.positive for example in card.examples)
    if spec.by is RubricBy.CLASSIFIER and positive < LEAST_EXAMPLES:
        return (
            f"rubric {card.name!r} has {positive} examples and confirmed hits; a classifier needs {LEAST_EXAMPLES}: "
            "write more, or confirm what the rule finds",
        )
    if spec.by is RubricBy.JUDGE and not (spec.judge or spec.judge_url):
        return ("choose the model that judges, or give an address",)
    return ()


def cost(c: Connection, order: RunOrder, counts: Counts) -> JudgeCost:
    """What a checked order will ask, from the mean length of its rows; a classifier asks nothing.

    Raises NotFoundError.
    """
    spec, card = _spec(order), rubrics.card(c, str(order.parameters["rubric"]))
    if spec.by is RubricBy.CLASSIFIER:
        return JudgeCost(counts.rows)
    return _of_judge(spec, card, counts)


def warnings(c: Connection, order: RunOrder, counts: Counts) -> tuple[str, ...]:
    """What a judge will be asked and cost, in words."""
    if order.recipe != "rubric" or _spec(order).by is not RubricBy.JUDGE or objections(c, order):
        return ()
    return (f"{cost(c, order, counts).sentence()}.",)


def time_of(workspace: Workspace, order: RunOrder, counts: Counts) -> tuple[float | None, str]:
    """Seconds and what they rest on, while no run like it has finished."""
    spec = _spec(order)
    if spec.by is RubricBy.CLASSIFIER:
        seconds = START_SECONDS + counts.steps / CLASSIFIED_STEPS_A_SECOND
        return seconds, f"time: assumed, {CLASSIFIED_STEPS_A_SECOND:,.0f} steps a second"
    with workspace.database.read() as c:
        if objections(c, order):
            return None, "time: unknown"
        asked = cost(c, order, counts)
    if spec.judge_url:
        seconds = START_SECONDS + asked.questions * rubric_asks.QUESTION_SECONDS / spec.parallel
        return seconds, f"time: assumed, {rubric_asks.QUESTION_SECONDS:g} s a question, {spec.parallel} at once"
    weights = weights_of(workspace, order, JUDGE)
    if not weights:
        return None, "time: unknown, as the judge is not on this machine"
    flops = GPU_FLOPS if order.device.startswith("cuda") else LOCAL_FLOPS
    work = 2.0 * weights * (asked.tokens_read + WRITTEN_COST * asked.tokens_written)
    return START_SECONDS + work / flops, "time: assumed from the judge's size, if it always writes as much as it may"


def _of_judge(spec: RubricSpec, card: RubricCard, counts: Counts) -> JudgeCost:
    number = min(counts.rows, spec.judge_limit or counts.rows)
    lengths = [counts.characters // max(counts.rows, 1)] * number
    prices = {"price_input": spec.price_input, "price_output": spec.price_output}
    return rubric_asks.cost(card, lengths, spec.judge_tokens, **prices)


def _spec(order: RunOrder) -> RubricSpec:
    spec = build("rubric", dict(order.parameters))
    assert isinstance(spec, RubricSpec)
    return spec
