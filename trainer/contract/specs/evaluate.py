"""What can be asked of the recipe `evaluate`, and the suites there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from trainer.contract.forms import Aggregation
from trainer.contract.specs.setting import SpecError, Value, setting


class Suite(StrEnum):
    """A benchmark: how a problem is asked, how the answer is read, and what counts."""

    GSM8K = "gsm8k"
    MATH500 = "math500"
    AIME = "aime"
    ARC = "arc"
    HUMANEVAL = "humaneval"
    PROGRAMS = "programs"
    PROCESSBENCH = "processbench"
    PRMBENCH = "prmbench"
    OWN = "own"
    REGRESSIONS = "regressions"

    @property
    def heading(self) -> str:
        """As tables name it."""
        return _TITLES[self]

    @property
    def judges_prm(self) -> bool:
        """Whether a PRM is evaluated, on solutions that are there already."""
        return self in (Suite.PROCESSBENCH, Suite.PRMBENCH)

    @property
    def runs_code(self) -> bool:
        """Whether answers are programs, which the sandbox executes."""
        return self in (Suite.HUMANEVAL, Suite.PROGRAMS)

    @property
    def is_own(self) -> bool:
        """Whether the problems may be those of the workspace."""
        return self is Suite.OWN

    @property
    def is_stored(self) -> bool:
        """Whether the problems can only be those of the workspace."""
        return self is Suite.REGRESSIONS

    @property
    def figure(self) -> str:
        """The name of the figure that a results table shows for single samples."""
        return _FIGURES.get(self, "pass@1")


_TITLES = {
    Suite.GSM8K: "GSM8K",
    Suite.MATH500: "MATH-500",
    Suite.AIME: "AIME",
    Suite.ARC: "ARC-AGI",
    Suite.HUMANEVAL: "HumanEval",
    Suite.PROGRAMS: "Programs",
    Suite.PROCESSBENCH: "ProcessBench",
    Suite.PRMBENCH: "PRMBench",
    Suite.OWN: "Own problems",
    Suite.REGRESSIONS: "Never again",
}
_FIGURES = {Suite.ARC: "pass@2", Suite.PROCESSBENCH: "F1", Suite.PRMBENCH: "PRMScore"}


class Chosen(StrEnum):
    """Which of a problem's samples answers."""

    SINGLE = "single"
    MAJORITY = "majority"
    BEST_OF_N = "best-of-n"
    WEIGHTED = "weighted"

    @property
    def needs_prm(self) -> bool:
        """Whether samples are scored."""
        return self in (Chosen.BEST_OF_N, Chosen.WEIGHTED)


class Must(StrEnum):
    """What must hold when a model goes on from the prefix of a regression test."""

    ANSWER = "answer"  # its answer is right
    ABSENT = "absent"  # the words that failed do not come back


class ComputePreset(StrEnum):
    """How much is spent: by the settings themselves, or by a preset."""

    BY_HAND = "by hand"
    LOW = "low"
    HIGH = "high"


Conditions = tuple[tuple[str, Value], ...]
"""Settings that a figure depends on, by name, in the order in which they are told."""

MOST_TOKENS = 131_072
_LOW, _HIGH = (4, 512, 256), (32, 8192, 1024)  # samples, tokens of thinking, tokens of answer


