"""The checks behind `failures.classify`: each says what shows its cause, or None. None of them guesses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from trainer.reasoning.answers import extract
from trainer.reasoning.arithmetic import Verdict, check_step
from trainer.reasoning.failures import Case, Cause, Evidence, FirstBad, tool_results
from trainer.reasoning.quantities import Rounding, read, same
from trainer.reasoning.segment import Span
from trainer.reasoning.thinking import split_thinking
from trainer.reasoning.written_numbers import NUMBER, number_of

REPEATS = 3  # the same steps so often in a row are a loop, as are four times the same run of characters
SHORTEST_LOOPED = 12  # characters; shorter steps may repeat
LOOKED_AT = 6_000  # characters at the end of a text in which a run may repeat
_LOOPED = re.compile(r"(?s)(.{12,400}?)\1{3,}")
_CUT = re.compile(r"length|limit|budget|truncat|max_?tokens|token_limit|cut|context", re.IGNORECASE)
_NOT_CUT = re.compile(r"closed itself|stop|end_turn|eos", re.IGNORECASE)
_EXIT = re.compile(
    r"\b(?:exit(?:ed)?(?:\s+(?:with\s+)?(?:code|status))?|returncode|return code|status code)\b\D{0,6}([1-9]\d*)\b",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"Traceback \(most recent call last\)|^\s*(?:[A-Z]\w*(?:Error|Exception)|Error|ERROR|fatal|FATAL)\b\s*[:(]"
    r"|command not found|No such file or directory|Permission denied|timed out\b|segmentation fault",
    re.MULTILINE,
)
_ASKS_BOX = re.compile(r"\\boxed")
_SAID_NUMBERS = {
    "half": Fraction(1, 2),
    "halves": Fraction(1, 2),
    "third": Fraction(1, 3),
    "thirds": Fraction(1, 3),
    "quarter": Fraction(1, 4),
    "quarters": Fraction(1, 4),
    "fourth": Fraction(1, 4),
    "fifth": Fraction(1, 5),
    "twice": Fraction(2),
    "double": Fraction(2),
    "doubled": Fraction(2),
    "thrice": Fraction(3),
    "triple": Fraction(3),
    "tripled": Fraction(3),
    "pair": Fraction(2),
    "couple": Fraction(2),
    "dozen": Fraction(12),
    "dozens": Fraction(12),
    "hundred": Fraction(100),
    "thousand": Fraction(1000),
    "one": Fraction(1),
    "two": Fraction(2),
    "three": Fraction(3),
    "four": Fraction(4),
    "five": Fraction(5),
    "six": Fraction(6),
    "seven": Fraction(7),
    "eight": Fraction(8),
    "nine": Fraction(9),
    "ten": Fraction(10),
    "eleven": Fraction(11),
    "twelve": Fraction(12),
    "fifteen": Fraction(15),
    "twenty": Fraction(20),
    "thirty": Fraction(30),
    "forty": Fraction(40),
    "fifty": Fraction(50),
    "sixty": Fraction(60),
}
_KNOWN = frozenset(map(Fraction, (0, 1, 2, 3, 4, 7, 10, 12, 24, 30, 31, 52, 60, 90, 100, 180, 360, 365, 1000, 3600)))
_WORD = re.compile(r"[a-z]+")


def grader_wrong(case: Case, _bad: FirstBad) -> Evidence | None:
    """The outcome says wrong, and by value the answer is the reference."""
    if case.regrade.lenient is not True or case.outcome != 0 or case.answer is None:
        return None
    at = case.text.rfind(case.answer.strip())
    start, end = (at, at + len(case.answer.strip())) if at >= 0 else _last_line(case)
    strictly = " word for word" if case.regrade.strict else " by value, though not word for word"
    return Evidence(
        Cause.GRADER_WRONG,
        start,
        end,
        f"the answer equals the reference “{case.reference}”{strictly}; it counts as wrong",
    )


def slip(case: Case, bad: FirstBad) -> Evidence | None:
    """The first bad step asserts a false equation."""
    if bad.step is None or bad.step >= len(case.steps):
        return None
    span = case.steps[bad.step]
    for equation in check_step(span.of(case.text)).equations:
        if equation.verdict is Verdict.WRONG:
            return Evidence(
                Cause.SLIP, span.start + equation.start, span.start + equation.end, "the equation is false, exactly"
            )
    return None


def loop(case: Case, _bad: FirstBad) -> Evidence | None:
    """The same long step again and again, or the text's end repeats one run of characters."""
    words = [" ".join(span.of(case.text).casefold().split()) for span in case.steps]
    before: dict[str, int] = {}
    for place, step in enumerate(words):
        period = place - before.get(step, place)
        before[step] = place
        if not period or place + 1 < REPEATS * period or sum(map(len, words[place - period : place])) < SHORTEST_LOOPED:
            continue
        parts = [words[place + 1 - n * period : place + 1 - (n - 1) * period] for n in range(1, REPEATS + 1)]
        if all(part == parts[0] for part in parts):
            span = Span(case.steps[place + 1 - period].start, case.steps[place].end)
            many = "the same step" if period == 1 else f"the same {period} steps"
            return Evidence(Cause.LOOP, span.start, span.end, f"{many} stand here for the {REPEATS}rd time in a row")
    start = max(0, len(case.text) - LOOKED_AT)
    found = _LOOPED.search(case.text, start)
    if found is None or not any(c.isalnum() for c in found.group(1)):
        return None
    times = len(found.group()) // len(found.group(1))
    return Evidence(
        Cause.LOOP, found.start(), found.start() + len(found.group(1)), f"this repeats {times} times at once"
    )


