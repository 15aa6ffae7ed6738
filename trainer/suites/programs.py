"""Code: functions in the form of HumanEval, and programs that read and write as on Codeforces, run in the sandbox.

Both graders say the same: a program passes its tests or it does not. A program that attacks its own tests from within
can make them pass (any such suite has that hole); it reaches nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from trainer.contract.records import InputRow
from trainer.reasoning.response import Response
from trainer.suites.sandbox import Limits, run_program
from trainer.suites.values import Answered, AsText, Check, Graded

_BLOCK = re.compile(r"```[ \t]*(?:python|python3|py)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)
_STOP = re.compile(r"\n(?=class |def |#|if |print\(|assert |@|```)")  # ends a bare completion (Chen et al. 2021)
_FUNCTION = "Complete this function. Answer with the whole function in one ```python block.\n\n```python\n{}```"
_PROGRAM = (
    "Write a Python program that solves this problem: it reads from standard input and writes to standard output, with "
    "the standard library alone. Answer with the whole program in one ```python block.\n\n{}"
)


class Programs(AsText):
    """Answers that are executed; up to `together` at once."""

    def __init__(self, limits: Limits, *, together: int = 2) -> None:
        self._limits, self._together = limits, together

    def ask(self, row: InputRow, taught: bool) -> str:
        """The problem, with what is wanted for a policy that was not taught here."""
        if taught:
            return row.problem
        return (_FUNCTION if "entry_point" in row.extra else _PROGRAM).format(row.problem)

    def read(self, row: InputRow, response: Response) -> str | None:
        """The program: the last block of code, or the text as a completion of the prompt."""
        text = response.visible.of(response.text)
        if not text.strip():
            return None
        entry = row.extra.get("entry_point")
        blocks = [block for block in _BLOCK.findall(text) if block.strip()]
        if entry is None:
            return str(blocks[-1] if blocks else text)
        defining = [block for block in blocks if f"def {entry}" in block]
        code = defining[-1] if defining else blocks[-1] if blocks else text
        if f"def {entry}" in code:
            return f"{_preamble(row.problem, entry)}{code}"
        return row.problem + (code if blocks else _STOP.split(code, maxsplit=1)[0])

    def grade(self, answered: Sequence[Answered], check: Check) -> list[Graded]:
        """Every program against the tests of its row. Raises SandboxError."""
        with ThreadPoolExecutor(self._together, thread_name_prefix="sandbox") as pool:
            running = [pool.submit(self._graded, one, check) for one in answered]
            try:
                return [each.result() for each in running]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _graded(self, one: Answered, check: Check) -> Graded:
        if one.answer is None:
            return Graded(False, False, False, "no program", {"passed": 0})
        entry = one.row.extra.get("entry_point")
        if entry is None:
            return self._over_cases(one.answer, one.row, check)
        ran = run_program(f"{one.answer}\n\n{one.row.extra['test']}\n\ncheck({entry})\n", "", self._limits, check=check)
        return Graded(ran.finished, ran.finished, ran.finished, ran.why, {"passed": int(ran.finished)})

    def _over_cases(self, program: str, row: InputRow, check: Check) -> Graded:
        """Until the first case that fails."""
        cases = row.extra["tests"]
        seconds = min(self._limits.seconds, float(row.extra.get("seconds", self._limits.seconds)))
        for number, case in enumerate(cases):
            ran = run_program(program, case["input"], replace(self._limits, seconds=seconds), check=check)
            if ran.finished and ran.stdout.split() == case["output"].split():
                continue
            why = ran.why or f"wrote {_short(ran.stdout)}, not {_short(case['output'])}"
            detail = {"passed": number, "tests": len(cases), "failed": number}
            return Graded(False, False, False, f"test {number + 1} of {len(cases)}: {why}", dict(detail))
        return Graded(True, True, True, "", {"passed": len(cases), "tests": len(cases)})


def _preamble(prompt: str, entry: str) -> str:
    """What the prompt brings before the function: imports and helpers."""
    return prompt[: prompt.index(f"def {entry}")]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 40 else f"{line[:39]}…")
