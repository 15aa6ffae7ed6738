"""Problems and demonstrations to token ids: one builder for teaching a policy and for letting it write. Torch-free."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.contract.records import InputRow, Split
from trainer.contract.specs.sft import PromptForm
from trainer.reasoning.budget import BudgetReward, with_budget
from trainer.reasoning.thinking import split_thinking

Ints = NDArray[np.int64]


class PromptError(ValueError):
    """A prompt that this tokenizer cannot make; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How a policy was taught to read problems; kept in its config.json under "steplens"."""

    prompt: PromptForm = PromptForm.PLAIN
    budget: BudgetReward = BudgetReward.NONE

    @classmethod
    def read(cls, kept: object) -> PromptSettings:
        """From a config's entry; a model made elsewhere has none and gets the defaults."""
        given = kept if isinstance(kept, dict) else {}
        known = {f.name: given[f.name] for f in fields(cls) if f.name in given}
        return cls(PromptForm(known.get("prompt", "plain")), BudgetReward(known.get("budget", "none")))

    def as_dict(self) -> dict[str, str]:
        """Plain, as a config keeps it."""
        return {name: str(value) for name, value in asdict(self).items()}


class Prompts:
    """Ids of prompts and of completions, each tokenised by itself: what is taught is what is asked later."""

    def __init__(self, tokenizer: Any, settings: PromptSettings) -> None:  # noqa: ANN401 - any HF tokenizer
        """Raises PromptError when the tokenizer has no end of text, or no chat template where one is asked for."""
        self.settings = settings
        self._tokenizer = tokenizer
        if tokenizer.eos_token_id is None:
            raise PromptError("the tokenizer has no end-of-text token, so the policy could not learn to stop")
        if settings.prompt is PromptForm.CHAT and not tokenizer.chat_template:
            raise PromptError("the tokenizer has no chat template; choose the plain prompt")
        self.end = int(tokenizer.eos_token_id)

    def text_of(self, problem: str, budget: int | None = None) -> str:
        """The prompt as text, without what the tokenizer itself puts before it.

        A budget is said only to a policy that was taught budgets.
        """
        said = None if self.settings.budget is BudgetReward.NONE else budget
        asked = with_budget(problem, said, self.settings.budget)
        if self.settings.prompt is PromptForm.PLAIN:
            return asked if asked.endswith("\n") else asked + "\n"
        turns = [{"role": "user", "content": asked}]
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return text

    def ids_of(self, problem: str, budget: int | None = None) -> list[int]:
        """The prompt's ids; a plain one begins as the tokenizer begins every text."""
        plain = self.settings.prompt is PromptForm.PLAIN
        ids: list[int] = self._tokenizer(
            self.text_of(problem, budget), add_special_tokens=plain, return_attention_mask=False
        )["input_ids"]
        return ids[:-1] if plain and ids and ids[-1] == self.end else ids

    def completion_ids(self, response: str) -> list[int]:
        """Ids of what the policy should write, with the end of text."""
        return [*self.plain_ids(response), self.end]

    def plain_ids(self, text: str) -> list[int]:
        """Ids of a text with nothing before or after it."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return ids


@dataclass(slots=True)
class DemonstrationCounts:
    """What became of the rows on the way to demonstrations. Nothing is lost without being counted."""

    rows: int = 0
    rows_rated_wrong: int = 0
    rows_without_response: int = 0
    rows_cut: int = 0
    tokens_cut: int = 0
    rows_without_completion: int = 0
    rows_without_thinking: int = 0
    tokens: int = 0
    tokens_learned: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name, as a notice carries them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A row as the policy learns it: ids, of which the first `prompt` are given and the others are learned."""

    row: InputRow
    ids: Ints
    prompt: int

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.ids)

    @property
    def learned(self) -> int:
        """Tokens that the loss counts."""
        return len(self.ids) - max(self.prompt, 1)


def response_of(row: InputRow) -> str:
    """What the row demonstrates: its response, or its steps a line each."""
    return row.response if row.response is not None else "\n".join(row.steps)


