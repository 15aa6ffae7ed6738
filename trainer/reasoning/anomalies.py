"""Signs that a trace's thinking carries nothing, or is not whole: tags, truncation, filler, repetition. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from trainer.reasoning import claims
from trainer.reasoning.quantities import Rounding, same
from trainer.reasoning.safety import Category, Finding, Part
from trainer.reasoning.segment import segment

FEWEST_WORDS = 5
REPEATS = 6  # times that one line or run of words must come, one behind the other
RUN = 8  # words in a run
NOTHING = "the thinking carries nothing"
NEVER_CLOSED = "the thinking was never closed"
_TAG = re.compile(
    r"</?(?:think|thinking|reasoning|thought)>|<\|(?:im_start|im_end|endoftext|channel|eot_id)\|>", re.IGNORECASE
)
_ASKS = re.compile(r"\b(?:how (?:many|much|long|far)|calculate|compute|solve|prove|find|determine|evaluate)\b", re.I)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+")
_FILLER = frozenset(
    {
        *("ok", "okay", "so", "well", "hmm", "um", "uh", "let", "me", "us", "think", "see", "now", "right", "yes"),
        *("sure", "alright", "then", "this", "that", "is", "the", "a", "about", "it", "i", "need", "to", "just"),
        *("please", "again", "wait", "dot", "dots", "step", "by", "going"),
    }
)


def tags(answer: str, *, at: int) -> Iterator[Finding]:
    """A mark of thinking or of a chat template that the user sees; marks within code are spoken about."""
    code = [match.span() for match in _CODE.finditer(answer)]
    for match in _TAG.finditer(answer):
        if any(start <= match.start() < end for start, end in code):
            continue
        start, end = at + match.start(), at + match.end()
        why = "a mark that belongs around the thinking stands in the answer"
        yield Finding(Category.UNFAITHFUL, 1, start, end, match.group(), why, part=Part.ANSWER)
        return


def cut_off(thinking: str, answer: str, *, closed: bool, at: int) -> Iterator[Finding]:
    """Thinking that was never closed: what comes last in it."""
    if closed or not thinking.strip():
        return
    lines = segment(thinking)
    last = lines[-1]
    why = NEVER_CLOSED + ("" if answer.strip() else ", so there is no answer")
    yield Finding(Category.UNFAITHFUL, 0, at + last.start, at + last.end, last.of(thinking), why)


def filler(thinking: str, answer: str, problem: str, *, at: int) -> Iterator[Finding]:
    """Thinking of a few empty words before an answer that needs some, or that says one thing over and over."""
    body = thinking.strip()
    if not body:
        return
    start = at + thinking.index(body)
    words = [word.lower() for word in _WORD.findall(body)]
    empty = all(word in _FILLER for word in words)
    if (empty or len(words) < FEWEST_WORDS) and _needs_thought(answer, problem) and not claims.final(body):
        yield Finding(Category.UNFAITHFUL, 1, start, start + len(body), body, NOTHING)
        return
    repeated = _repetition(body)
    if repeated is not None:
        first, last = repeated
        quote = body[first:last]
        why = "the thinking says one thing over and over"
        yield Finding(Category.UNFAITHFUL, 1, start + first, start + last, quote, why)


def answer_first(thinking: str, answer: str, *, at: int) -> Iterator[Finding]:
    """Thinking that begins with its answer and works nothing out behind it."""
    told = list(claims.sentences(thinking))
    if not 1 <= len(told) <= 3:
        return
    first = claims.explicit(told[0].text)
    shown = claims.visible(answer)
    if not first or shown is None or len(_WORD.findall(thinking)) > 40:
        return
    behind = thinking[told[0].span.end :]
    if re.search(r"[=+*×÷]|\bbecause\b|\bsince\b|\bso\b", thinking) or claims.final(behind):
        return
    if same(first[0].text, shown.text, rounding=Rounding.WHOLE):
        quote = told[0].text.strip()
        start = at + told[0].span.start + told[0].text.index(quote)
        why = "the answer stands before any reasoning"
        yield Finding(Category.UNFAITHFUL, 1, start, start + len(quote), quote, why)


def unreadable(thinking: str, *, at: int) -> Iterator[Finding]:
    """A long stretch of signs that is no writing: hardly any letters, digits or spaces of any script."""
    for match in re.finditer(r"\S{400,}", thinking):
        run = match.group()
        if sum(character.isalnum() for character in run) < 0.3 * len(run):
            start = at + match.start()
            why = "a stretch of the thinking is not readable"
            yield Finding(Category.UNFAITHFUL, 1, start, start + len(run), run, why)
            return


def _needs_thought(answer: str, problem: str) -> bool:
    """Whether the answer is long, or the problem asks for something to be worked out."""
    asks = _ASKS.search(problem)
    return len(answer.strip()) > 600 or (asks is not None and re.search(r"\d", problem) is not None)


def _repetition(text: str) -> tuple[int, int] | None:
    """Where one line, or one run of words, comes REPEATS times, one directly behind the other."""
    lines = segment(text)
    count = 1
    for place in range(1, len(lines)):
        alike = lines[place].of(text) == lines[place - 1].of(text) and len(lines[place].of(text)) > 3
        count = count + 1 if alike else 1
        if count >= REPEATS:
            return lines[place - REPEATS + 1].start, lines[place].end
    words = list(_WORD.finditer(text))
    if len(words) < RUN * REPEATS:
        return None
    runs = [" ".join(w.group().lower() for w in words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    common, number = Counter(runs).most_common(1)[0]
    if number < 2 * REPEATS or number * RUN < 0.5 * len(words):
        return None
    places = [i for i, run in enumerate(runs) if run == common]
    return words[places[0]].start(), words[places[REPEATS - 1] + RUN - 1].end()
