"""Where steps stand in the token ids and where their scores are read: four conventions, one builder for each.

The ids built for training are the ids built for scoring: both come from `encode`. The place of every step's score is
known because the builder put it there; no token is ever searched for, so a separator or tag inside a step misleads
nobody. Nothing behind the last step's place is written, as a causal model cannot read it there. Torch-free.

| convention | ids | score |
|---|---|---|
| TRL (PRMTrainer of TRL <= 1.13) | [bos] + problem + each step + separator, parts tokenised by themselves | step head at the last token of the separator |
| Qwen (Qwen2.5-Math-PRM) | chat: system, problem, one answer with `<extra_0>` behind every step | step head at `<extra_0>` |
| Math-Shepherd (and OpenRLHF) | problem, then every step + " ки" on a line of its own | logits of + and - at `ки`, unshifted |
| RLHFlow | chat: every step a user's turn (the problem before the first), "+" the assistant's | logits of + and - at the token before the "+" |
"""  # noqa: E501 - a table

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.contract.specs.setting import Convention

Ints = NDArray[np.int64]
Span = tuple[int, int]

PLACEHOLDERS = {Convention.QWEN: "<extra_0>", Convention.MATH_SHEPHERD: "ки"}
GOOD, BAD = "+", "-"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
_MARK = "\ue000{}\ue001"  # stands for a turn's text while the chat template is read; templates know nothing of it


class PlacementError(ValueError):
    """A tokenizer, template or text that does not fit a convention; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a row and, beside them, the place where every step's score is read.

    Steps beyond the cut have no place. The first `prompt` tokens are the problem's (and what stands before it).
    """

    ids: Ints
    ends: Ints
    prompt: int

    @property
    def steps(self) -> int:
        """How many steps fitted."""
        return len(self.ends)


class Encoder(Protocol):
    """A convention with its tokenizer and its longest row."""

    @property
    def marker(self) -> str:
        """The text that ends a step; other tools search for it, so a step that holds it is worth a word."""
        ...

    @property
    def label_ids(self) -> tuple[int, int] | None:
        """Tokens of "-" and "+" where the score is read from the language head."""
        ...

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """One row; the cut at the longest length keeps the start. Raises PlacementError."""
        ...


def make_encoder(
    convention: Convention,
    tokenizer: Any,  # noqa: ANN401 - any HF tokenizer
    max_length: int,
    *,
    separator: str = "\n",
    placeholder: str = "",
    prompt_end: str = "\n",
) -> Encoder:
    """The builder of a convention. `placeholder` stands for the convention's own tag where a tokenizer lacks it.

    `separator` and `prompt_end` (what the problem must end with) are of TRL alone. Raises PlacementError.
    """
    if convention is Convention.TRL:
        return StepEncoder(tokenizer, separator, max_length, prompt_end)
    if not getattr(tokenizer, "is_fast", False):
        raise PlacementError(
            f"the {convention.value} convention needs a tokenizer that knows where its tokens stand (a tokenizer.json)"
        )
    if convention is Convention.RLHFLOW:
        return TurnEncoder(tokenizer, max_length)
    tag = placeholder or PLACEHOLDERS[convention]
    return (TagInChat if convention is Convention.QWEN else TagInText)(tokenizer, tag, max_length)


class StepEncoder:
    """TRL's: ids = [bos] + problem + for each step (step + separator), every part tokenised by itself.

    Equal to `PRMTrainer.tokenize_row` of TRL 1.13; a step's score is read at the last token of the separator.
    """

    label_ids: tuple[int, int] | None = None

    def __init__(self, tokenizer: Any, separator: str, max_length: int, prompt_end: str = "\n") -> None:  # noqa: ANN401
        self.marker = separator
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._prompt_end = prompt_end
        self._separator = self._ids([separator])[0]
        if not self._separator:
            raise PlacementError(
                f"the separator {separator!r} has no token in this tokenizer; choose another separator"
            )
        self._bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """One row. The cut at `max_length` keeps the start; a step whose separator is cut has no place."""
        prompt = problem if problem.endswith(self._prompt_end) else problem + self._prompt_end
        parts = self._ids([prompt, *steps])
        ids, ends = [*self._bos, *parts[0]], []
        of_problem = len(ids)
        for part in parts[1:]:
            ids += part
            ids += self._separator
            ends.append(len(ids) - 1)
        return _cut(ids, ends, of_problem, self._max_length)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False)[
            "input_ids"
        ]
        return ids


