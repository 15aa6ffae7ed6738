"""The real thing: a policy that writes steps behind prefixes it keeps, and a PRM that reads only what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainer.models.answering import SLACK, STEP_END, Writer, joined
from trainer.models.asking import Manner, Opening
from trainer.models.generate import Prefix
from trainer.models.growing import Growing, Told
from trainer.models.judge import p_correct
from trainer.models.lanes import rule_after
from trainer.models.load import Loaded
from trainer.models.prefix_scores import PrefixScores
from trainer.models.prm import Judges
from trainer.models.sampling import BudgetRule, Delta, Ended, Generated, Sampling
from trainer.placement import Encoded, Encoder, PlacementError
from trainer.reasoning.budget import Grant
from trainer.reasoning.response import read_response
from trainer.search.values import State, Step

Check = Callable[[], None]
OnText = Callable[[Sequence[Told]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A response that is begun: what the decoder goes on from, the rule of its budget, all that was drawn so far.

    `text` is all of the response up to here, `judged` how many steps a PRM sees in it.
    """

    prefix: Prefix
    rule: BudgetRule
    text: str
    judged: int = 0
    made: Generated | None = None


class PolicyProposer:
    """Lets a policy write the next step, or the rest, behind many prefixes at once; see `trainer.search.values`.

    A step is a line with words that a PRM sees. Where thinking has closed the answer is one last step. `begin` with a
    problem first. `on_text` hears of traces that are written whole, numbered as they begin.
    """

    def __init__(
        self, writer: Writer, manner: Manner, check: Check = lambda: None, on_text: OnText | None = None
    ) -> None:
        self._writer, self._manner, self._check, self._on_text = writer, manner, check, on_text
        self._stops = frozenset(writer.decoder.stop_ids)
        self._opening: Opening | None = None
        self._begun = 0  # whole traces

    @property
    def opening(self) -> Opening:
        """How the response begins."""
        assert self._opening is not None, "begin with a problem first"
        return self._opening

    @property
    def tokens_drawn(self) -> int:
        """All tokens drawn, kept or not."""
        return self._writer.decoder.tokens_drawn

    @property
    def tokens_read(self) -> int:
        """All tokens of prompts and prefixes that were read."""
        return self._writer.decoder.tokens_read

    def begin(self, problem: str, grant: Grant, prefix: str = "") -> Begun:
        """The state of a response to a problem before its first token, behind a prefix of whole steps where one is
        given. Raises AskingError, PromptError.
        """
        opening = self._opening = self._writer.asking.opening(problem, grant, self._manner, prefix)
        decoder = self._writer.decoder
        at = decoder.extend(decoder.prefix(opening.prompt), opening.given)
        return Begun(at, opening.rule, opening.text, len(read_response(opening.text).steps) if prefix else 0)

    def room(self, state: State) -> int:
        """What is left of the two budgets, and the marks, which count in neither."""
        assert isinstance(state, Begun)
        rule = state.rule
        thinking = 0 if rule.thinking_over else (rule.thinking or 0) - rule.thinking_used
        return max(0, thinking) + max(0, (rule.answer or 0) - rule.answer_used) + SLACK

    def extend(
        self, states: Sequence[State], seeds: Sequence[int], *, most: int, whole: bool, greedy: bool
    ) -> list[tuple[Step, ...]]:
        """One continuation of every state. Raises what `check` raises."""
        rows = [_Row(state, seed, most) for state, seed in zip(states, seeds, strict=True) if isinstance(state, Begun)]
        if whole and self._on_text is not None:
            self._listen(rows)
        going, part = rows, 0
        while going:
            self._draw(going, part, whole, greedy)
            going, part = [row for row in going if not row.is_over(whole)], part + 1
        if whole and self._on_text is not None:
            self._on_text([row.growing.rest() for row in rows if row.growing is not None])
        return [self._chain(row) if whole else (row.step(),) for row in rows]

    def _listen(self, rows: Sequence[_Row]) -> None:
        """Follow the texts of traces that begin here."""
        for row in rows:
            if row.begun.made is None:
                row.growing = Growing(self._writer.tokens, self.opening, self._stops, 0, self._begun)
                self._begun += 1

    def _draw(self, rows: Sequence[_Row], part: int, whole: bool, greedy: bool) -> None:
        manner, drawn = self._manner, Counter[int]()

        def hear(deltas: Sequence[Delta]) -> None:
            drawn.update(delta.prompt for delta in deltas)
            told = [growing.tell(delta) for delta in deltas if (growing := rows[delta.prompt].growing) is not None]
            if self._on_text is not None and told:
                self._on_text([one for one in told if one is not None])

        made = self._writer.decoder.generate(
            [row.at.prefix for row in rows],
            Sampling(
                0.0 if greedy else manner.temperature,
                manner.top_p,
                min(row.room for row in rows),
                stop_texts=() if whole else (STEP_END,),
            ),
            seeds=[row.seed + (part << 32) for row in rows],
            budgets=[row.rule for row in rows],
            check=self._check,
            on_tokens=hear,
            keep=True,
        )
        for place, (row, (one,)) in enumerate(zip(rows, made, strict=True)):
            row.take(one, drawn[place], self._text)

    def _text(self, made: Generated) -> str:
        """The response up to the end of what was drawn."""
        given, ids = self.opening.given, _without_stop(made)
        if not given:
            return self.opening.text + self._writer.tokens.of(ids)
        before = self._writer.tokens.of(given)
        return self.opening.text + self._writer.tokens.of([*given, *ids])[len(before) :]

    def _chain(self, row: _Row) -> tuple[Step, ...]:
        """A whole trace as its steps, each with the tokens drawn for it; only the last can be gone on from."""
        last = row.step()
        spans = read_response(row.at.text).steps[row.begun.judged :]
        if len(spans) < 2:
            return (last,)
        cuts = [span.start for span in spans[1:]]
        assert row.new is not None
        earlier = [] if row.begun.made is None else row.begun.made.ids.tolist()
        begun = [*self.opening.given, *earlier]
        _, starts = self._writer.tokens.laid_out(_without_stop(row.new), begun, row.begun.text)
        counts = np.diff([0, *np.searchsorted(np.asarray(starts), cuts), last.tokens]).tolist()
        texts = [row.at.text[a:b] for a, b in zip([len(row.begun.text), *cuts], [*cuts, None], strict=True)]
        judged = range(row.begun.judged + 1, row.begun.judged + len(cuts) + 1)
        inner = [Step(text, tokens, at, False, None) for text, tokens, at in zip(texts, counts, judged, strict=False)]
        return (*inner, replace(last, text=texts[-1], tokens=counts[-1]))