def cut_off(case: Case, _bad: FirstBad) -> Evidence | None:
    """The source says it ran into a limit, or its thinking was never closed."""
    end = len(case.text.rstrip())
    last = Span(max(end - 80, case.steps[-1].start if case.steps else 0), end)
    if case.ended and _CUT.search(case.ended) and not _NOT_CUT.search(case.ended):
        return Evidence(Cause.CUT_OFF, last.start, last.end, f"it ended by “{case.ended}”")
    if not case.messages and not split_thinking(case.text).closed:
        return Evidence(Cause.CUT_OFF, last.start, last.end, "the thinking was never closed: there is no answer")
    return None


def tool_error(case: Case, bad: FirstBad) -> Evidence | None:
    """The last tool result before the first bad step, or of the trace where nobody says which is bad, failed."""
    until = case.steps[bad.step].end if bad.step is not None and bad.step < len(case.steps) else len(case.text)
    before = [span for span in tool_results(case) if span.start < until]
    if not before:
        return None
    span = before[-1]
    for pattern, why in ((_EXIT, "the tool left with a code other than 0"), (_ERROR, "the tool reports an error")):
        found = pattern.search(case.text, span.start, span.end)
        if found is not None:
            start = found.start() + len(found.group()) - len(found.group().lstrip())
            line = case.text.find("\n", found.end(), span.end)
            return Evidence(Cause.TOOL_ERROR, start, span.end if line < 0 else line, why)
    return None


def misread(case: Case, bad: FirstBad) -> Evidence | None:
    """The first bad step calculates with a number that neither the problem has nor the steps before derive."""
    if bad.step is None or bad.step >= len(case.steps) or not case.problem:
        return None
    return foreign_number(case, bad.step)


def foreign_number(case: Case, place: int) -> Evidence | None:
    """The first number of a step that comes from nowhere and is calculated with."""
    span = case.steps[place]
    known = _numbers_said(case.problem)
    for earlier in case.steps[:place]:
        known |= {value for value, _ in _numbers(case.text, earlier)}
    step = span.of(case.text)
    left = {place for equation in check_step(step).equations for place in range(equation.start, equation.end)}
    for value, at in _numbers(case.text, span):
        if value in _KNOWN or _follows_equals(case.text, at.start) or _derived(value, known):
            known.add(value)
        elif at.start - span.start in left:
            why = "the step calculates with a number that the problem does not have and no step before derives"
            return Evidence(Cause.MISREAD, at.start, at.end, why)
    return None


def answer_form(case: Case, _bad: FirstBad) -> Evidence | None:
    """No answer could be read, or it is not in the form that was asked for."""
    start, end = _last_line(case)
    boxed = _ASKS_BOX.search(case.problem) is not None and "\\boxed" not in case.text
    if case.answer is None and extract(case.text) is None and case.reference is not None:
        return Evidence(Cause.FORMAT, start, end, "no answer can be read: nothing names one")
    if boxed:
        return Evidence(Cause.FORMAT, start, end, "the problem asks for the answer in a box; there is none")
    if case.answer is None or case.reference is None:
        return None
    asked, given = read(case.reference), read(case.answer)
    at = case.text.rfind(case.answer.strip())
    place = (at, at + len(case.answer.strip())) if at >= 0 else (start, end)
    if asked.letter and not given.letter:
        return Evidence(Cause.FORMAT, *place, f"an option such as “{case.reference}” was asked for")
    last = extract(case.text[start:end], loose=True)
    if last is None or same(last, case.answer, rounding=Rounding.NONE) is not False:
        return None
    if same(last, case.reference, rounding=Rounding.NONE):
        why = f"the end has the reference's value, but “{case.answer}” was read as answer"
        return Evidence(Cause.FORMAT, start, end, why)
    return None


def needs_regrade(case: Case) -> bool:
    """Whether the graders should be asked: it counts as wrong, and there is an answer and a reference."""
    return case.outcome == 0 and bool((case.answer or "").strip()) and bool((case.reference or "").strip())


def _last_line(case: Case) -> tuple[int, int]:
    if not case.steps:
        return 0, len(case.text)
    return case.steps[-1].start, case.steps[-1].end


def _numbers(text: str, span: Span) -> Iterator[tuple[Fraction, Span]]:
    """Numbers of a stretch with their places; negative signs are left to the operators."""
    for match in NUMBER.finditer(text, span.start, span.end):
        value = number_of(match)
        if value is None:
            continue
        start = match.start() + len(match.group()) - len(match.group().lstrip(" -−$€£"))
        yield abs(value), Span(start, match.start() + len(match.group().rstrip()))


def _numbers_said(problem: str) -> set[Fraction]:
    found = {value for value, _ in _numbers(problem, Span(0, len(problem)))}
    parts = {Fraction(part) for value in re.findall(r"\d+", problem) for part in (value,)}
    words = {_SAID_NUMBERS[word] for word in _WORD.findall(problem.lower()) if word in _SAID_NUMBERS}
    return found | parts | words | {value / 100 for value in found}


def _derived(value: Fraction, known: set[Fraction]) -> bool:
    """Whether it is known, or a usual multiple or part of, or one operation on, what is known."""
    if value in known or any(value * usual in known or value / usual in known for usual in _KNOWN if usual):
        return True
    for one in known:
        if value - one in known or one - value in known or value + one in known:
            return True
        if one and (value / one in known or (value and one / value in known) or value * one in known):
            return True
    return False


def _follows_equals(text: str, start: int) -> bool:
    """Whether the number is what an equation claims, not what it starts from."""
    before = text[max(0, start - 12) : start].rstrip(" $€£\\({-−")
    return before.endswith(("=", "≈", "is", "get", "gives", ">>"))
