"""How long a policy was taught to think, and how a PRM scores, where that is known; a question that keeps to it.

A policy taught to hear its budget thinks less, not more, when it is granted what it never heard in its lessons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from studio.jobs import shipped
from studio.jobs.asking import SEARCHES, Question
from studio.store import models
from studio.store import schema as s
from studio.store.models import StoredModel
from trainer.contract.specs.generate import GenerateSpec
from trainer.contract.specs.route import RouteSpec
from trainer.contract.specs.search import SearchSpec
from trainer.reasoning.budget import allocate

THINKING = "max_thinking_tokens"


@dataclass(frozen=True, slots=True)
class Taught:
    """The least and the most tokens of thinking in a policy's lessons."""

    low: int
    high: int


def taught(c: Connection, model: StoredModel) -> Taught | None:
    """What a policy was taught to hear; None where nothing says so."""
    if model.run_id is None:
        return Taught(*shipped.THINKING) if shipped.is_policy(model) else None
    row = c.execute(select(s.run.c.recipe, s.run.c.spec).where(s.run.c.id == model.run_id)).one_or_none()
    if row is None or row.recipe != "rl":
        return None
    given = (row.spec or {}).get("parameters", {})
    low, high = int(given.get("budget_low") or 0), int(given.get("budget_high") or 0)
    return Taught(min(low, high), high) if high > 0 else None


def kept_to(c: Connection, question: Question) -> tuple[Question, str]:
    """The question with a budget that its policy knows where none is named; a word where the grant is another.

    Settings that are no numbers are left for the recipe to refuse.
    """
    model = models.find(c, question.model) if question.model else None
    known = None if model is None else taught(c, model)
    if model is None or known is None or question.settings.get("tell_budget") == "never":
        return question, ""
    kept = question
    if THINKING not in question.settings:
        kept = replace(question, settings={**question.settings, THINKING: str(known.high)})
    granted = _granted(kept)
    if granted is None or not granted or known.low <= granted <= known.high:
        return kept, ""
    return kept, (
        f"{model.name} was taught to think for {known.low} to {known.high} tokens; granted {granted} it may think "
        f"less and answer worse (--set {THINKING}=N grants N)"
    )


def scored_as_taught(c: Connection, question: Question) -> Question:
    """With the PRM that travels with the app, and nothing said of it, a trace is judged by its last step's score."""
    is_led = question.way in SEARCHES and SEARCHES[question.way].needs_prm and not question.routed
    prm = models.find(c, question.prm) if is_led and question.prm else None
    if prm is None or not shipped.is_prm(prm) or "aggregation" in question.settings:
        return question
    return replace(question, settings={**question.settings, "aggregation": shipped.AGGREGATION.value})


def _granted(question: Question) -> int | None:
    """Tokens of thinking; None where the settings are no numbers."""
    spec = RouteSpec() if question.routed else SearchSpec() if question.way in SEARCHES else GenerateSpec()
    given = question.settings
    share = given.get("difficulty", question.difficulty)
    try:
        thinking = int(given[THINKING])
        answer = int(given.get("max_answer_tokens", spec.max_answer_tokens))
        difficulty = -1.0 if share is None else float(share)
    except ValueError:
        return None
    is_share = 0.0 <= difficulty <= 1.0 and thinking + answer > 0
    return allocate(thinking + answer, difficulty).thinking if is_share else thinking
