"""Arithmetic stories: made problems with right and plausibly wrong traces, which a tiny PRM can learn in minutes.

A problem reads "Start with 7. Add 5. Double it."; its steps are "7 + 5 = 12", "12 * 2 = 24". Every step of a trace
goes wrong with the same chance until the first slip, so neither a step's place nor the length of a trace says anything
about it; a slip changes one digit of the result, of the operand or of the value carried over, and what is written is
drawn from the range of right steps, so that the text of a step alone says little. After a slip the trace goes on
consistently from what it wrote.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.records import InputRow, Rating, Votes
from trainer.contract.spec import Value
from trainer.reasoning.split import fold_of, split_of

LARGEST = 12  # the larger the numbers, the more sums and pairs of numbers there are to learn
LARGEST_OPERAND = 9
FEWEST_STEPS, MOST_STEPS = 2, 6
HAZARD = 0.25
"""Chance that a step is the first slip, given that none came before it."""

STORY_COUNT = 10_000
STORY_SEED = 1
STORY_PRESET: dict[str, Value] = {
    "model": "tiny",
    "max_length": 128,
    "batch_size": 32,
    "micro_batch": 32,
    "max_steps": 1500,
    "head_rate": 3e-3,
    "body_rate": 3e-3,
    "warmup": 0.03,
    "decay": 0.95,
    "weight_decay": 0.1,
    "language_loss": 1.0,
    "threads": 1,  # so small a model gains nothing from a second processor, which is left to the window
    "eval_every": 125,
    "checkpoint_every": 500,
}
"""Parameters of the PRM recipe with which the tiny model learns the stories; every other parameter is the default."""


class Verb(StrEnum):
    """What an instruction does to the value."""

    ADD = "+"
    TAKE = "-"
    DOUBLE = "*"
    HALVE = "/"


class Slip(StrEnum):
    """What a wrong step gets wrong."""

    RESULT = "result"
    OPERAND = "operand"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One sentence of a problem; `operand` is 2 for doubling and halving."""

    verb: Verb
    operand: int

    @property
    def sentence(self) -> str:
        """The sentence as the problem tells it."""
        match self.verb:
            case Verb.ADD:
                return f"Add {self.operand}."
            case Verb.TAKE:
                return f"Subtract {self.operand}."
            case Verb.DOUBLE:
                return "Double it."
            case Verb.HALVE:
                return "Halve it."

    def apply(self, value: int, largest: int = LARGEST) -> int | None:
        """The new value, None when it is no whole number from 1 to `largest`."""
        match self.verb:
            case Verb.ADD:
                result = value + self.operand
            case Verb.TAKE:
                result = value - self.operand
            case Verb.DOUBLE:
                result = value * 2
            case Verb.HALVE:
                result = value // 2 if value % 2 == 0 else 0
        return result if 1 <= result <= largest else None


@dataclass(frozen=True, slots=True)
class Line:
    """A step as written: value, verb, operand, result."""

    value: int
    verb: Verb
    operand: int
    result: int

    @property
    def text(self) -> str:
        """The step's text."""
        return f"{self.value} {self.verb} {self.operand} = {self.result}"


@dataclass(frozen=True, slots=True)
class Story:
    """A problem with one trace; `wrong` is the index of the first wrong step, None in a right trace."""

    problem: str
    answer: str
    steps: tuple[str, ...]
    wrong: int | None
    slip: Slip | None

    @property
    def ratings(self) -> tuple[Rating | None, ...]:
        """What people say of its steps."""
        return ratings_until(self.wrong, len(self.steps))


def make_stories(count: int, *, seed: int) -> Iterator[Story]:
    """`count` stories of as many problems, the same for the same seed; a longer list begins like a shorter one.

    One trace a problem: drawing several that differ would make right traces rarer and so give away the short ones.
    """
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        start, plan = draw_problem(draw)
        problem = problem_text(start, plan)
        if problem not in seen:
            seen.add(problem)
            yield _draw_trace(draw, problem, start, plan)


def ratings_until(wrong: int | None, steps: int) -> tuple[Rating | None, ...]:
    """Positive until the first wrong step, negative there, None after it: labelling stops at the first error."""
    if wrong is None:
        return (Rating.POSITIVE,) * steps
    return (Rating.POSITIVE,) * wrong + (Rating.NEGATIVE,) + (None,) * (steps - wrong - 1)


def votes_of(ratings: Iterable[Rating | None]) -> tuple[Votes | None, ...]:
    """One annotator's ratings as the votes of a row."""
    return tuple(
        None
        if rating is None
        else Votes(negative=float(rating is Rating.NEGATIVE), positive=float(rating is Rating.POSITIVE))
        for rating in ratings
    )


