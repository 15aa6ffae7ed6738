"""Reports that other programs and people read: Markdown, JSON Lines, Inspect's JSON and OTLP JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from studio.exchange.trace_report import ToldBlock, ToldBookmark, ToldTrace, ToldTurn

OUTCOMES = {None: "not graded", 0: "wrong", 1: "right"}
_TICKS = re.compile(r"`+")


def markdown(title: str, told: Iterable[ToldTrace]) -> Iterator[str]:
    """Headings, facts, and every block in a fence that its text cannot close."""
    yield f"# {_line(title)}\n"
    for trace in told:
        facts = [trace.place, trace.model, OUTCOMES[trace.outcome], f"answer {trace.answer}" if trace.answer else ""]
        yield f"\n## Trace {trace.id}\n\n{_line(' · '.join(fact for fact in facts if fact))}\n\n{_fenced(trace.prompt)}"
        for flag in trace.flags:
            known = f"severity {flag.severity}, {flag.state}"
            yield f"\n- **{_line(flag.category)}** ({known}): “{_line(flag.quote)}” {_line(flag.why)}\n"
        for mark in trace.bookmarks:
            tags = f" [{_line(', '.join(mark.tags))}]" if mark.tags else ""
            yield f"\n- bookmark of {_line(mark.author)}{tags}: “{_line(mark.quote)}” {_line(mark.comment)}\n"
        for turn in trace.turns:
            yield f"\n### {_line(' · '.join(part for part in (turn.role, turn.name, turn.at) if part))}\n"
            for block in turn.blocks:
                if block.text.strip():
                    yield f"\n{block.kind}\n\n{_fenced(block.text)}"
        scored = [step for turn in trace.turns for block in turn.blocks for step in block.steps if step.scores]
        if scored:
            yield "\n| step | score |\n|---|---|\n"
            for step in scored:
                yield f"| {(step.ordinal or 0) + 1} | {', '.join(f'{_line(n)} {v:.2f}' for n, v in step.scores)} |\n"


def json_lines(told: Iterable[ToldTrace]) -> Iterator[str]:
    """One object a trace, as this program sees it."""
    for trace in told:
        yield json.dumps(asdict(trace), ensure_ascii=False, allow_nan=False) + "\n"


def inspect_json(title: str, told: Iterable[ToldTrace]) -> Iterator[str]:
    """An Inspect log of version 2: one sample a trace, scores and flags in its metadata."""
    samples = [sample(trace) for trace in told]
    models = sorted({trace["output"]["model"] for trace in samples}) or ["unknown"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    dataset = {"name": title, "samples": len(samples), "sample_ids": [each["id"] for each in samples]}
    header = {"created": now, "task": title, "task_id": _id(title), "run_id": _id(title, now), "model": models[0]}
    log = {
        "version": 2,
        "status": "success",
        "eval": {**header, "dataset": dataset, "config": {}, "packages": {}, "task_version": 0, "task_args": {}},
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": len(samples), "completed_samples": len(samples), "scores": []},
        "stats": {"started_at": now, "completed_at": now, "model_usage": {}},
        "samples": samples,
    }
    yield json.dumps(log, ensure_ascii=False, allow_nan=False) + "\n"


def otlp_json(told: Iterable[ToldTrace]) -> Iterator[str]:
    """OTLP: one span a trace with the GenAI conventions' messages; flags and scores as events."""
    spans = [span(trace) for trace in told]
    scope = {"scope": {"name": "steplens"}, "spans": spans}
    resource = {"attributes": [_attribute("service.name", "steplens")]}
    yield json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, ensure_ascii=False) + "\n"


