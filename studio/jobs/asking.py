"""A question to a model from the command line: which recipe answers it, and what came of it, out of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from studio.domain import new_uid
from studio.errors import RunError
from studio.store import conversations, routes, runs, searches, traces
from studio.store import schema as s
from trainer.contract.records import InputRow, record_id
from trainer.contract.requests import (
    AnyRequest,
    CancelRequest,
    GenerateRequest,
    RouteRequest,
    ScoreRequest,
    SearchRequest,
)
from trainer.contract.spec import Value, build
from trainer.contract.specs.generate import GenerateSpec
from trainer.contract.specs.route import OF_A_REQUEST, ROUTE_INDEX, RouteSpec
from trainer.contract.specs.search import SearchSpec, Strategy
from trainer.contract.utf8 import is_utf8
from trainer.reasoning.response import read_response

OPTIONS = {
    "model": "--model",
    "prm": "--prm",
    "reasoning": "--reasoning",
    "router": "--learned",
    "strategy": "--strategy",
}
"""Settings that have an option of their own."""
OF_A_RUN = {"threads", "batch_rows", "resident", "idle_minutes", "classifier"}
"""Settings that belong to the run that answers, not to the question."""


class Way(StrEnum):
    """How an answer is looked for."""

    SINGLE = "single"
    MAJORITY = "majority"
    BEST_OF_N = "best-of-n"
    WEIGHTED = "weighted"
    BEAM = "beam"
    LOOKAHEAD = "lookahead"
    DVTS = "dvts"
    MCTS = "mcts"


SEARCHES = {
    Way.MAJORITY: Strategy.SELF_CONSISTENCY,
    Way.BEST_OF_N: Strategy.BEST_OF_N,
    Way.WEIGHTED: Strategy.WEIGHTED,
    Way.BEAM: Strategy.BEAM,
    Way.LOOKAHEAD: Strategy.LOOKAHEAD,
    Way.DVTS: Strategy.DVTS,
    Way.MCTS: Strategy.MCTS,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks. `settings` are those of the recipe; `n` None and `difficulty` None leave its own.

    `prefix` is a text, whole steps of the trace with the uid `forked_from`, that the answer goes on from.
    """

    problem: str
    model: str
    way: Way = Way.SINGLE
    prm: str = ""
    reasoning: str = ""
    router: str = ""
    routed: bool = False
    n: int | None = None
    difficulty: float | None = None
    reference: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    forked_from: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """A question as a resident run takes it. `watched` are the traces whose text is shown while they are written."""

    recipe: str
    models: dict[str, str]
    settings: dict[str, Value]
    request: AnyRequest
    watched: dict[int, str]


