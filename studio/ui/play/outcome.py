"""What came of one strategy, out of the store: its answer, its trace, its tree, and what the exact checks say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from studio.jobs.asking import Answered, Asking, Way, answer_of
from studio.store import trace_tree
from studio.store.trace_tree import TraceTree
from studio.ui.inspect.opened import Opened, read_trace
from trainer.contract.records import Message
from trainer.reasoning.anomalies import NEVER_CLOSED
from trainer.reasoning.consistency import Examined, examine
from trainer.reasoning.safety import CATEGORIES, VERDICTS, Finding, Gap, Thresholds, Verdict, decide


@dataclass(frozen=True, slots=True)
class Judged:
    """What the exact checks say of a trace, and what is to be done about it by the default thresholds."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    gap: str

    @property
    def words(self) -> str:
        """On one line, for a person."""
        flags = f"{len(self.findings)} flag{'s' if len(self.findings) != 1 else ''}" if self.findings else "no flags"
        why = f" ({self.gap})" if self.gap else ""
        first = f": {self.findings[0].category.value}, {self.findings[0].why}" if self.findings else ""
        return f"{self.verdict.value}{why} · {flags}{first}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one strategy. `state` and `verdict` are its words where they are not those of an answer just given."""

    answered: Answered
    opened: Opened | None
    tree: TraceTree | None
    judged: Judged | None
    state: str = ""
    verdict: str = ""

    @property
    def shown(self) -> int | None:
        """The number of the trace that is shown: the one that answers, else the last that was tried."""
        return self.answered.trace if self.opened is None else self.opened.trace.id


def read_outcome(
    c: Connection, asking: Asking, run_id: int, seconds: float, way: Way, problem: str, annotator: int
) -> Outcome:
    """Read it. Raises RunError where the store has nothing."""
    answered = answer_of(c, asking, run_id, seconds, way)
    shown = answered.trace
    if shown is None:  # nothing answers: the last that was tried says why
        if not answered.traces:
            return Outcome(answered, None, None, None)
        shown = answered.traces[-1].id
    opened = read_trace(c, shown, annotator)
    judged = judge(opened.trace.text, opened.trace.messages, problem)
    return Outcome(answered, opened, _tree(c, shown), judged)


def judge(text: str, messages: Sequence[Message], problem: str, *, grows: bool = False) -> Judged:
    """Look at a trace; pure, for a background thread. One that grows is no trace that was cut off."""
    found = examine(text, messages, problem)
    if grows and found.gap is Gap.TRUNCATED:
        said = tuple(finding for finding in found.findings if not finding.why.startswith(NEVER_CLOSED))
        found = Examined(said, Gap.NONE)
    scores = [float("nan") if score is None else score for score in found.scores()]
    quoted = {finding.category for finding in found.findings if finding.end > finding.start}
    evidence = [category in quoted for category in CATEGORIES]
    (code,) = decide([scores], [found.gap.code], [evidence], Thresholds())
    return Judged(VERDICTS[int(code)], found.findings, found.gap.value)


def _tree(c: Connection, trace_id: int) -> TraceTree | None:
    own = trace_tree.searches_of(c, trace_id).own
    return None if own is None else trace_tree.of_search(c, own.id, trace_id)
