"""Label steps by machine. Read from the top: the rule, rollouts, their consensus, one record a method and trace.

The rule comes first: it is exact and nearly free. Rollouts then ask of the text up to each step whether a policy still
reaches the reference answer (Math-Shepherd, Wang et al. 2024), or of a few of them only, by binary search for the first
step from which it does not (OmegaPRM, Luo et al. 2024). Machine labels never mix with ratings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, MachineLabelRecord, record_id
from trainer.contract.run_folder import known_records, read_events
from trainer.contract.specs.autolabel import AutolabelSpec, Hardness, LabelMethod
from trainer.models.generate import Decoder, Prefix, PromptError, Sampling
from trainer.models.load import ModelError
from trainer.models.policies import LoadedPolicy, load_policy
from trainer.models.response_tokens import ResponseTokens
from trainer.reasoning.arithmetic import Verdict, check_step
from trainer.reasoning.first_error import find_first_error
from trainer.reasoning.grader import Grade, GradeForm, Grader, Pair
from trainer.reasoning.response import read_response
from trainer.runtime.worker import RunFailed, Worker

RULE, ROLLOUTS, CONSENSUS = 0, 1, 2  # the index of a trace's record of each kind
RULE_VERSION = "1"
Values = tuple[float | None, ...]


def run(worker: Worker) -> dict[str, float]:
    """Label every row that has no record yet. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, AutolabelSpec)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    rows = list(worker.folder.read_input())
    known = known_records(worker.folder.records)
    last = CONSENSUS if spec.method is LabelMethod.CONSENSUS else ROLLOUTS if spec.method.uses_policy else RULE
    done = {row.id for row in rows if record_id(worker.spec.run, row.id, last) in known}
    worker.resume(len(done) or -1)
    worker.step = len(done)
    with Grader() as grader:
        labeller = Labeller(worker, spec, grader, known)
        worker.say(
            events.Started,
            recipe="autolabel",
            device=str(labeller.device),
            total_steps=len(rows),
            rows=len(rows),
            parameters=labeller.parameters,
        )
        labeller.label([row for row in rows if row.id not in done], len(rows))
    worker.flush()
    return labeller.tally.summary()


