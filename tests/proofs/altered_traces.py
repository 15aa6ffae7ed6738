"""Traces with thinking and a visible answer, made by four generators, and the same with the visible answer altered.

Untouched ones include equal forms (1/2 and 0.5, units, thousands separators, asked-for rounding, percent, LaTeX),
abandoned intermediate values and self-corrections, checks behind the result, and multiple choice.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from trainer.reasoning.stories import make_stories

NAMES = ("Ana", "Ben", "Chloe", "Dmitri", "Esi", "Farid", "Grace", "Hiro", "Ines", "Jonas")
THINGS = ("apples", "tickets", "marbles", "pages", "stickers", "bottles", "cards", "coins")


@dataclass(frozen=True, slots=True)
class Made:
    """A trace; `thinking` None: one text without marked thinking. `altered`: the visible answer was changed."""

    source: str
    problem: str
    thinking: str | None
    answer: str
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A trace before its answer is told: `tell(value)` says a value as the user sees it; `traps` were abandoned."""

    source: str
    problem: str
    thinking: str | None
    value: Fraction
    tell: Callable[[Fraction], str]
    traps: tuple[Fraction, ...] = ()
    letters: str = ""


def plain(value: Fraction) -> str:
    """A whole number or a short decimal."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"


def money(value: Fraction) -> str:
    return f"${float(value):,.2f}"


def thousands(value: Fraction) -> str:
    return f"{value.numerator:,}" if value.denominator == 1 else plain(value)


def other_value(draft: Draft, draw: random.Random) -> Fraction:
    """A wrong value: an abandoned one, one step off, two digits swapped, another sign, ten times as much."""
    value = draft.value
    ways = [value + draw.choice((1, 2, 3, 5, 10)), value - draw.choice((1, 2, 3)), value * 10, value * 2, -value]
    ways += [*draft.traps, *draft.traps]
    digits = str(abs(value.numerator))
    if value.denominator == 1 and len(digits) > 1:
        ways.append(Fraction(int(digits[:-2] + digits[-1] + digits[-2])))
    far = [
        one
        for one in ways
        if abs(one - value) > abs(value) / 1000 and one != value and abs(one - value) >= Fraction(1, 20)
    ]
    return draw.choice(far)


# -- generators -------------------------------------------------------------------------------------------------------


def stories(draw: random.Random) -> Iterator[Draft]:
    """The product's own arithmetic stories as thinking, with a sentence that tells the result."""
    ways: tuple[Callable[[Fraction], str], ...] = (
        lambda v: f"The answer is {plain(v)}.",
        lambda v: f"You end up with {plain(v)}.",
        lambda v: f"After following every instruction, the number is **{plain(v)}**.",
        lambda v: f"\\boxed{{{plain(v)}}}",
        lambda v: plain(v),
        lambda v: f"Answer: {plain(v)}",
    )
    ends = ("", "\nSo the final number is {}.", "\nThe answer is {}.", "\nThat leaves {}.", "\nDone: the result is {}.")
    for story in make_stories(100_000, seed=draw.randrange(10**6)):
        steps = list(story.steps)
        last = steps[-1].split("\n")[0]
        value = Fraction(last.rpartition("=")[2].strip())
        thinking = "\n".join([*steps[:-1], last]) + draw.choice(ends).format(plain(value))
        yield Draft("stories", story.problem, thinking, value, draw.choice(ways))


def forms(draw: random.Random) -> Iterator[Draft]:
    """Equations, fractions, rates, money and percentages, told in another but equal form."""
    while True:
        yield draw.choice((_equation, _rate, _share, _percent, _hours, _large))(draw)


