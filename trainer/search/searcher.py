"""A policy and a PRM, ready to search problem after problem; what either has read of a prefix is kept."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.contract.generated import SearchNode
from trainer.contract.specs.search import SearchSpec
from trainer.models.answering import Grant, Manner, Writer, WrittenTrace, finished
from trainer.models.load import Loaded
from trainer.models.prefix_scores import PrefixScores
from trainer.placement import Encoder
from trainer.reasoning.votes import Equal
from trainer.search.desk import Desk, Grown
from trainer.search.live import Begun, Check, OnText, PolicyProposer, PrmScorer
from trainer.search.run import Found, search


@dataclass(frozen=True, slots=True)
class Sought:
    """A search that is over: `traces` and `scores` (of their steps, None where nothing scored) stand in the order of
    `found.finished`; `beyond` steps got no score because the PRM reads no further, `misplaced` because of their form.
    """

    found: Found
    nodes: tuple[SearchNode, ...]
    traces: tuple[WrittenTrace, ...]
    scores: tuple[tuple[float | None, ...] | None, ...]
    beyond: int = 0
    misplaced: int = 0


class Searcher:
    """Searches under any spec; the PRM may be missing where the strategy needs none."""

    def __init__(self, writer: Writer, prm: Loaded | None = None, encoder: Encoder | None = None) -> None:
        """`encoder` builds the PRM's rows: its own, at the length it was trained with, unless said otherwise."""
        self.writer, self._prm = writer, prm
        self._encoder = prm.encoder(prm.prm.settings.max_length) if prm is not None and encoder is None else encoder
        self._scores = None if prm is None else PrefixScores(prm.prm)

    def search(
        self,
        problem: str,
        spec: SearchSpec,
        grant: Grant,
        equal: Equal,
        *,
        seed: int | None = None,
        check: Check = lambda: None,
        grown: Grown | None = None,
        on_text: OnText | None = None,
        prefix: str = "",
    ) -> Sought:
        """Look for a problem's answer behind a prefix of whole steps; `seed` None = the spec's own.

        Raises ValueError where a PRM is needed and missing, AskingError and PromptError for a problem that cannot be
        asked, and what `check` raises.
        """
        if spec.strategy.needs_prm and self._prm is None:
            raise ValueError(f"{spec.strategy.value} is led by a PRM; choose one, or self-consistency")
        proposer = PolicyProposer(self.writer, Manner.of(spec), check, on_text if spec.strategy.writes_whole else None)
        begun = proposer.begin(problem, grant, prefix)
        scorer = self._scorer(problem, check) if spec.strategy.needs_prm else None
        desk = Desk(
            spec, problem, begun, proposer, scorer,
            opened=begun.text, judged=begun.judged, seed=spec.seed if seed is None else seed, grown=grown,
        )  # fmt: skip
        found = search(desk, equal)
        written = []
        for node in found.finished:
            assert isinstance(node.state, Begun)
            assert node.state.made is not None
            written.append(finished(self.writer.tokens, proposer.opening, grant, node.state.made))
        return Sought(
            found,
            tuple(node.shown() for node in desk.nodes),
            tuple(written),
            tuple(None if node.scores is None else _as_long(node.scores, trace) for node, trace in
                  zip(found.finished, written, strict=True)),
            0 if scorer is None else scorer.beyond,
            0 if scorer is None else scorer.misplaced,
        )  # fmt: skip

    def _scorer(self, problem: str, check: Check) -> PrmScorer:
        assert self._prm is not None
        assert self._encoder is not None
        assert self._scores is not None
        return PrmScorer(self._prm, self._encoder, self._scores, problem, check)


def _as_long(scores: tuple[float | None, ...], trace: WrittenTrace) -> tuple[float | None, ...]:
    """A score for each step of the trace."""
    count = len(trace.steps)
    return (*scores[:count], *(None for _ in range(count - len(scores))))
