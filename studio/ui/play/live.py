"""One strategy's answer while it comes: its traces as they are written, its tree as it grows. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from studio.domain import Problem, Segmentation, Trace
from studio.jobs.streams import Growing, Transcript
from studio.store.conversations import Budget, Conversation
from studio.store.searches import StoredSearch
from studio.store.token_values import TokenArrays
from studio.store.trace_tree import Branch, Sought, TraceTree
from studio.ui.inspect.opened import Opened, assemble
from studio.ui.play.values import Begun
from trainer.contract.events import Grew, Wrote
from trainer.contract.generated import SearchNode, Spent
from trainer.contract.records import Step
from trainer.reasoning.budget import Grant
from trainer.reasoning.response import Response, read_response
from trainer.reasoning.search_tree import lay_out

LIVE = -1  # number of a trace that is in no store


@dataclass(slots=True)
class Live:
    """What has been heard of one request; `later`: from this trace on another model writes, under this grant."""

    problem: str
    reference: str | None
    model: str
    strategy: str
    grant: Grant
    begun: Begun | None = None
    later: tuple[int, Grant] | None = None
    transcript: Transcript = field(default_factory=Transcript)
    nodes: list[SearchNode] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    attempt: int = 0

    def take(self, event: Wrote | Grew) -> None:
        """Something new; a later attempt begins anew."""
        if isinstance(event, Wrote):
            self.transcript.take(event)
            return
        if event.attempt != self.attempt:
            self.attempt, self.nodes = event.attempt, []
        for number in sorted(event.nodes):
            if number < len(self.nodes):
                self.nodes[number] = event.nodes[number]
            else:
                self.nodes.append(event.nodes[number])
        self.spent = event.spent

    @property
    def traces(self) -> int:
        """How many traces have begun."""
        return len(self.transcript.traces)

    @property
    def tokens(self) -> int:
        """Tokens that were drawn, as far as is known."""
        return max(self.spent.tokens, sum(len(each.starts) for each in self.transcript.traces.values()))

    @property
    def watched(self) -> Growing | None:
        """The trace that is shown: the first one that is not done, else the last."""
        traces = self.transcript.traces
        return next((each for each in traces.values() if not each.done), next(reversed(traces.values()), None))

    @property
    def text(self) -> str:
        """What is shown: a trace that is written token by token, else the best prefix of the last round."""
        watched = self.watched
        return watched.text if watched is not None else self._best_prefix()

    def opened(self) -> Opened:
        """It as an inspector shows it."""
        watched = self.watched
        response = read_response(self.text)
        tokens = None if watched is None else _tokens(watched)
        return shown(self.problem, self.reference, response, self.model, tokens, self.budget(response))

    def budget(self, response: Response) -> Budget:
        """What the shown trace has used so far of what it was granted, with what it goes on from."""
        watched, begun, grant = self.watched, self.begun, self._granted()
        granted = Budget(granted=grant.total, thinking_granted=grant.thinking, answer_granted=grant.answer)
        if watched is None and begun is None:
            return granted
        starts = [] if watched is None else watched.starts
        thinking = len(starts)
        if watched is not None and watched.part == "answer":
            close = len(watched.text) if response.thinking is None else response.thinking.end
            thinking = int(np.searchsorted(starts, close))
        answer = len(starts) - thinking
        if begun is not None:
            thinking, answer = thinking + begun.thinking, answer + begun.answer
        thinking, answer = min(thinking, grant.thinking), min(answer, grant.answer)  # marks are told, and not counted
        return replace(granted, used=thinking + answer, thinking=thinking, answer=answer)

    def _granted(self) -> Grant:
        """What the shown trace was granted."""
        watched, traces = self.watched, self.transcript.traces
        number = next((number for number, each in traces.items() if each is watched), 0)
        return self.grant if self.later is None or number < self.later[0] else self.later[1]

    def tree(self) -> TraceTree | None:
        """What was tried so far; None before anything was."""
        if len(self.nodes) < 2:
            return None
        laid = lay_out(self.nodes)
        search = StoredSearch(
            0, "", None, self.problem, self.strategy, self.model, "", None, None, -1, 0, len(self.nodes), self.spent,
            {}, "",
        )  # fmt: skip
        branches = tuple(Branch(0, self.model, None) for _ in laid.tree.of_path)
        nodes = tuple(self.nodes[at] for at in laid.order.tolist())
        return TraceTree(
            self.problem, laid.tree, branches, tuple(() for _ in branches), -1, "", 0, Sought(search, nodes, -1)
        )

    def _best_prefix(self) -> str:
        begun = "" if self.begun is None else self.begun.text
        if len(self.nodes) < 2:
            return begun
        last = max(node.round for node in self.nodes)
        newest = [number for number, node in enumerate(self.nodes) if number and node.round == last]
        at = max(newest, key=lambda number: self.nodes[number].value or 0.0)
        texts = []
        while at > 0:
            texts.append(self.nodes[at].text)
            at = self.nodes[at].parent
        return begun + "".join(reversed(texts))


def shown(
    problem: str,
    reference: str | None,
    response: Response,
    model: str,
    tokens: TokenArrays | None = None,
    budget: Budget | None = None,
) -> Opened:
    """A response that is in no store, as an inspector shows it."""
    steps = tuple(Step(number, span.start, span.end) for number, span in enumerate(response.steps))
    asked = Problem(0, "", problem, reference, "", "")
    trace = Trace(LIVE, "", asked, response.text, (), Segmentation(0, 1, steps), model, response.answer)
    return assemble(trace, Conversation((), budget=budget or Budget()), tokens=tokens)


def _tokens(growing: Growing) -> TokenArrays | None:
    if not growing.starts:
        return None
    return TokenArrays(
        np.array(growing.starts, np.uint32),
        np.array(growing.logprobs, np.float32) if len(growing.logprobs) == len(growing.starts) else None,
        np.array(growing.entropy, np.float32) if len(growing.entropy) == len(growing.starts) else None,
    )