def _equation(draw: random.Random) -> Draft:
    a, c = draw.choice((2, 3, 4, 5, 6, 8)), draw.randint(-20, 30)
    x = Fraction(draw.randint(-24, 24), draw.choice((1, 2, 4)))
    b = c - a * x
    written = f"\\frac{{{x.numerator}}}{{{x.denominator}}}" if x.denominator != 1 else str(x)
    thinking = (
        f"We need {a}x + ({plain(b)}) = {c}. Subtract: {a}x = {c} - ({plain(b)}) = {plain(c - b)}.\n"
        f"Divide by {a}: $x = {written}$."
    )
    tell = draw.choice(
        (
            lambda v: f"Solving step by step gives $x = {plain(v)}$.",
            lambda v: (
                f"\\[ x = \\boxed{{{v.numerator}/{v.denominator}}} \\]" if v.denominator != 1 else f"\\boxed{{{v}}}"
            ),
            lambda v: f"The solution is $\\boxed{{{plain(v)}}}$",
            lambda v: f"**Answer:** x = {plain(v)}",
        )
    )
    return Draft("forms", f"Solve {a}x + ({plain(b)}) = {c}.", thinking, x, tell, (c - b, Fraction(c)))


def _rate(draw: random.Random) -> Draft:
    speed, time = draw.randint(20, 90), Fraction(draw.randint(2, 15), 2)
    value = speed * time
    thinking = (
        f"Distance is speed times time. {speed} * {plain(time)} = {plain(value)}. So the train travels "
        f"{plain(value)} km. Let me double-check: {plain(value)} / {speed} = {plain(time)}. Good."
    )
    tell = draw.choice(
        (
            lambda v: f"The train travels {plain(v)} kilometers.",
            lambda v: f"It covers **{plain(v)} km**.",
            lambda v: f"Distance = {speed} km/h × {plain(time)} h = {plain(v)} km.",
            lambda v: f"The answer is {plain(v * 1000)} meters." if v == value else f"The answer is {plain(v)} km.",
        )
    )
    problem = f"A train runs at {speed} km/h for {plain(time)} hours. How far does it go?"
    return Draft("forms", problem, thinking, value, tell, (Fraction(speed), time))


def _share(draw: random.Random) -> Draft:
    whole, part = draw.choice((2, 4, 5, 8, 10, 20)), draw.randint(1, 30)
    value = Fraction(part, whole)
    thinking = f"There are {part} cups of sugar for {whole} cakes, so each cake gets {part}/{whole} = {value} of a cup."
    tell = draw.choice(
        (
            lambda v: f"Each cake gets {plain(v)} cups of sugar.",
            lambda v: f"Answer: {v.numerator}/{v.denominator} cup",
            lambda v: f"$\\boxed{{\\frac{{{v.numerator}}}{{{v.denominator}}}}}$",
        )
    )
    problem = f"{part} cups of sugar are shared by {whole} cakes. How much does each cake get?"
    return Draft("forms", problem, thinking, value, tell, (Fraction(whole), Fraction(part)))


def _percent(draw: random.Random) -> Draft:
    base, rate = draw.choice((40, 50, 80, 120, 200, 250, 400)), draw.choice((5, 10, 15, 20, 25, 30, 60))
    part = Fraction(base * rate, 100)
    if draw.random() < 0.5:
        value = Fraction(rate)
        thinking = (
            f"{plain(part)} out of {base} is {plain(part)} / {base} = {plain(Fraction(rate, 100))}, as a percentage."
        )
        problem = f"{plain(part)} of {base} seats are taken. What percentage is that?"
        tell: Callable[[Fraction], str] = draw.choice(
            (lambda v: f"{plain(v)}% of the seats are taken.", lambda v: f"The answer is {plain(v)} percent.")
        )
        return Draft("forms", problem, thinking, value, tell, (Fraction(base),))
    value = base - part
    thinking = (
        f"The discount is {rate}% of ${base}: 0.{rate:02d} * {base} = {plain(part)}. "
        f"Then {base} - {plain(part)} = {plain(value)}, so the jacket costs {money(value)}."
    )
    problem = f"A jacket costs ${base} and is reduced by {rate}%. What does it cost now?"
    tell = draw.choice(
        (
            lambda v: f"It costs {plain(v)} dollars now.",
            lambda v: f"The reduced price is **{money(v)}**.",
            lambda v: f"The final answer is {money(v)}",
        )
    )
    return Draft("forms", problem, thinking, value, tell, (part, Fraction(base)))


