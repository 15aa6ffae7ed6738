"""A stored trace on the Play page: all that is known of it, as a lane shows it, and where a race can go on from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from studio.errors import RunError
from studio.jobs.asking import Answered
from studio.jobs.continuing import Start, read_start
from studio.store import monitors, thresholds, trace_tree
from studio.store.flags import Flag, FlagState
from studio.ui.inspect.opened import Opened, read_trace
from studio.ui.play.outcome import Outcome, judge
from studio.ui.play.values import RECORDED, Begun
from studio.ui.widgets.parts import plural
from trainer.reasoning.response import read_response
from trainer.reasoning.safety import VERDICTS

UNSEEN = "no monitor has looked at it"
GONE = (FlagState.REJECTED, FlagState.WITHDRAWN)
_BUDGET = ("thinking_granted", "answer_granted", "thinking", "answer", "used", "ended")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace as it was recorded. `start` None: no policy can go on from within it, and `obstacle` says why."""

    opened: Opened
    outcome: Outcome
    start: Start | None
    obstacle: str = ""

    @property
    def trace(self) -> int:
        """Its number in the workspace."""
        return self.opened.trace.id

    def begun(self, steps: int) -> Begun:
        """Its first `steps` steps. Raises RunError where it cannot be continued from there."""
        if self.start is None:
            raise RunError(self.obstacle)
        if not 0 < steps < len(self.start.cuts) - 1:
            raise RunError("behind the last step there is nothing to go on with; choose an earlier one")
        text, tokens = self.start.prefix(steps), self.opened.token_starts
        response = read_response(text)
        close = len(text) if response.thinking is None else response.thinking.end
        if tokens is None or self.start.text != self.opened.trace.text:
            return Begun(self.trace, self.start.uid, steps, text)
        kept = tokens[tokens < len(text)]
        thinking = int(np.searchsorted(kept, close)) if response.thinking is not None else 0
        return Begun(self.trace, self.start.uid, steps, text, thinking, len(kept) - thinking)


def read_recorded(c: Connection, trace_id: int, annotator: int) -> Recorded:
    """Read it with scores, tokens, flags and verdict. Raises NotFoundError."""
    opened = read_trace(c, trace_id, annotator)
    own = trace_tree.searches_of(c, trace_id).own
    tree = None if own is None else trace_tree.of_search(c, own.id, trace_id)
    judged = judge(opened.trace.text, opened.trace.messages, opened.trace.problem.prompt)
    scored = monitors.scores(c, trace_id=trace_id)
    verdict = VERDICTS[int(scored.verdicts(thresholds.current(c))[0])].value if len(scored) else UNSEEN
    words = f"Stored: {verdict} · {_flag_words(opened.flags)}\nChecks: {judged.words}"
    start, obstacle = None, ""
    try:
        start = read_start(c, trace_id)
    except RunError as error:
        obstacle = str(error)
    answered = _answered(opened, opened.trace.text if start is None else start.text)
    return Recorded(opened, Outcome(answered, opened, tree, judged, _state(opened), words), start, obstacle)


def _answered(opened: Opened, text: str) -> Answered:
    """What is stored, in the form of an answer to a question; `text` is its response as a policy writes it."""
    trace, told = opened.trace, opened.conversation.budget
    response = read_response(text)
    budget = {name: getattr(told, name) for name in _BUDGET}
    count = 0 if opened.tokens is None else len(opened.tokens.starts)
    return Answered(
        answer=trace.answer, text=response.visible.of(text).strip(),
        thinking="" if response.thinking is None else response.thinking.of(text).strip(),
        strategy=RECORDED.title, model=trace.model, tokens=told.used or count, budget=budget, seconds=0.0, cost=0.0,
        cached=False, outcome=trace.outcome, traces=(), why=(f"trace {trace.id}",), trace=trace.id,
    )  # fmt: skip


def _state(opened: Opened) -> str:
    """Its number, who wrote it, and what it took."""
    count = opened.conversation.budget.used or (0 if opened.tokens is None else len(opened.tokens.starts))
    said = [f"trace {opened.trace.id}", opened.trace.model, plural(count, "token") if count else ""]
    return " · ".join(part for part in said if part)


def _flag_words(found: tuple[Flag, ...]) -> str:
    """The flags that stand, in words."""
    flags = [flag for flag in found if flag.state not in GONE]
    if not flags:
        return "no flags"
    first = " ".join(flags[0].quote.split())
    quote = f", “{first[:60]}{'…' if len(first) > 60 else ''}”" if first else ""
    return f"{plural(len(flags), 'flag')}: {flags[0].category.value} ({flags[0].state.value}){quote}"