@dataclass(frozen=True, slots=True)
class EvaluateSpec:
    """Measure a policy, or a PRM, on a suite: every sample is kept with its grades, tokens and trace."""

    model: str = setting("", "The policy that is measured; none where the suite measures a PRM", group="Models")
    prm: str = setting("", "The PRM that scores samples, or that is measured itself", group="Models")
    suite: Suite = setting(Suite.GSM8K, "What is asked and how it is graded", group="Suite")
    suite_name: str = setting(
        "", "What tables call problems of your own (default: the file's name)", group="Suite", advanced=True
    )
    most_problems: int = setting(
        0, "Only so many problems, drawn by the seed; 0 = all", low=0, high=10_000_000, group="Suite"
    )
    strategy: Chosen = setting(Chosen.SINGLE, "Which of a problem's samples answers", group="Compute")
    compute: ComputePreset = setting(
        ComputePreset.BY_HAND, "Low and high set samples and both budgets", group="Compute"
    )
    n: int = setting(1, "Samples of each problem", low=1, high=4096, group="Compute")
    budgets: str = setting(
        "",
        "Several caps on thinking, such as 64,256,1024: each problem is answered under each of them",
        group="Compute",
    )
    max_thinking_tokens: int = setting(
        512, "Most tokens of thinking; the decoder closes it there", low=0, high=131072, group="Budget", unit="tokens"
    )
    max_answer_tokens: int = setting(
        256, "Most tokens of the answer", low=1, high=131072, group="Budget", unit="tokens"
    )
    difficulty: float = setting(
        -1.0,
        "From 0 (easy) to 1 (hard): thinking gets 0.3 + 0.6 of it of both budgets together; -1 = as they are above",
        low=-1.0,
        high=1.0,
        group="Budget",
    )
    temperature: float = setting(0.0, "Temperature; 0 takes the most probable token", low=0.0, high=5.0, group="Traces")
    top_p: float = setting(0.95, "Nucleus", low=0.01, high=1.0, group="Traces")
    aggregation: Aggregation = setting(
        Aggregation.MIN, "What the scores of the steps say of a sample", group="Compute", advanced=True
    )
    threshold: float = setting(
        -1.0,
        "Under which a step counts as wrong in PRM suites; -1 = the PRM's own",
        low=-1.0,
        high=1.0,
        group="Suite",
        advanced=True,
    )
    code_seconds: float = setting(
        10.0, "Longest time that a program may run", low=0.1, high=600.0, group="Suite", advanced=True, unit="s"
    )
    code_mib: int = setting(
        512, "Most memory of a program", low=32, high=65536, group="Suite", advanced=True, unit="MiB"
    )
    keep_traces: bool = setting(True, "Store what was written, so that it can be opened", group="Suite", advanced=True)
    batch_rows: int = setting(
        64, "Traces written at once", low=1, high=4096, group="Device", advanced=True, unit="traces"
    )
    batch_tokens: int = setting(
        8192, "Padded tokens in one forward pass of a PRM", low=16, high=10_000_000, group="Device", advanced=True
    )
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")

    def with_preset(self) -> Self:
        """With what the preset sets in place of the settings."""
        if self.compute is ComputePreset.BY_HAND:
            return self
        n, thinking, answer = _LOW if self.compute is ComputePreset.LOW else _HIGH
        return replace(self, n=n, max_thinking_tokens=thinking, max_answer_tokens=answer)

    def caps(self) -> tuple[int, ...]:
        """The caps on thinking, ascending. Raises SpecError for what is no list of numbers."""
        if not self.budgets.strip():
            return (self.with_preset().max_thinking_tokens,)
        try:
            found = sorted({int(part) for part in self.budgets.split(",") if part.strip()})
        except ValueError:
            found = []
        if not found or found[0] < 0 or found[-1] > MOST_TOKENS:
            raise SpecError(
                f"evaluate.budgets = {self.budgets!r} is no list of tokens such as 64,256,1024, each 0 to {MOST_TOKENS}"
            )
        return tuple(found)

    def conditions(self) -> Conditions:
        """What a figure depends on beside suite, models, strategy, preset and cap on thinking.

        Runs that differ in one of these are no repetition of each other. The seed is not among them.
        """
        if self.suite.judges_prm:
            return () if self.threshold < 0 else (("threshold", self.threshold),)
        spec = self.with_preset()
        found: list[tuple[str, Value]] = [("n", spec.n), ("temperature", spec.temperature)]
        if spec.temperature > 0:
            found.append(("top_p", spec.top_p))
        found.append(("max_answer_tokens", spec.max_answer_tokens))
        if spec.difficulty >= 0:
            found.append(("difficulty", spec.difficulty))
        if spec.prm or spec.strategy.needs_prm:
            found.append(("aggregation", spec.aggregation.value))
        if spec.suite.runs_code:
            found += [("code_seconds", spec.code_seconds), ("code_mib", spec.code_mib)]
        return tuple(found)

    def objection(self) -> str:
        """What makes these settings meaningless, with what to do; empty where nothing does."""
        if self.suite.judges_prm:
            return ""
        try:
            self.caps()
        except SpecError as error:
            return str(error)
        n, chooses = self.with_preset().n, self.strategy is not Chosen.SINGLE
        if n > 1 and self.temperature == 0:
            what = f"{self.strategy} would choose among {n} copies" if chooses else f"{n} would be written for nothing"
            less = "compute to by hand and n to 1" if self.compute is not ComputePreset.BY_HAND else "n to 1"
            only = " and the strategy to single" if chooses else ""
            return (
                f"at temperature 0 all samples of a problem are the same: {what}; "
                f"set temperature above 0 (0.6 to 1 are usual), or {less}{only}"
            )
        if n == 1 and chooses:
            return f"{self.strategy} has one sample to choose from; set n to 2 or more, or the strategy to single"
        return ""


def heading_of(suite: str) -> str:
    """As tables name a suite; one of your own has the name it was given."""
    return Suite(suite).heading if suite in set(Suite) else suite


def figure_of(suite: str) -> str:
    """The name of the figure that a results table shows for single samples of a suite."""
    return Suite(suite).figure if suite in set(Suite) else "pass@1"