class TagInText:
    """Math-Shepherd's: `problem step1 ки\\nstep2 ки\\n`, tokenised as one text with the tokenizer's special tokens."""

    def __init__(self, tokenizer: Any, tag: str, max_length: int) -> None:  # noqa: ANN401
        self.marker = tag
        self._tokenizer, self._max_length = tokenizer, max_length
        self._tag = _only_token(tokenizer, *self._text("a", ["b", "c"]), tag, add_special_tokens=True)
        self.label_ids = (_lone_token(tokenizer, BAD), _lone_token(tokenizer, GOOD))
        if self.label_ids[0] == self.label_ids[1]:
            raise PlacementError(f"{GOOD!r} and {BAD!r} are the same token in this tokenizer")

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """One row; the place of a step is its tag. Raises PlacementError where a tag melts into its surroundings."""
        text, spans = self._text(problem, steps)
        ids, places = _tokens_at(self._tokenizer, text, [spans[0], *spans[1:]], add_special_tokens=True)
        ends = [_single(place, ids, self._tag, self.marker) for place in places[1:]]
        return _cut(ids, ends, places[0][1], self._max_length)

    def _text(self, problem: str, steps: Sequence[str]) -> tuple[str, list[Span]]:
        """The text, and the spans of the problem and of every tag."""
        text, spans = problem, [(0, len(problem))]
        for number, step in enumerate(steps):
            kept = step.rstrip()
            text += (" " if kept and not number else "") + kept + " "
            spans.append((len(text), len(text) + len(self.marker)))
            text += self.marker + "\n"
        return text, spans


class TagInChat:
    """Qwen's: the chat template around the system's line, the problem, and all steps with a tag behind each."""

    label_ids: tuple[int, int] | None = None

    def __init__(self, tokenizer: Any, tag: str, max_length: int) -> None:  # noqa: ANN401
        self.marker = tag
        self._tokenizer, self._max_length = tokenizer, max_length
        self._chat = _Chat(tokenizer)
        self._tag = _only_token(tokenizer, *self._text("a", ["b", "c"]), tag, add_special_tokens=False)

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """One row; the place of a step is its tag. Raises PlacementError where a tag melts into its surroundings."""
        text, spans = self._text(problem, steps)
        ids, places = _tokens_at(self._tokenizer, text, spans, add_special_tokens=False)
        ends = [_single(place, ids, self._tag, self.marker) for place in places[1:]]
        return _cut(ids, ends, places[0][1], self._max_length)

    def _text(self, problem: str, steps: Sequence[str]) -> tuple[str, list[Span]]:
        before, between, _ = self._chat.frame((("system", SYSTEM), ("user", None), ("assistant", None)))
        text = before + self._chat.trimmed(problem)
        spans = [(len(before), len(text))]
        text += between
        for number, step in enumerate(steps):
            text += step.lstrip() if self._chat.trims and not number else step
            spans.append((len(text), len(text) + len(self.marker)))
            text += self.marker
        return text, spans


class TurnEncoder:
    """RLHFlow's: every step a user's turn, answered by "+"; the label is the token that stands where the "+" is.

    Every answer written is "+", in training as in scoring: a step is judged as if all before it were right, which they
    are up to the first error. The score is read one token before the answer, where a causal model foretells it.
    """

    marker = GOOD

    def __init__(self, tokenizer: Any, max_length: int) -> None:  # noqa: ANN401
        self._tokenizer, self._max_length = tokenizer, max_length
        self._chat = _Chat(tokenizer)
        good, bad = (
            _only_token(tokenizer, *self._text("a", ["b", "c"], answer), answer, add_special_tokens=False)
            for answer in (GOOD, BAD)
        )
        self.label_ids: tuple[int, int] | None = (bad, good)

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """One row; the place of a step is the token before its "+". Raises PlacementError."""
        text, spans = self._text(problem, steps, GOOD)
        ids, places = _tokens_at(self._tokenizer, text, spans, add_special_tokens=False)
        assert self.label_ids is not None
        ends = [_single(place, ids, self.label_ids[1], GOOD) - 1 for place in places[1:]]
        return _cut(ids, ends, places[0][1], self._max_length)

    def _text(self, problem: str, steps: Sequence[str], answer: str) -> tuple[str, list[Span]]:
        turns = (("user", None), ("assistant", None)) * len(steps)
        frame = self._chat.frame(turns) if steps else [""]
        text, spans = frame[0], []
        begin = len(text)
        for number, step in enumerate(steps):
            said = self._chat.trimmed(f"{problem} {step}" if number == 0 else step)
            text += said
            if number == 0:
                spans.append((begin, begin + min(len(problem), len(said))))
            text += frame[2 * number + 1]
            spans.append((len(text), len(text) + len(answer)))
            text += answer + frame[2 * number + 2]
        return text, spans or [(0, 0)]