def is_rated_wrong(row: InputRow) -> bool:
    """Whether more than half of the votes on some step call it negative."""
    return any(vote is not None and vote.negative * 2 > vote.total > 0 for vote in row.votes or ())


class Demonstrator:
    """Rows to demonstrations, with every loss counted."""

    def __init__(self, prompts: Prompts, max_length: int, *, drop_rated_wrong: bool, drop_cut: bool, seed: int) -> None:
        self._prompts = prompts
        self._max_length = max_length
        self._drop_rated_wrong, self._drop_cut, self._seed = drop_rated_wrong, drop_cut, seed

    def make(self, rows: Iterable[InputRow], counts: DemonstrationCounts) -> list[Demonstration]:
        """The rows that teach something."""
        made = (self._one(row, counts) for row in rows)
        return [one for one in made if one is not None]

    def _one(self, row: InputRow, counts: DemonstrationCounts) -> Demonstration | None:
        counts.rows += 1
        response = response_of(row)
        if self._drop_rated_wrong and is_rated_wrong(row):
            counts.rows_rated_wrong += 1
            return None
        if not response.strip():
            counts.rows_without_response += 1
            return None
        prompt = self._prompts.ids_of(row.problem, self._budget_of(row, response, counts))
        ids = [*prompt, *self._prompts.completion_ids(response)]
        if len(ids) > self._max_length:
            counts.rows_cut += 1
            counts.tokens_cut += len(ids) - self._max_length
            if self._drop_cut:
                return None
        ids = ids[: self._max_length]
        if len(ids) <= len(prompt):
            counts.rows_without_completion += 1
            return None
        counts.tokens += len(ids)
        counts.tokens_learned += len(ids) - len(prompt)
        return Demonstration(row, np.asarray(ids, np.int64), len(prompt))

    def _budget_of(self, row: InputRow, response: str, counts: DemonstrationCounts) -> int | None:
        """The budget said with a demonstration: its own thinking's length, or a bound drawn up to twice that.

        The length is the decoder's: what is written before the close mark, the opening one included.
        """
        if self._prompts.settings.budget is BudgetReward.NONE:
            return None
        thinking = split_thinking(response).thinking
        if thinking is None or not thinking.of(response):
            counts.rows_without_thinking += 1
            return None
        tokens = len(self._prompts.plain_ids(response[: thinking.end]))
        if self._prompts.settings.budget is BudgetReward.EXACT:
            return tokens
        return random.Random(f"{self._seed} {row.id}").randint(tokens, 2 * tokens)


def split_rows(rows: Iterable[InputRow]) -> dict[Split, list[InputRow]]:
    """The rows by their split."""
    out: dict[Split, list[InputRow]] = {split: [] for split in Split}
    for row in rows:
        out[row.split].append(row)
    return out


def packed(lengths: list[int], capacity: int) -> list[list[int]]:
    """Row numbers laid on lines of `capacity` tokens by best fit, longest first (Johnson 1973)."""
    lines: list[tuple[int, list[int]]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fits = [place for place, (room, _) in enumerate(lines) if room >= lengths[index]]
        if fits:
            best = min(fits, key=lambda place: lines[place][0])
            room, members = lines[best]
            lines[best] = (room - lengths[index], [*members, index])
        else:
            lines.append((capacity - lengths[index], [index]))
    return [members for _, members in lines]


def packed_passes(rows: Sequence[Demonstration], most: int, budget: int | None) -> list[list[Demonstration]]:
    """A batch into passes of at most `most` rows whose lines, as wide as the longest, stay within `budget` tokens."""
    width = max((row.length for row in rows), default=0)
    passes: list[list[Demonstration]] = []
    lines = 0
    for members in packed([row.length for row in rows], width):
        fits = passes and len(passes[-1]) + len(members) <= most and (not budget or width * (lines + 1) <= budget)
        if fits:
            passes[-1] += [rows[i] for i in members]
            lines += 1
        else:
            parts = [members[i : i + most] for i in range(0, len(members), most)]
            passes += [[rows[i] for i in part] for part in parts]
            lines = 1
    return passes
