"""Trajectories of agents in ATIF: steps of user, system and agent, with thinking, tool calls and what they gave."""

from __future__ import annotations

from studio.exchange.chat_messages import ASSISTANT, TOOL, put_call, put_content, put_text
from studio.exchange.foreign import Composer, Json
from studio.exchange.reading import Read, budget_of, finished, object_of
from trainer.contract.records import BlockKind

FORMAT = "atif"
_ROLES = {"agent": ASSISTANT, "user": "user", "system": "system"}


def matches(value: object) -> bool:
    """Whether the record is a trajectory."""
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        return False
    return str(value.get("schema_version", "")).startswith("ATIF")


def read(value: Json, line: int = 0) -> Read:
    """The trace of a trajectory."""
    composer = Composer()
    used, model = 0, ""
    for step in value["steps"]:
        if not isinstance(step, dict):
            continue
        _put_step(composer, step)
        metrics = object_of(step.get("metrics"))
        count = metrics.get("completion_tokens")
        used += count if isinstance(count, int) else 0
        model = model or str(step.get("model_name") or "")
    agent = object_of(value.get("agent"))
    trace = finished(
        composer,
        model=model or str(agent.get("model_name") or ""),
        sample=str(value["session_id"]) if value.get("session_id") else None,
        source=str(agent.get("name") or ""),
        budget=budget_of(used=used or None),
        line=line,
    )
    return Read((trace,), composer.taken)


def _put_step(composer: Composer, step: Json) -> None:
    role = _ROLES.get(str(step.get("source")), str(step.get("source") or "user"))
    composer.begin(role, at=step.get("timestamp"), id=step.get("step_id"))
    if isinstance(step.get("reasoning_content"), str):
        composer.lift(step, "reasoning_content", BlockKind.THINKING)
    if isinstance(step.get("message"), str):
        put_text(composer, step, "message", role)
    elif isinstance(step.get("message"), list):
        put_content(composer, step, role)
    for call in step.get("tool_calls") or ():
        if isinstance(call, dict):
            put_call(composer, call)
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, dict) else None
    for result in results if isinstance(results, list) else ():
        if isinstance(result, dict):
            composer.begin(TOOL, id=result.get("source_call_id"), at=step.get("timestamp"))
            put_content(composer, result, TOOL)