def story_row(story: Story, number: int) -> InputRow:
    """The story as a row of input.jsonl, in the split of its problem."""
    return InputRow(
        id=f"story-{number}",
        trace=f"story-{number}",
        segmentation=1,
        problem=story.problem,
        steps=story.steps,
        step_ids=tuple(range(1, len(story.steps) + 1)),
        reference=story.answer,
        votes=votes_of(story.ratings),
        split=split_of(fold_of(story.problem)),
        project="arithmetic stories",
        origin="made",
    )


def problem_text(start: int, plan: list[Instruction]) -> str:
    """A problem as it is told."""
    return " ".join([f"Start with {start}.", *(instruction.sentence for instruction in plan)])


def draw_problem(
    draw: random.Random, largest: int = LARGEST, verbs: Sequence[Verb] = tuple(Verb)
) -> tuple[int, list[Instruction]]:
    """A start value and instructions that keep the value whole and from 1 to `largest`; a verb may stand twice."""
    while True:
        start = value = draw.randint(1, largest)
        plan: list[Instruction] = []
        for _ in range(draw.randint(FEWEST_STEPS, MOST_STEPS)):
            of_verb = _ALL_INSTRUCTIONS[draw.choice(verbs)]
            choices = [(i, r) for i in of_verb if (r := i.apply(value, largest)) is not None]
            if not choices:
                break
            instruction, value = draw.choice(choices)
            plan.append(instruction)
        else:
            return start, plan


_ALL_INSTRUCTIONS = {
    Verb.ADD: [Instruction(Verb.ADD, n) for n in range(1, LARGEST_OPERAND + 1)],
    Verb.TAKE: [Instruction(Verb.TAKE, n) for n in range(1, LARGEST_OPERAND + 1)],
    Verb.DOUBLE: [Instruction(Verb.DOUBLE, 2)],
    Verb.HALVE: [Instruction(Verb.HALVE, 2)],
}


def _draw_trace(draw: random.Random, problem: str, start: int, plan: list[Instruction]) -> Story:
    right = _lines(start, plan)
    assert right is not None, "a problem is drawn with values in range"
    answer = str(right[-1].result)
    wrong = next((place for place in range(len(plan)) if draw.random() < HAZARD), None)
    if wrong is None:
        return Story(problem, answer, _texts(right), None, None)
    ways = {slip: _slips(slip, right[wrong], plan[wrong], plan[wrong + 1 :]) for slip in Slip}
    possible = [slip for slip in Slip if ways[slip]]
    if not possible:
        return _draw_trace(draw, problem, start, plan)
    slip = draw.choice(possible)
    written = draw.choice(ways[slip])
    rest = _lines(written.result, plan[wrong + 1 :])
    assert rest is not None, "slips that cannot go on are left out"
    return Story(problem, answer, _texts([*right[:wrong], written, *rest]), wrong, slip)


def _lines(start: int, plan: list[Instruction]) -> list[Line] | None:
    """The steps from a value on, None when they leave the range."""
    lines: list[Line] = []
    value = start
    for instruction in plan:
        result = instruction.apply(value)
        if result is None:
            return None
        lines.append(Line(value, instruction.verb, instruction.operand, result))
        value = result
    return lines


def _texts(lines: list[Line]) -> tuple[str, ...]:
    texts = [line.text for line in lines]
    return (*texts[:-1], f"{texts[-1]}\n\n# Answer\n\n{lines[-1].result}")


def _slips(slip: Slip, right: Line, instruction: Instruction, rest: list[Instruction]) -> list[Line]:
    """Every way to write this step with this slip from which the rest of the trace still can go on."""
    written: list[Line] = []
    match slip:
        case Slip.RESULT:
            written = [Line(right.value, right.verb, right.operand, r) for r in _one_digit_off(right.result, LARGEST)]
        case Slip.OPERAND if right.verb in (Verb.ADD, Verb.TAKE):
            for operand in _one_digit_off(right.operand, LARGEST_OPERAND):
                result = Instruction(right.verb, operand).apply(right.value)
                if result is not None:
                    written.append(Line(right.value, right.verb, operand, result))
        case Slip.VALUE:
            for value in _one_digit_off(right.value, LARGEST):
                result = instruction.apply(value)
                if result is not None:
                    written.append(Line(value, right.verb, right.operand, result))
        case _:
            pass
    return [line for line in written if _lines(line.result, rest) is not None]


def _one_digit_off(number: int, largest: int) -> list[int]:
    """Numbers from 1 to `largest` with as many digits, of which exactly one differs."""
    digits = str(number)
    return [
        other
        for other in range(1, largest + 1)
        if len(str(other)) == len(digits) and sum(a != b for a, b in zip(str(other), digits, strict=True)) == 1
    ]
