"""A conversation to look at: an assistant that thinks and calls tools, results, redacted and summarised parts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, update

from studio.store import batches, projects, schema, token_values, traces
from studio.store.token_values import TokenArrays
from studio.workspace import Workspace
from trainer.contract.records import Block, BlockKind, Message, Step
from trainer.reasoning.segment import segment

QUESTION = "A fraction is worth $\\frac{2}{5}$ and its denominator is $3x-7$. What is $x$? You may run Python."
THINKING = (
    "Call the numerator $x$, so the denominator is $3x-7$.\n\n"
    "Then $\\frac{x}{3x-7}=\\frac{2}{5}$, and $5x=2(3x-7)$.\n\n"
    "So $5x=6x-7$, which gives $x=7$.\n\n"
    "Wait, $2\\cdot 7$ is $14$, not $7$. Let me check this with a program."
)
CODE = "import sympy as s\nx = s.symbols('x')\nprint(s.solve(x/(3*x-7) - s.Rational(2, 5)))"
RESULT = "\n".join(["[14]", *(f"debug line {k}" for k in range(40))])
AFTER = "The program says $14$.\n\nIndeed $\\frac{14}{35}=\\frac{2}{5}$."
ANSWER = "The numerator is $14$ and the denominator $35$.\n\nThe answer is $\\boxed{14}$."


@dataclass
class Talk:
    """A conversation that is put together piece by piece."""

    text: str = ""
    turns: list[tuple[str, list[Block], dict[str, Any]]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def turn(self, role: str, at: str, until: str, name: str = "") -> None:
        """A turn begins."""
        self.turns.append((role, [], {"at": at, "until": until, "name": name, "span": [len(self.text), 0]}))

    def block(self, kind: BlockKind, text: str, before: str = "", behind: str = "") -> None:
        """A block of the present turn, with its markup."""
        start = len(self.text) + len(before)
        self.text += before + text + behind
        role, blocks, extra = self.turns[-1]
        blocks.append(Block(kind, start, start + len(text)))
        extra["span"][1] = len(self.text)
        if role == "assistant" and kind in (BlockKind.THINKING, BlockKind.ANSWER):
            spans = segment(self.text, start, start + len(text))
            self.steps += [Step(len(self.steps) + k, span.start, span.end) for k, span in enumerate(spans)]


def talk() -> Talk:
    """Six turns."""
    made = Talk()
    day = "2026-01-05T10:"
    made.turn("system", f"{day}00:00Z", "")
    made.block(BlockKind.OTHER, "You are a careful mathematician.")
    made.turn("user", f"{day}00:01Z", "")
    made.block(BlockKind.OTHER, QUESTION)
    made.turn("assistant", f"{day}00:02Z", f"{day}00:14Z")
    made.block(BlockKind.THINKING, THINKING, "<think>\n", "\n</think>\n")
    made.block(BlockKind.TOOL_CALL, CODE, '<tool name="python">', "</tool>")
    made.turn("tool", f"{day}00:44Z", f"{day}00:45Z", name="python")
    made.block(BlockKind.TOOL_RESULT, RESULT)
    made.turn("assistant", f"{day}00:46Z", f"{day}00:52Z")
    made.block(BlockKind.REDACTED, "EncryptedReasoning/" * 8)
    made.block(BlockKind.SUMMARY, "The model compared the program's result with its own.")
    made.block(BlockKind.THINKING, AFTER)
    made.block(BlockKind.ANSWER, ANSWER)
    return made


def tokens_of(text: str) -> TokenArrays:
    """A token every four characters, with values that a test can compute too."""
    starts = np.arange(0, len(text), 4, dtype=np.uint32)
    logprob = np.array([-((k * 37) % 50) / 10 for k in range(len(starts))], np.float32)
    entropy = np.array([((k * 13) % 30) / 10 for k in range(len(starts))], np.float32)
    alternatives = tuple(((text[s : s + 4], math.log(0.5)), ("other", math.log(0.25))) for s in starts.tolist())
    return TokenArrays(starts, logprob, entropy, alternatives)


def store_talk(c: Connection, made: Talk, batch: int, project: int | None, **columns: Any) -> int:
    """Store a conversation through the store's own verbs."""
    messages = tuple(Message(role, tuple(blocks)) for role, blocks, _ in made.turns)
    new = traces.NewTrace(
        QUESTION, made.text, messages, tuple(made.steps), reference_answer="14", model="luce-7b", answer="14", outcome=1
    )
    added = traces.add(c, new, batch_id=batch, project_id=project)
    for ordinal, (_, _, extra) in enumerate(made.turns):
        found = (schema.message.c.trace_id == added.trace_id) & (schema.message.c.ordinal == ordinal)
        c.execute(update(schema.message).where(found).values(extra=extra))
    budget = {"requested": 4000, "granted": 4096, "used": 1212, "thinking": 1000, "thinking_granted": 3600}
    budget |= {"answer": 212, "answer_granted": 496, "ended": "stop"}
    values = {"budget": budget, **columns}
    c.execute(update(schema.trace).where(schema.trace.c.id == added.trace_id).values(**values))
    return added.trace_id


def fill_talk(folder: Path, *, tokens: bool = True) -> int:
    """A workspace with one conversation; returns its id."""
    with Workspace.open(folder, create=True) as workspace:
        database = workspace.database
        project = database.run(lambda c: projects.create(c, "Talks")).id

        def write(c: Connection) -> int:
            batch = batches.begin(c, "import", project, "written for a test")
            made = talk()
            values = {"uid": "f" * 32, "batch_id": batch, "path": "logs/luce_ctf.eval"}
            log = c.execute(insert(schema.log).values(**values)).inserted_primary_key
            assert log is not None
            trace_id = store_talk(c, made, batch, project, log_id=log[0], sample="15", epoch=1)
            if tokens:
                token_values.put(c, trace_id, batch, tokens_of(made.text))
            batches.publish(c, batch, {})
            return trace_id

        return database.run(write)
