"""A trace continued from within by a policy: where it can be cut, what is asked, and what came of it, by trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from studio.domain import new_uid
from studio.errors import ConflictError, RunError
from studio.jobs.roles import POLICIES
from studio.store import conversations, models, replies, runs, token_values, traces
from studio.store import schema as s
from studio.store.models import StoredModel
from trainer.contract.generated import Settings
from trainer.contract.records import InputRow, record_id
from trainer.contract.requests import GenerateRequest
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.segment import Span

THINKING, ANSWER = 512, 128  # tokens where nobody said how many
CHARACTERS_A_TOKEN = 2  # few, so that a trace without a known budget has room for as much again


@dataclass(frozen=True, slots=True)
class Start:
    """A trace that can be continued. `cuts[i]` is the code point behind its first i steps and the space after them.

    `text` is its response alone, `steps` and `cuts` are places in it: where a trace tells the question too, or marks
    its thinking otherwise, they are not those of the trace's own text.
    `thinking` and `answer_tokens` are budgets in tokens, `left` the tokens from each cut to its end; with temperature
    and top_p they are those that made the trace, where its run said so.
    """

    trace_id: int
    uid: str
    version: int
    problem: str
    reference: str | None
    text: str
    steps: tuple[Span, ...]
    cuts: tuple[int, ...]
    answer: str | None
    outcome: int | None
    model: str
    thinking: int
    answer_tokens: int
    left: tuple[int, ...]
    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def most(self) -> int:
        """The most tokens of one continuation from the beginning."""
        return self.thinking + self.answer_tokens

    def prefix(self, count: int) -> str:
        """The text up to behind its first `count` steps."""
        return self.text[: self.cuts[count]]


@dataclass(frozen=True, slots=True)
class Continuation:
    """A trace that a policy wrote behind a prefix; `tokens` were drawn for it, kept or not.

    `right` None: not graded, or it could not be decided.
    """

    trace_id: int
    answer: str | None
    right: bool | None
    tokens: int
    text: str = ""


def read_start(c: Connection, trace_id: int) -> Start:
    """A trace as something to continue. Raises NotFoundError, RunError with what to do instead."""
    trace = traces.load(c, trace_id)
    told = conversations.read(c, trace_id)
    turns = conversations.turns_of(trace.text, told.turns or trace.messages)
    try:
        reply = replies.reply_of(trace_id, trace.text, turns)
    except ConflictError as error:
        raise RunError(str(error)) from error
    found = [reply.span(Span(step.start, step.end)) for step in trace.segmentation.steps]
    steps = tuple(span for span in found if span is not None)
    if not found:
        raise RunError(f"trace {trace_id} has no steps; cut it into steps first")
    if len(steps) < len(found):
        raise RunError(
            f"{len(found) - len(steps)} of the {len(found)} steps of trace {trace_id} are not of its response, or lie "
            "in its thinking and its answer at once; cut it into steps anew"
        )
    text = reply.text
    cuts = (steps[0].start, *(_behind_space(text, step.end) for step in steps))
    budget = told.budget
    room = len(text) // CHARACTERS_A_TOKEN
    used = budget.used or room
    how = (c.scalar(select(s.trace.c.extra).where(s.trace.c.id == trace_id)) or {}).get("settings", {})
    return Start(
        trace_id,
        trace.uid,
        trace.segmentation.version,
        trace.problem.prompt,
        (trace.problem.reference_answer or "").strip() or None,
        text,
        steps,
        cuts,
        trace.answer,
        trace.outcome,
        trace.model,
        THINKING + room if budget.thinking_granted is None else budget.thinking_granted,
        ANSWER + room if budget.answer_granted is None else budget.answer_granted,
        tuple(round(used * (len(text) - cut) / max(1, len(text))) for cut in cuts),
        float(how.get("temperature", 1.0)) or 1.0,  # at 0 all continuations would be one
        float(how.get("top_p", 1.0)),
    )


def policies(c: Connection) -> tuple[StoredModel, ...]:
    """Models that can continue a trace, newest first."""
    return tuple(model for model in models.all_models(c) if model.kind in POLICIES)


def asked(start: Start, prefix: str, settings: Settings) -> GenerateRequest:
    """A request for continuations behind a prefix of the trace (or an edit of one)."""
    row = InputRow(
        id=f"{start.uid}:{start.version}", trace="", segmentation=0, problem=start.problem, steps=(), step_ids=(),
        reference=start.reference,
    )  # fmt: skip
    return GenerateRequest(id=new_uid(), row=row, prefix=prefix, forked_from=start.uid, settings=settings)


def read_continuations(c: Connection, run_id: int, request: str, number: int) -> tuple[Continuation, ...]:
    """What a request made, in order. Raises RunError where something is missing."""
    run = runs.get(c, run_id).uid
    uids = [record_id(run, request, place) for place in range(number)]
    t = s.trace.c
    query = select(t.uid, t.id, t.answer, t.outcome, t.text, t.extra).where(t.uid.in_(uids))
    found = {row.uid: row for row in c.execute(query)}
    if len(found) < number:
        raise RunError(f"{number - len(found)} of {number} continuations are not in the workspace; ask again")
    return tuple(
        Continuation(
            row.id,
            row.answer,
            None if row.outcome is None else bool(row.outcome),
            _drawn(c, row.id, row.extra or {}),
            row.text,
        )
        for row in (found[uid] for uid in uids)
    )


def agreeing(found: Sequence[Continuation], answer: str) -> tuple[Continuation, ...]:
    """The same, `right` where the answer equals this one by value. Raises GraderError. Background thread."""
    with Grader(1) as grader:
        grades = grader.grade([Pair(one.answer, answer) for one in found], form=GradeForm.LENIENT)
    return tuple(
        Continuation(one.trace_id, one.answer, grade.correct, one.tokens, one.text)
        for one, grade in zip(found, grades, strict=True)
    )


def _drawn(c: Connection, trace_id: int, extra: Mapping[str, Any]) -> int:
    """As the run counted; of a run that did not say, the tokens that are kept."""
    if extra.get("drawn") is not None:
        return int(extra["drawn"])
    values = token_values.read(c, trace_id, alternatives=False)
    return 0 if values is None else int((values.starts >= int(extra.get("forked_at") or 0)).sum())


def _behind_space(text: str, point: int) -> int:
    return point + len(text[point:]) - len(text[point:].lstrip())