@dataclass(slots=True, eq=False)
class _Row:
    """One continuation while it is written; `left` tokens may still be drawn for it."""

    begun: Begun
    seed: int
    left: int
    at: Begun = field(init=False)
    new: Generated | None = None
    drawn: int = 0
    growing: Growing | None = None

    def __post_init__(self) -> None:
        self.at = self.begun

    @property
    def rule(self) -> BudgetRule:
        """The budget. A stop that is taken back costs a token too; without room for it none is."""
        return replace(self.at.rule, close_at_stop=self.at.rule.close_at_stop and self.left > 1)

    @property
    def room(self) -> int:
        """The most tokens of the text that may be drawn."""
        return self.left - (self.rule.close_at_stop and not self.rule.thinking_over)

    def take(self, made: Generated, drawn: int, text_of: Callable[[Generated], str]) -> None:
        """What was drawn since the last time."""
        self.left, self.drawn = self.left - drawn, self.drawn + drawn
        self.new = made if self.new is None else joined(self.new, made)
        whole = made if self.at.made is None else joined(self.at.made, made)
        text = text_of(whole)
        rule = replace(rule_after(self.rule, made), close_at_stop=self.begun.rule.close_at_stop)
        self.at = Begun(made.prefix or self.at.prefix, rule, text, len(read_response(text).steps), whole)

    @property
    def has_ended(self) -> bool:
        """Whether the trace is finished."""
        return self.new is not None and self.new.ended in (Ended.STOP, Ended.BUDGET, Ended.CONTEXT)

    def is_over(self, whole: bool) -> bool:
        """Whether the step, or the trace, is complete, or nothing more may be drawn."""
        complete = not whole and self.new is not None and self.new.ended is Ended.TEXT
        return self.has_ended or self.left < 1 or (complete and self.at.judged > self.begun.judged)

    def step(self) -> Step:
        """All of it as one step."""
        complete = self.new is not None and self.new.ended is Ended.TEXT and self.at.judged > self.begun.judged
        text = self.at.text[len(self.begun.text) :]
        return Step(text, self.drawn, self.at.judged, self.has_ended, self.at, not (self.has_ended or complete))


class PrmScorer:
    """Scores of a PRM for the steps of responses to one problem; what it has read is read no more (`PrefixScores`)."""

    def __init__(
        self, loaded: Loaded, encoder: Encoder, kept: PrefixScores, problem: str, check: Check = lambda: None
    ) -> None:
        self._encoder, self._kept, self._problem, self._check = encoder, kept, problem, check
        self._outcome = loaded.prm.settings.judged is Judges.OUTCOME
        self.calls = 0
        self.beyond = self.misplaced = 0
        """Steps that lie beyond what the PRM reads, and responses that its convention cannot place."""

    @property
    def tokens_read(self) -> int:
        """Tokens that were read, in all searches."""
        return self._kept.tokens_read

    def score(self, responses: Sequence[str]) -> list[tuple[float | None, ...]]:
        """P(correct) of every step of every response; an outcome reward model scores the last one alone."""
        self.calls += len(responses)
        steps = [read_response(response).step_texts for response in responses]
        rows = [self._encode(one) for one in steps]
        out = []
        for row, texts, part in zip(rows, steps, self._kept.probabilities(rows, self._check), strict=True):
            self.beyond += len(texts) - row.steps
            values = p_correct(part, len(texts))
            out.append((*(None for _ in values[:-1]), *values[-1:]) if self._outcome else values)
        return out

    def _encode(self, steps: Sequence[str]) -> Encoded:
        try:
            return self._encoder.encode(self._problem, steps)
        except PlacementError:
            self.misplaced += 1
            return Encoded(np.empty(0, np.int64), np.empty(0, np.int64), 0)


def _without_stop(made: Generated) -> list[int]:
    ids: list[int] = made.ids.tolist()
    return ids[:-1] if made.ended is Ended.STOP else ids
