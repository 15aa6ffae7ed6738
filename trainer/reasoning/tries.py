"""Demonstrations of trying: problems that are solved by one guess after another, so that longer thinking is worth it.

A problem reads "Which of 3, 9, 12, 5, 17, 8 becomes 10? Double it. Subtract 8."; the teacher tries the numbers in their
order, a line a step, and says of each whether it is the one. Turning the instructions round would answer at once, but
no demonstration shows that. The teacher thinks for a number of lines drawn at random. If it has found the number before
they are used, it checks it again (`keeps_checking`) or stops; if not, it answers with the next number not ruled out. So
a right answer needs luck or length: with t of n numbers ruled out the guess is right once in n - t times.

"Yes" and "No" are as long as each other: else the length that a prompt asks for would tell where the number is found.
Now and then the teacher pauses ("Hmm", up to three times on a line), so that thinking of every length is shown.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from trainer.contract.records import InputRow
from trainer.contract.spec import Value
from trainer.reasoning.demonstrations import response_text
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.stories import Instruction, Line, Verb

LARGEST = 20
LARGEST_OPERAND = 9
GOAL = 10  # one for all problems: a tiny model compares with a number that it knows, not with one it must look up
CANDIDATES = 6
INSTRUCTIONS = 2
LINES = CANDIDATES * (INSTRUCTIONS + 2)
"""Lines that suffice to try every number, without pauses."""
PAUSES, PAUSE, MOST_PAUSES = 0.2, "Hmm", 3

TRY_COUNT = 20_000
TRY_SEED = 1
TRY_PRESET: dict[str, Value] = {
    "model": "tiny",
    "max_length": 192,
    "batch_size": 64,
    "rate": 3e-3,
    "max_steps": 900,
    "warmup": 0.03,
    "decay": 0.95,
    "weight_decay": 0.1,
    "threads": 1,
    "eval_every": 300,
    "checkpoint_every": 300,
}
"""Parameters of the recipe sft with which the tiny model learns to try; the form of the budget is chosen beside it."""

_INSTRUCTIONS = (
    *(Instruction(verb, n) for verb in (Verb.ADD, Verb.TAKE) for n in range(1, LARGEST_OPERAND + 1)),
    *[Instruction(Verb.DOUBLE, 2)] * LARGEST_OPERAND,
)


@dataclass(frozen=True, slots=True)
class Search:
    """A problem: which of the numbers the instructions turn into the goal. Exactly one of them does."""

    numbers: tuple[int, ...]
    plan: tuple[Instruction, ...]
    right: int

    @property
    def problem(self) -> str:
        """The problem as it is told."""
        listed = ", ".join(str(number) for number in self.numbers)
        sentences = " ".join(instruction.sentence for instruction in self.plan)
        return f"Which of {listed} becomes {GOAL}? {sentences}"

    def lines(self, number: int) -> list[Line]:
        """What becomes of a number, a line an instruction."""
        out, value = [], number
        for instruction in self.plan:
            result = _applied(instruction, value)
            assert result is not None, "numbers that leave the range are never candidates"
            out.append(Line(value, instruction.verb, instruction.operand, result))
            value = result
        return out


@dataclass(frozen=True, slots=True)
class Tried:
    """A search with what the teacher wrote: steps (the last is the answer line) and whether the answer is right."""

    search: Search
    steps: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What the teacher answered."""
        return self.steps[-1].removeprefix("Answer: ")

    @property
    def correct(self) -> bool:
        """Whether that is the number."""
        return self.answer == str(self.search.right)

    @property
    def response(self) -> str:
        """Thinking and answer as text."""
        return response_text(self.steps)


def make_tries(count: int, *, seed: int, keeps_checking: bool, any_order: bool = False) -> Iterator[Tried]:
    """`count` demonstrations of as many problems, the same for the same arguments; longer lists begin like shorter.

    With `any_order` the teacher tries the numbers in an order drawn at random, so that two traces try different ones.
    """
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        search = _draw_search(draw)
        lines = draw.randint(1, LINES)
        if search.problem not in seen:
            seen.add(search.problem)
            order = draw.sample(search.numbers, CANDIDATES) if any_order else search.numbers
            yield try_for(search, lines, keeps_checking=keeps_checking, draw=draw, order=order)


def try_for(
    search: Search,
    lines: int,
    *,
    keeps_checking: bool,
    draw: random.Random | None = None,
    order: Sequence[int] = (),
) -> Tried:
    """What the teacher writes who has `lines` lines to think, at least one; without `draw` the teacher never pauses.

    The numbers are tried in `order`, that of the problem where none is given. Raises ValueError.
    """
    if lines < 1:
        raise ValueError(f"{lines} lines to think: at least one is needed")
    order = order or search.numbers
    if sorted(order) != sorted(search.numbers):
        raise ValueError(f"an order of {sorted(order)}; the numbers are {sorted(search.numbers)}")
    thinking = _thinking(search, keeps_checking, order)
    written = list(islice(thinking if draw is None else _pausing(draw, order[0], thinking), lines))
    return Tried(search, (*(text for text, _ in written), f"Answer: {written[-1][1]}"))


def try_row(tried: Tried, number: int) -> InputRow:
    """The demonstration as a row of input.jsonl, in the split of its problem."""
    problem = tried.search.problem
    return InputRow(
        id=f"try-{number}",
        trace=f"try-{number}",
        segmentation=1,
        problem=problem,
        steps=tried.steps,
        step_ids=tuple(range(1, len(tried.steps) + 1)),
        reference=str(tried.search.right),
        response=tried.response,
        split=split_of(fold_of(problem)),
        project="arithmetic by trying",
        origin="made",
    )


def _thinking(search: Search, keeps_checking: bool, order: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Lines with what would be answered after each: the number in hand, once it is ruled out the next one."""
    before = order[: order.index(search.right)]
    for number, following in zip(before, order[1:], strict=False):
        yield f"Try {number}", number
        yield from ((line.text, number) for line in search.lines(number))
        yield "No", following
    verb = "Try"
    while True:
        yield f"{verb} {search.right}", search.right
        yield from ((line.text, search.right) for line in search.lines(search.right))
        yield "Yes", search.right
        if not keeps_checking:
            return
        verb = "Check"


def _pausing(draw: random.Random, answer: int, lines: Iterator[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for text, after in lines:
        if draw.random() < PAUSES:
            yield " ".join([PAUSE] * draw.randint(1, MOST_PAUSES)), answer
        yield text, after
        answer = after


def _draw_search(draw: random.Random) -> Search:
    while True:
        plan = tuple(draw.choice(_INSTRUCTIONS) for _ in range(INSTRUCTIONS))
        possible = [number for number in range(1, LARGEST + 1) if _stays(plan, number)]
        right = [number for number in possible if Search((), plan, number).lines(number)[-1].result == GOAL]
        if right and len(possible) >= CANDIDATES:
            others = draw.sample([number for number in possible if number not in right], CANDIDATES - 1)
            numbers = draw.sample([*others, *right], CANDIDATES)
            return Search(tuple(numbers), plan, right[0])


def _stays(plan: tuple[Instruction, ...], number: int) -> bool:
    value: int | None = number
    for instruction in plan:
        value = None if value is None else _applied(instruction, value)
    return value is not None


def _applied(instruction: Instruction, value: int) -> int | None:
    """The new value while it stays from 1 to twice the largest number."""
    return instruction.apply(value, 2 * LARGEST)