@dataclass(frozen=True, slots=True)
class TraceSaid:
    """A trace of the answer: its number in the workspace, the model, its answer, and whether that is right."""

    id: int
    uid: str
    model: str
    answer: str | None
    outcome: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a question. `text` is what the user would see; `why` says who was asked and what is missing.

    `trace` is the number of the trace that answers, None where there is none.
    """

    answer: str | None
    text: str
    thinking: str
    strategy: str
    model: str
    tokens: int
    budget: dict[str, Any]
    seconds: float
    cost: float
    cached: bool
    outcome: int | None
    traces: tuple[TraceSaid, ...]
    why: tuple[str, ...]
    marked: str = ""
    details: dict[str, Any] | None = None
    trace: int | None = None


def asking_of(question: Question) -> Asking:
    """Which recipe answers, with which models and settings.

    Raises RunError for what does not go together, SpecError for a setting that the recipe does not know or take.
    """
    asking = _asking(question)
    if not isinstance(asking.request, CancelRequest | ScoreRequest):
        spec = build(asking.recipe, {**asking.settings, **asking.models, **asking.request.settings})
        if isinstance(spec, GenerateSpec | SearchSpec | RouteSpec) and (problem := spec.objection()):
            raise RunError(problem)
    return asking


def _asking(question: Question) -> Asking:
    _check(question)
    row = row_of(question.problem, question.reference)
    given: dict[str, Value] = {**question.settings, **_said(question)}
    models = {"model": question.model, "prm": question.prm} if question.prm else {"model": question.model}
    if question.routed:
        return _routed(question, row, given, models)
    run = {name: given.pop(name) for name in list(given) if name in OF_A_RUN}
    if question.way is Way.SINGLE:
        settings = {**given, "n": 1}  # its default is more
        request: AnyRequest = GenerateRequest(
            id=new_uid(), row=row, settings=settings, prefix=question.prefix, forked_from=question.forked_from
        )
        return Asking("generate", {"model": question.model}, run, request, {0: ""})
    strategy = SEARCHES[question.way]
    if not question.prm:
        run["strategy"] = strategy.value  # a run that could be asked for another would need a PRM
    else:
        given["strategy"] = strategy.value
    sought = SearchRequest(
        id=new_uid(), row=row, settings=given, prefix=question.prefix, forked_from=question.forked_from
    )
    return Asking("search", models, run, sought, {})


def _routed(question: Question, row: InputRow, given: dict[str, Value], models: dict[str, str]) -> Asking:
    more = {"reasoning": question.reasoning, "router": question.router}
    models = {name: value for name, value in {**models, **more}.items() if value}
    run = {name: given.pop(name) for name in list(given) if name not in OF_A_REQUEST}
    request = RouteRequest(id=new_uid(), row=row, settings=given)
    spec = build("route", {**run, **models, **given})
    assert isinstance(spec, RouteSpec)
    return Asking("route", models, run, request, {0: "the fast model", spec.n: "the reasoning model"})


def _said(question: Question) -> dict[str, Value]:
    """What the options say of n and difficulty."""
    said: dict[str, float | None] = {"n": question.n, "difficulty": question.difficulty}
    return {name: value for name, value in said.items() if value is not None}


def _check(question: Question) -> None:
    if not question.problem.strip():
        raise RunError("the problem is empty")
    if not is_utf8(question.problem + (question.reference or "")):
        raise RunError("the problem or its reference answer holds bytes that are no UTF-8; write it in UTF-8")
    for name, value in question.settings.items():
        if name in OPTIONS:
            raise RunError(f"--set {name}={value}: write {OPTIONS[name]} {value}")
        if name in _said(question):
            raise RunError(f"--{name} and --set {name}={value} say the same thing twice; leave one out")
    if not question.model and not question.routed:
        raise RunError("choose who answers: --model MODEL")
    if question.routed and question.way is not Way.SINGLE:
        raise RunError("--router chooses by itself how to answer; leave --strategy out")
    if question.routed and question.prefix:
        raise RunError("the router begins every answer anew; take another strategy to go on from a trace")
    if (question.reasoning or question.router) and not question.routed:
        raise RunError("--reasoning and --learned belong to --router; add it")
    n = str(_said(question).get("n", question.settings.get("n", 1)))
    if question.way is Way.SINGLE and not question.routed and n.strip() != "1":
        raise RunError(f"one trace is written, not {n}; choose --strategy majority or best-of-n")
    strategy = SEARCHES.get(question.way)
    if strategy is not None and strategy.needs_prm and not question.prm:
        raise RunError(f"--strategy {question.way} is led by scores of steps; add --prm MODEL, or choose majority")


def row_of(problem: str, reference: str | None) -> InputRow:
    """A problem that is asked, as a row; the same problem is the same row."""
    name = hashlib.sha256(f"asked\0{problem}".encode()).hexdigest()[:32]
    return InputRow(
        id=f"{name}:0", trace="", segmentation=0, problem=problem, steps=(), step_ids=(), reference=reference
    )  # fmt: skip


def answer_of(c: Connection, asking: Asking, run_id: int, seconds: float, way: Way) -> Answered:
    """What the store has of an answered question. Raises RunError where it has nothing."""
    run = runs.get(c, run_id).uid
    key = asking.request.id
    if asking.recipe == "route":
        return _of_route(c, record_id(run, key, ROUTE_INDEX), seconds)
    if asking.recipe == "search":
        return _of_search(c, run_id, record_id(run, key, 0), seconds, way)
    (trace,) = _traces(c, (record_id(run, key, 0),)) or (None,)
    if trace is None:
        raise RunError("the trace is not in the workspace; ask again")
    return _made(c, trace, strategy=way.value, seconds=seconds, traces=(trace,))


def _of_search(c: Connection, run_id: int, record: str, seconds: float, way: Way) -> Answered:
    found = next((search for search in searches.of_run(c, run_id) if search.record == record), None)
    if found is None:
        raise RunError("the search is not in the workspace; ask again")
    tree = searches.read(c, found.id)
    ids = [i for i in tree.trace_ids if i is not None]
    every = _traces_by_id(c, ids)
    place = tree.trace_ids[found.chosen] if found.chosen >= 0 else None
    chosen = next((trace for trace in every if trace.id == place), None)
    votes = tuple(f"{vote.count} of {found.traces} traces answer {vote.answer}" for vote in tree.votes)
    details = {
        "nodes": found.nodes,
        "prm_calls": found.spent.prm_calls,
        "tokens_read": found.spent.tokens_read,
        "votes": [{"answer": vote.answer, "count": vote.count, "weight": vote.weight} for vote in tree.votes],
    }
    return _made(
        c, chosen, strategy=way.value, seconds=seconds, traces=every, answer=found.answer, tokens=found.spent.tokens,
        why=votes or ("no trace has an answer",), details=details, outcome=found.outcome, model=found.model,
    )  # fmt: skip


def _of_route(c: Connection, record: str, seconds: float) -> Answered:
    whole = routes.by_record(c, record)
    route = whole.route
    every = _traces(c, tuple(step.trace for step in whole.asked if step.trace))
    standing = whole.asked[whole.answered_by] if whole.answered_by >= 0 else None
    chosen = next((trace for trace in every if standing is not None and trace.uid == standing.trace), None)
    why = tuple(f"{step.model}: {step.why}{f' ({step.problem})' if step.problem else ''}" for step in whole.asked)
    details = {
        "difficulty": route.difficulty,
        "level": route.level,
        "steps": [
            {"tier": step.tier, "model": step.model, "answer": step.answer, "confidence": step.confidence,
             "signals": step.signals, "cost": step.spent.cost, "seconds": step.spent.seconds}
            for step in whole.asked
        ],
    }  # fmt: skip
    return _made(
        c, chosen, strategy="router", seconds=seconds, traces=every, answer=route.answer, tokens=route.tokens, why=why,
        details=details, outcome=route.outcome, model=route.model, cost=route.cost, cached=route.cached,
        marked=route.marked,
    )  # fmt: skip


def _made(
    c: Connection,
    chosen: TraceSaid | None,
    *,
    strategy: str,
    seconds: float,
    traces: Sequence[TraceSaid],
    **known: Any,  # noqa: ANN401 - fields of Answered
) -> Answered:
    """With the text, thinking and budget of the chosen trace; `known` goes before what it says."""
    text = thinking = ""
    budget: dict[str, Any] = {}
    drawn: int | None = None
    if chosen is not None:
        response = read_response(_text(c, chosen.id))
        text = response.visible.of(response.text).strip()
        thinking = response.thinking.of(response.text).strip() if response.thinking is not None else ""
        said = conversations.read(c, chosen.id).budget
        names = ("thinking_granted", "answer_granted", "thinking", "answer", "used", "ended")
        budget = {name: getattr(said, name) for name in names}
        drawn = (c.scalar(select(s.trace.c.extra).where(s.trace.c.id == chosen.id)) or {}).get("drawn")
    given: dict[str, Any] = {
        "answer": chosen.answer if chosen else None,
        "outcome": chosen.outcome if chosen else None,
        "model": chosen.model if chosen else "",
        "tokens": drawn or budget.get("used") or 0,
        "cost": 0.0,
        "cached": False,
        "why": (),
        "trace": chosen.id if chosen else None,
    }
    return Answered(
        text=text, thinking=thinking, strategy=strategy, budget=budget, seconds=seconds, traces=tuple(traces),
        **given | known,
    )  # fmt: skip


def _text(c: Connection, trace_id: int) -> str:
    return traces.load(c, trace_id).text


def _traces(c: Connection, uids: Sequence[str]) -> tuple[TraceSaid, ...]:
    """Traces by uid, in that order."""
    found = {row.uid: row.id for row in c.execute(select(s.trace.c.uid, s.trace.c.id).where(s.trace.c.uid.in_(uids)))}
    return _traces_by_id(c, [found[uid] for uid in dict.fromkeys(uids) if uid in found])


def _traces_by_id(c: Connection, ids: Sequence[int]) -> tuple[TraceSaid, ...]:
    t = s.trace.c
    query = select(t.id, t.uid, t.model, t.answer, t.outcome).where(t.id.in_(ids))
    found = {row.id: row for row in c.execute(query)}
    return tuple(
        TraceSaid(i, found[i].uid, found[i].model or "", found[i].answer, found[i].outcome) for i in ids if i in found
    )