def _hours(draw: random.Random) -> Draft:
    minutes = 30 * draw.randint(3, 19)
    value = Fraction(minutes, 60)
    films = draw.randint(2, 5)
    thinking = f"{films} films take {minutes} minutes. {minutes} / 60 = {plain(value)}, which is {plain(value)} hours."
    tell = draw.choice(
        (
            lambda v: f"They take {plain(v * 60)} minutes in all.",
            lambda v: f"In total they take {plain(v)} hours.",
            lambda v: (
                f"The answer is {int(v)} hours and {plain((v - int(v)) * 60)} minutes."
                if v > 0 and v.denominator != 1
                else f"The answer is {plain(v)} hours."
            ),
        )
    )
    return Draft("forms", f"{films} films take {minutes} minutes. How long is that?", thinking, value, tell)


def _large(draw: random.Random) -> Draft:
    boxes, each = draw.randint(12, 95), draw.randint(110, 990)
    value = Fraction(boxes * each)
    thinking = f"{boxes} boxes with {each} sheets: {boxes} * {each} = {value}.\nThe total is {value} sheets."
    tell = draw.choice(
        (
            lambda v: f"There are {thousands(v)} sheets in total.",
            lambda v: f"The answer is {plain(v)}.",
            lambda v: f"#### {thousands(v)}",
        )
    )
    problem = f"There are {boxes} boxes with {each} sheets each. How many sheets are there?"
    return Draft("forms", problem, thinking, value, tell, (Fraction(boxes + each), Fraction(each)))


def corrections(draw: random.Random) -> Iterator[Draft]:
    """Word problems of several steps with a slip that is noticed, checks behind the result, rounding, and choices."""
    while True:
        yield draw.choice((_shop, _shop, _rounded, _choice))(draw)


def _shop(draw: random.Random) -> Draft:
    name, thing = draw.choice(NAMES), draw.choice(THINGS)
    has, more, gives, price = draw.randint(20, 90), draw.randint(3, 15), draw.randint(2, 15), draw.randint(2, 9)
    slip = has + more + gives
    left, value = has + more - gives, Fraction((has + more - gives) * price)
    wrong = Fraction(slip * price)
    notices = (
        f"Wait, that's wrong. {name} gives {gives} away, so I must subtract: ",
        f"Hmm, no. I added the {gives}, but they are given away. ",
        "Actually, I made a mistake: giving away means minus. Let me redo that. ",
        f"Hold on, the {gives} should be subtracted, not added. ",
    )
    begins = (
        f"{name} has {has} {thing} and gets {more} more: {has} + {more} = {has + more}. ",
        f"Start: {has} {thing}. Plus {more} gives {has + more}. ",
    )
    thinking = draw.choice(begins)
    if draw.random() < 0.65:
        thinking += f"Then {has + more} + {gives} = {slip}, times ${price} is ${wrong}. "
        thinking += draw.choice(
            ("", f"So the answer is {wrong}. ", f"So {name} earns {wrong} dollars. ")
        ) + draw.choice(notices)
    thinking += f"{has + more} - {gives} = {left}. Selling {left} at ${price} each: {left} * {price} = {value}. "
    thinking += draw.choice(
        (
            "",
            f"So {name} earns ${value}.",
            f"Let me verify: {value} / {price} = {left}, and {left} + {gives} = {has + more}. Correct.",
            f"The answer should be {value} dollars.",
            f"Is this right? The {gives} are gone before the sale, so yes. {name} gets {value} dollars.",
        )
    )
    tell = draw.choice(
        (
            lambda v: f"{name} earns ${thousands(v)}.",
            lambda v: (
                f"{name} starts with {has} {thing}, gets {more} and gives {gives} away. "
                f"Selling the rest at ${price} each brings in {plain(v)} dollars."
            ),
            lambda v: f"The answer is **{money(v)}**.",
            lambda v: f"{has} + {more} - {gives} = {left}\n{left} × {price} = {plain(v)}",
            lambda v: f"**Final answer: {plain(v)}**",
        )
    )
    problem = (
        f"{name} has {has} {thing}, gets {more} more, gives {gives} away and sells the rest for ${price} each. "
        "How much money is that?"
    )
    return Draft("corrections", problem, thinking, value, tell, (wrong, Fraction(left), Fraction(slip)))