@dataclass(slots=True)
class Tally:
    """What a run did, over all its rows of this attempt."""

    rows: int = 0
    steps: int = 0
    rule_right: int = 0
    rule_wrong: int = 0
    rollouts: int = 0
    tokens: int = 0
    undecided: int = 0
    no_reference: int = 0
    disagreements: int = 0
    began: float = field(default_factory=time.monotonic)

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event."""
        names = ("rows", "steps", "rule_right", "rule_wrong", "rollouts", "tokens", "undecided", "no_reference")
        out = {name: float(getattr(self, name)) for name in (*names, "disagreements")}
        return out | {"seconds": time.monotonic() - self.began}


class Labeller:
    """The rule and, where asked for, a policy with its verifier."""

    def __init__(self, worker: Worker, spec: AutolabelSpec, grader: Grader, known: set[str]) -> None:
        """Loads the policy. Raises RunFailed."""
        self.worker, self.spec, self.grader, self.known = worker, spec, grader, known
        self.tally = Tally()
        self.spent = spent_before(worker)
        self.device = Accelerator(cpu=worker.spec.device == "cpu").device
        self.parameters = 0
        if spec.method.uses_policy:
            self.loaded = load(worker, spec)
            self.loaded.language.to(self.device).eval()
            self.parameters = sum(weight.numel() for weight in self.loaded.language.parameters())
            self.decoder = Decoder(self.loaded.language.model, self.loaded.tokenizer, frozen=True)
            self.tokens = ResponseTokens(self.loaded.tokenizer)

    def label(self, rows: Sequence[InputRow], total: int) -> None:
        """Rows in order, until the budget ends."""
        for row in rows:
            if self._budget_is_spent():
                left = total - self.worker.step
                text = f"the budget is spent: {left} of {total} rows have no labels; raise it and resume the run"
                self.worker.notice(Level.WARNING, "budget_spent", text, rows=left)
                return
            self._one(row)
            self.worker.step += 1
            self.worker.progress("labelling", self.worker.step, total, unit="rows")
            if self.spec.method.uses_policy or self.worker.step % 20 == 0:
                self._tell()  # with every row that costs something: a budget outlives a kill
        self._tell()

    def _one(self, row: InputRow) -> None:
        self.tally.rows += 1
        self.tally.steps += len(row.steps)
        rule = self._rule(row)
        self._record(row, RULE, "rule", RULE_VERSION, rule)
        if not self.spec.method.uses_policy:
            return
        if not row.has_reference:
            self.tally.no_reference += 1
            self._record(row, ROLLOUTS, self._method(), self._version(), (None,) * len(row.steps))
        else:
            shares = self._search(row) if self.spec.method is LabelMethod.SEARCH else self._everywhere(row)
            values = tuple(self._value(share) for share in shares)
            self._record(row, ROLLOUTS, self._method(), self._version(), values)
            self._show(row, shares, values)
            if self.spec.method is LabelMethod.CONSENSUS:
                agreed = self._agreed(rule, values)
                self._record(row, CONSENSUS, f"consensus of rule and {self._method()}", self._version(), agreed)
                return
        if self.spec.method is LabelMethod.CONSENSUS:
            self._record(row, CONSENSUS, f"consensus of rule and {self._method()}", self._version(), rule)

    # -- the rule -----------------------------------------------------------------------------------------------------

    def _rule(self, row: InputRow) -> Values:
        """0 for a step with a wrong equation, 1 where all are right, None where it says nothing that can be checked."""
        verdicts = [check_step(step).verdict for step in row.steps]
        if self.spec.algebra:
            open_steps = [k for k, verdict in enumerate(verdicts) if verdict is Verdict.UNKNOWN]
            for k, found in zip(open_steps, self.grader.check_algebra([row.steps[k] for k in open_steps]), strict=True):
                if found is not None:
                    verdicts[k] = found.verdict
        self.tally.rule_right += sum(verdict is Verdict.CORRECT for verdict in verdicts)
        self.tally.rule_wrong += sum(verdict is Verdict.WRONG for verdict in verdicts)
        worth = {Verdict.CORRECT: 1.0, Verdict.WRONG: 0.0, Verdict.UNKNOWN: None}
        return tuple(worth[verdict] for verdict in verdicts)

    def _agreed(self, rule: Values, found: Values) -> Values:
        """A step keeps its label where rule and rollouts do not contradict each other."""
        out: list[float | None] = []
        for said, value in zip(rule, found, strict=True):
            clash = said is not None and value is not None and (said > 0.5) != (value > self.spec.threshold)
            # Rollouts blame every step after the first error; the rule reads a step alone, so it may be right there.
            after_error = clash and said == 1.0 and any(v == 0.0 for v in out)
            self.tally.disagreements += clash and not after_error
            out.append(value if not clash or after_error else None)
        return tuple(out)

    # -- rollouts -----------------------------------------------------------------------------------------------------

    def _everywhere(self, row: InputRow) -> Values:
        """The share of right rollouts after every step."""
        return tuple(self._shares(row, range(1, len(row.steps) + 1)))

    def _search(self, row: InputRow) -> Values:
        """1 before the first step from which no rollout succeeds, 0 there, nothing after it."""
        found = find_first_error(
            lambda count: (self._shares(row, [count])[0] or 0.0) > self.spec.threshold, len(row.steps)
        )
        if found.index is None:
            return (1.0,) * len(row.steps)
        return (*(1.0,) * found.index, 0.0, *(None,) * (len(row.steps) - found.index - 1))

    def _shares(self, row: InputRow, counts: Sequence[int]) -> list[float | None]:
        """For each count of steps: the share of rollouts from there that reach the reference, of those decided.

        Where the last step gives the answer nothing is left to write, and that answer is graded.
        """
        texts = prefixes_of(row)
        said = read_response(texts[-1]).answer
        if counts and counts[-1] == len(row.steps) and said is not None:
            grade = self.grader.grade([Pair(said, row.reference or "")], form=GradeForm(self.spec.verifier))[0]
            whole = None if grade.correct is None else float(grade.correct)
            self.tally.undecided += grade.correct is None
            return [*self._rolled(row, counts[:-1], texts), whole]
        return self._rolled(row, counts, texts)

    def _rolled(self, row: InputRow, counts: Sequence[int], texts: Sequence[str]) -> list[float | None]:
        prefix: Prefix = self.decoder.prefix(self.loaded.prompts.ids_of(row.problem))
        chain, begun = [], 0
        for count in counts:
            added = self.loaded.prompts.plain_ids(texts[count][len(texts[begun]) :])
            prefix, begun = self.decoder.extend(prefix, added), count
            chain.append(prefix)
        sampling = Sampling(temperature=self.spec.temperature, max_new_tokens=self.spec.max_tokens)
        made = self.decoder.generate(
            chain, sampling, n=self.spec.rollouts, seeds=self._seeds(row, counts), check=self.worker.check
        )
        self.tally.rollouts += len(counts) * self.spec.rollouts
        pairs = [
            Pair(read_response(texts[count] + self.tokens.text(one.ids.tolist())).answer, row.reference or "")
            for count, of_prefix in zip(counts, made, strict=True)
            for one in of_prefix
        ]
        self.tally.tokens += sum(len(one.ids) for of_prefix in made for one in of_prefix)
        grades = self.grader.grade(pairs, form=GradeForm(self.spec.verifier))
        return [self._share(grades[i : i + self.spec.rollouts]) for i in range(0, len(grades), self.spec.rollouts)]

    def _share(self, grades: Sequence[Grade]) -> float | None:
        decided = [grade.correct for grade in grades if grade.correct is not None]
        self.tally.undecided += len(grades) - len(decided)
        return sum(decided) / len(decided) if decided else None

    def _seeds(self, row: InputRow, counts: Sequence[int]) -> list[int]:
        """Seeds that follow from the run's seed, the row and the step alone."""
        key = int(record_id(str(self.spec.seed), row.id, 0)[:8], 16)
        made: Iterator[int] = (
            int(seed)
            for count in counts
            for seed in np.random.SeedSequence([key, count]).generate_state(self.spec.rollouts, np.uint32)
        )
        return list(made)

    def _value(self, share: float | None) -> float | None:
        if share is None or self.spec.hardness is Hardness.SOFT:
            return share
        return float(share > self.spec.threshold)

    # -- what is told -------------------------------------------------------------------------------------------------

    def _method(self) -> str:
        how = "binary search" if self.spec.method is LabelMethod.SEARCH else "rollouts"
        return f"{how} n={self.spec.rollouts} {self.spec.hardness.value}"

    def _version(self) -> str:
        given = self.worker.spec.models
        return given[0].checksum if given else self.spec.model

    def _record(self, row: InputRow, index: int, method: str, version: str, values: Values) -> None:
        id = record_id(self.worker.spec.run, row.id, index)
        if id in self.known:
            return  # an attempt before was killed between the records of one row
        self.known.add(id)
        self.worker.record(
            MachineLabelRecord(
                id=id,
                row=row.id,
                trace=row.trace,
                segmentation=row.segmentation,
                method=method,
                version=version,
                values=values,
            )
        )

    def _show(self, row: InputRow, shares: Values, values: Values) -> None:
        if self.worker.step % 10 == 0:
            self.worker.say(
                events.Example, row=row.id, problem=row.problem, steps=row.steps, scores=shares, targets=values
            )

    def _tell(self) -> None:
        tally, seconds = self.tally, max(time.monotonic() - self.tally.began, 1e-9)
        figures = {
            "rows": float(self.worker.step),
            "rollouts": float(self.spent + tally.rollouts),
            "rule_wrong_share": tally.rule_wrong / max(tally.steps, 1),
            "steps_per_second": tally.steps / seconds,
            "tokens_per_second": tally.tokens / seconds,
        }
        self.worker.metrics("train", figures)
        self.worker.system()

    def _budget_is_spent(self) -> bool:
        spec = self.spec
        used = self.spent + self.tally.rollouts
        minutes = (time.monotonic() - self.tally.began) / 60
        return 0 < spec.max_rollouts <= used or 0 < spec.max_minutes <= minutes