class _Chat:
    """A tokenizer's chat template as the literal text between the turns' own texts, which it never sees."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise PlacementError(
                "this tokenizer has no chat template, which the convention needs; choose an instruct model, or the "
                "TRL convention"
            )
        self._frames: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
        spaced = f" {_MARK.format(0)} "
        self.trims = spaced not in self._render([{"role": "user", "content": spaced}])

    def trimmed(self, text: str) -> str:
        """A turn's text as the template would write it."""
        return text.strip() if self.trims else text

    def frame(self, turns: tuple[tuple[str, str | None], ...]) -> list[str]:
        """What the template writes around the turns whose text is None: one part more than these turns."""
        if turns not in self._frames:
            messages, marks = [], []
            for number, (role, said) in enumerate(turns):
                if said is None:
                    marks.append(_MARK.format(number))
                messages.append({"role": role, "content": said if said is not None else marks[-1]})
            parts, rest = [], self._render(messages)
            for mark in marks:
                if rest.count(mark) != 1:
                    raise PlacementError(
                        f"the chat template writes a turn's text {rest.count(mark)} times, not once; the convention "
                        "cannot know where its steps stand"
                    )
                before, rest = rest.split(mark)
                parts.append(before)
            self._frames[turns] = [*parts, rest]
        return self._frames[turns]

    def _render(self, messages: list[dict[str, str]]) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages[:3])
            raise PlacementError(f"the chat template refuses the turns {roles} ...: {error}") from error
        return text


def _tokens_at(
    tokenizer: Any,  # noqa: ANN401
    text: str,
    spans: Sequence[Span],
    *,
    add_special_tokens: bool,
) -> tuple[list[int], list[Span]]:
    """Ids of a text, and for every span of characters the tokens (first, end) that touch it."""
    coded = tokenizer(
        text, add_special_tokens=add_special_tokens, return_attention_mask=False, return_offsets_mapping=True
    )
    offsets = coded["offset_mapping"]
    begins, stops, reached = [], [], 0
    for begin, stop in offsets:  # special tokens that stand for no text have (0, 0)
        reached = max(reached, stop)
        begins.append(begin if stop else reached)
        stops.append(reached)
    places = []
    for low, high in spans:
        first = last = bisect_right(stops, low)
        while last < len(stops) and begins[last] < high:
            last += 1
        places.append((first, last))
    return coded["input_ids"], places


def _single(place: Span, ids: Sequence[int], expected: int, what: str) -> int:
    first, end = place
    if end - first != 1 or ids[first] != expected:
        raise PlacementError(f"{what!r} behind a step became the tokens {list(ids[first:end])}, not {expected} alone")
    return first


def _only_token(
    tokenizer: Any,  # noqa: ANN401
    text: str,
    spans: Sequence[Span],
    what: str,
    *,
    add_special_tokens: bool,
) -> int:
    """The one token that stands at every span behind the first. Raises PlacementError."""
    ids, places = _tokens_at(tokenizer, text, spans, add_special_tokens=add_special_tokens)
    found = {tuple(ids[first:end]) for first, end in places[1:]}
    several = next((tokens for tokens in found if len(tokens) != 1), None)
    if several is not None or len(found) != 1:
        tokens = several if several is not None else tuple(i for one in found for i in one)
        raise PlacementError(
            f"{what!r} is {len(tokens)} tokens in this tokenizer ({list(tokens)}), the convention needs one and always "
            "the same; choose a model made for the convention, or a placeholder that is one token of this one"
        )
    token = int(found.pop()[0])
    _refuse_unknown(tokenizer, token, what)
    return token


def _lone_token(tokenizer: Any, text: str) -> int:  # noqa: ANN401
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise PlacementError(f"the label {text!r} is {len(ids)} tokens in this tokenizer, the convention needs one")
    _refuse_unknown(tokenizer, ids[0], text)
    return int(ids[0])


def _refuse_unknown(tokenizer: Any, token: int, what: str) -> None:  # noqa: ANN401
    if tokenizer.unk_token_id is not None and token == tokenizer.unk_token_id:
        raise PlacementError(
            f"{what!r} is missing from this tokenizer's vocabulary; choose a model made for the convention, or a "
            "placeholder it knows"
        )


def _cut(ids: list[int], ends: list[int], prompt: int, max_length: int) -> Encoded:
    """Nothing behind the last place, nothing beyond the longest length."""
    length = min(ends[-1] + 1 if ends else len(ids), max_length)
    kept = [end for end in ends if end < length]
    return Encoded(np.asarray(ids[:length], np.int64), np.asarray(kept, np.int64), min(prompt, length))