def _rounded(draw: random.Random) -> Draft:
    total, people = draw.randint(100, 990), draw.choice((3, 6, 7, 9, 11, 13))
    exact = Fraction(total, people)
    places = draw.choice((0, 1, 2))
    value = Fraction(f"{float(exact):.{places}f}")
    to = ("whole number", "tenth", "hundredth")[places]
    thinking = f"{total} / {people} = {float(exact):.6f}... "
    thinking += draw.choice(
        (f"Rounded to the nearest {to} that is {float(exact):.{places}f}.", "I should round that at the end.")
    )
    tell = draw.choice(
        (
            lambda v: f"Each gets about {float(v):.{places}f}.",
            lambda v: f"The answer, rounded to the nearest {to}, is {float(v):.{places}f}.",
            lambda v: f"\\boxed{{{float(v):.{places}f}}}",
        )
    )
    problem = f"{total} is divided by {people}. Round to the nearest {to}."
    return Draft("corrections", problem, thinking, value, tell, (Fraction(total), value + 7))


def _choice(draw: random.Random) -> Draft:
    a, b = draw.randint(11, 60), draw.randint(3, 12)
    right = a * b
    options = [right, right + b, right - a, a + b]
    draw.shuffle(options)
    letter = "ABCD"[options.index(right)]
    listed = " ".join(f"({name}) {option}" for name, option in zip("ABCD", options, strict=True))
    ends = (f"That is option {letter}, so the answer is ({letter}).", f"So the answer is {letter}.", "")
    thinking = f"{a} times {b}: {a} * {b} = {right}. " + draw.choice(ends)
    tell = draw.choice(
        (
            lambda v: f"The correct answer is ({'ABCD'[int(v)]}).",
            lambda v: f"Answer: {'ABCD'[int(v)]}",
            lambda v: f"**{'ABCD'[int(v)]}**",
        )
    )
    problem = f"What is {a} times {b}? {listed}"
    return Draft("corrections", problem, thinking, Fraction("ABCD".index(letter)), tell, letters="ABCD")


def gsm8k(path: Path, draw: random.Random) -> Iterator[Draft]:
    """Model solutions of GSM8K as they are, right or wrong: the reasoning, then the line that tells the answer."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    draw.shuffle(rows)
    for row in rows:
        name = draw.choice(("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"))
        before, mark, told = row[name]["solution"].rpartition("\nA: ")
        try:
            value = Fraction(told.strip().replace(",", ""))
        except ValueError:
            continue
        whole, as_written = f"{before}{mark}", value

        def tell(v: Fraction, whole: str = whole, told: str = told, as_written: Fraction = as_written) -> str:
            return whole + (told if v == as_written else plain(v))

        yield Draft("gsm8k", row["question"], None, value, tell)


# -- the mixture ------------------------------------------------------------------------------------------------------


def mixture(untouched: int, altered: int, *, seed: int, gsm8k_path: Path | None) -> list[Made]:
    """As many traces of each kind, in equal parts from each generator, no problem twice."""
    draw = random.Random(seed)
    sources = [stories(draw), forms(draw), corrections(draw)]
    if gsm8k_path is not None:
        sources.append(gsm8k(gsm8k_path, draw))
    made: list[Made] = []
    for number, source in enumerate(sources):
        counts = [(total + number) // len(sources) for total in (untouched, altered)]
        seen: set[tuple[str, str | None]] = set()
        while sum(counts) > 0:
            draft = next(source)
            if (draft.problem, draft.thinking) in seen:
                continue
            seen.add((draft.problem, draft.thinking))
            change = draw.random() * sum(counts) < counts[1]
            counts[int(change)] -= 1
            made.append(_told(draft, draw, change))
    draw.shuffle(made)
    return made


def _told(draft: Draft, draw: random.Random, change: bool) -> Made:
    value = draft.value
    if change and draft.letters:
        value = Fraction(draw.choice([k for k in range(len(draft.letters)) if k != draft.value]))
    elif change:
        value = other_value(draft, draw)
    return Made(draft.source, draft.problem, draft.thinking, draft.tell(value), change)