def prefixes_of(row: InputRow) -> list[str]:
    """The response up to the end of each step [steps + 1], each with the line break behind it; [0] is empty."""
    if row.response is None:
        return ["", *("\n".join(row.steps[: k + 1]) + "\n" for k in range(len(row.steps)))]
    out, place = [""], 0
    for step in row.steps:
        found = row.response.find(step, place)
        if found < 0:
            raise RunFailed(f"row {row.id}: step {step[:40]!r} does not stand in its response; segment the trace again")
        place = found + len(step)
        out.append(row.response[:place] + "\n")
    return out


def load(worker: Worker, spec: AutolabelSpec) -> LoadedPolicy:
    """The policy. Raises RunFailed."""
    worker.progress("loading the policy", 0, 1, unit="models", force=True)
    given = worker.spec.models
    source = str(worker.folder.path / given[0].path) if given else spec.model
    if not source:
        raise RunFailed("no policy chosen; set `model` to one made by sft, or label by arithmetic and algebra alone")
    try:
        loaded = load_policy(source, seed=spec.seed)
        loaded.prompts.ids_of("A problem.")
    except (ModelError, PromptError, ValueError) as error:
        raise RunFailed(f"{source}: {error}") from error
    return loaded


def spent_before(worker: Worker) -> int:
    """Rollouts that earlier attempts told of."""
    told = [
        int(event.values["rollouts"])
        for event in read_events(worker.folder.events)[0]
        if isinstance(event, events.Metrics) and "rollouts" in event.values
    ]
    return max(told, default=0)