def _line(text: str) -> str:
    """Text that is one line and no markup."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}\n"


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:22]


def sample(trace: ToldTrace) -> dict[str, Any]:
    """A sample of an Inspect log."""
    messages = [_message(trace, at, turn) for at, turn in enumerate(trace.turns)]
    if not any(turn.role == "user" for turn in trace.turns):
        messages.insert(0, {"id": _id(trace.uid, "problem"), "role": "user", "content": trace.prompt})
    last = next((m for m in reversed(messages) if m["role"] == "assistant"), None)
    choices = [] if last is None else [{"message": last, "stop_reason": "stop"}]
    grade = {} if trace.outcome is None else {"match": {"value": "C" if trace.outcome else "I", "answer": trace.answer}}
    return {
        "id": trace.uid,
        "epoch": 1,
        "input": trace.prompt,
        "target": trace.reference or "",
        "messages": messages,
        "output": {"model": trace.model or "unknown", "choices": choices},
        "scores": grade,
        "metadata": {
            "steps": _step_scores(trace),
            "flags": [asdict(flag) for flag in trace.flags],
            "bookmarks": [asdict(mark) for mark in trace.bookmarks],
        },
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _message(trace: ToldTrace, at: int, turn: ToldTurn) -> dict[str, Any]:
    role = turn.role if turn.role in ("system", "user", "assistant", "tool") else "user"
    made: dict[str, Any] = {"id": _id(trace.uid, str(at)), "role": role}
    if role == "tool":
        return made | {"content": "".join(block.text for block in turn.blocks), "function": turn.name or None}
    parts = [_part(block) for block in turn.blocks if block.kind != "markup"]
    return made | {"content": parts if role == "assistant" else "".join(block.text for block in turn.blocks)}


def _part(block: ToldBlock) -> dict[str, Any]:
    if block.kind == "thinking":
        return {"type": "reasoning", "reasoning": block.text, "redacted": False}
    if block.kind == "summary":
        return {"type": "reasoning", "reasoning": "", "summary": block.text, "redacted": True}
    if block.kind == "redacted":
        return {"type": "reasoning", "reasoning": block.text, "redacted": True}
    return {"type": "text", "text": block.text}


def _step_scores(trace: ToldTrace) -> list[dict[str, Any]]:
    steps = (step for turn in trace.turns for block in turn.blocks for step in block.steps)
    return [
        {"step": step.ordinal, "scores": dict(step.scores), "ratings": list(step.ratings)}
        for step in steps
        if step.ordinal is not None and (step.scores or step.ratings)
    ]


def span(trace: ToldTrace) -> dict[str, Any]:
    """A span of OTLP."""
    last = max((at for at, turn in enumerate(trace.turns) if turn.role == "assistant"), default=len(trace.turns) - 1)
    start, end = _nanoseconds(trace, first=True), _nanoseconds(trace, first=False)
    attributes = [
        _attribute("gen_ai.operation.name", "chat"),
        _attribute("gen_ai.request.model", trace.model),
        _attribute("gen_ai.input.messages", _messages(trace.prompt, trace.turns[:last])),
        _attribute("gen_ai.output.messages", _messages("", trace.turns[last:])),
    ]
    if trace.budget.used is not None:
        attributes.append({"key": "gen_ai.usage.output_tokens", "value": {"intValue": str(trace.budget.used)}})
    events = [
        {
            "name": "steplens.flag",
            "timeUnixNano": end,
            "attributes": [_attribute(k, str(v)) for k, v in asdict(f).items()],
        }
        for f in trace.flags
    ]
    events += [
        {"name": "steplens.bookmark", "timeUnixNano": end, "attributes": [_attribute("steplens.bookmark", _json(mark))]}
        for mark in trace.bookmarks
    ]
    events += [
        {"name": "steplens.step", "timeUnixNano": end, "attributes": [_attribute("steplens.step", json.dumps(scored))]}
        for scored in _step_scores(trace)
    ]
    return {
        "traceId": hashlib.sha256(trace.uid.encode()).hexdigest()[:32],
        "spanId": hashlib.sha256(trace.uid.encode()).hexdigest()[32:48],
        "name": f"chat {trace.model}".strip(),
        "kind": 3,
        "startTimeUnixNano": start,
        "endTimeUnixNano": end,
        "attributes": attributes,
        "events": events,
    }


def _messages(prompt: str, turns: Sequence[ToldTurn]) -> str:
    kinds = {"thinking": "reasoning", "summary": "reasoning", "redacted": "reasoning"}
    said = [
        {
            "role": turn.role,
            "parts": [
                {"type": kinds.get(block.kind, "text"), "content": block.text}
                for block in turn.blocks
                if block.kind != "markup"
            ],
        }
        for turn in turns
    ]
    if prompt and not any(turn.role == "user" for turn in turns):
        said.insert(0, {"role": "user", "parts": [{"type": "text", "content": prompt}]})
    return json.dumps(said, ensure_ascii=False)


def _nanoseconds(trace: ToldTrace, *, first: bool) -> str:
    """Of the first or last time that is known; 0 when none is."""
    times = [time for turn in trace.turns for time in (turn.at, turn.until) if time]
    for time in times if first else reversed(times):
        try:
            return str(int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1_000_000) * 1_000)
        except ValueError:  # a source's own way to say when: it stays in the transcript, a span needs a number
            continue
    return "0"


def _json(mark: ToldBookmark) -> str:
    return json.dumps(asdict(mark), ensure_ascii=False)


def _attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
