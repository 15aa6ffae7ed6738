"""Search for the answers of problems: a policy tries steps or whole traces, a PRM scores them, a vote picks one.

Every row gets one search record with its whole tree, behind the records of its finished traces and their scores. Ids
and seeds come of the row alone, so an attempt that follows a kill repeats no row and writes nothing twice. A run that
stays (`resident`) searches its rows, if it has any, then what is asked, and tells the tree while it grows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.generated import Settings, Spent
from trainer.contract.records import InputRow, Record, ScoreRecord, ScorerRef, SearchRecord, Split, record_id
from trainer.contract.requests import AnyRequest, SearchRequest, answered
from trainer.contract.run_folder import known_records, sha256_of_folder
from trainer.contract.spec import SpecError, build
from trainer.contract.specs.search import SearchSpec
from trainer.models.answering import Asked, Manner, record, seed_of
from trainer.models.load import Loaded, ModelError, load_prm
from trainer.models.writers import Granter, load_writer
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.votes import equal_by
from trainer.runtime.resident import Check, Resident
from trainer.runtime.telling import GrowthTelling, Telling
from trainer.runtime.worker import RunFailed, Worker
from trainer.search.searcher import Searcher, Sought

OF_THE_RUN = ("model", "prm", "threads", "batch_rows", "resident", "idle_minutes")  # a request cannot change them


def run(worker: Worker) -> dict[str, float]:
    """Search for every row that has no record yet, then, if it stays, for what is asked. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, SearchSpec)
    if not spec.resident and (problem := spec.objection()):
        raise RunFailed(problem)
    known = known_records(worker.folder.records)
    rows = list(worker.folder.read_input())
    left = [row for row in rows if record_id(worker.spec.run, row.id, 0) not in known]
    done = len(rows) - len(left)
    worker.resume(done + len(answered(worker.folder.events)) or -1)
    worker.step = done
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("loading the models", 0, 1, unit="models", force=True)
    with Grader() as grader:
        searching = Searching(worker, spec, grader, known)
        worker.say(
            events.Started,
            recipe="search",
            device=str(searching.searcher.writer.decoder.device),
            total_steps=len(rows),
            rows=len(rows),
            parameters=sum(weight.numel() for weight in searching.searcher.writer.policy.language.parameters()),
        )
        for row in left:
            searching.row(row, len(rows))
        worker.flush()
        if spec.resident:
            searching.stay()
    return searching.tally.summary()


@dataclass(slots=True)
class Tally:
    """What this attempt did."""

    rows: int = 0
    refused: int = 0
    traces: int = 0
    graded: int = 0
    right: int = 0
    unanswered: int = 0
    requests: int = 0
    spent: Spent = field(default_factory=Spent)
    began: float = field(default_factory=time.monotonic)

    def take(self, sought: Sought, correct: bool | None) -> None:
        """Count a search."""
        self.rows += 1
        self.traces += len(sought.traces)
        self.graded += correct is not None
        self.right += bool(correct)
        self.unanswered += sought.found.chosen < 0
        self.spent += sought.found.spent

    def figures(self) -> dict[str, float]:
        """Means over the searches; NaN where there are none."""
        rows = self.rows or float("nan")
        return {
            "accuracy": self.right / self.graded if self.graded else float("nan"),
            "answered": 1 - self.unanswered / rows,
            "tokens": self.spent.tokens / rows,
            "tokens_read": self.spent.tokens_read / rows,
            "prm_calls": self.spent.prm_calls / rows,
            "prm_tokens": self.spent.prm_tokens / rows,
            "search_seconds": self.spent.seconds / rows,
        }

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event."""
        counts = {name: float(getattr(self, name)) for name in ("rows", "refused", "traces", "requests")}
        return counts | self.figures() | {"seconds": time.monotonic() - self.began}


class Searching:
    """The two models, and what is there already."""

    def __init__(self, worker: Worker, spec: SearchSpec, grader: Grader, known: set[str]) -> None:
        """Loads the models. Raises RunFailed."""
        self.worker, self.spec, self.grader, self.known = worker, spec, grader, known
        writer = load_writer(worker, manner=Manner.of(spec), rows=spec.batch_rows)
        prm, self.scorer = load_judge(worker, spec)
        if spec.strategy.needs_prm and prm is None:
            raise RunFailed(f"{spec.strategy.value} is led by a PRM; set `prm` to one, or choose self-consistency")
        self.searcher = Searcher(writer, prm)
        self.granter = Granter(writer)
        self.tally = Tally()

    def row(self, row: InputRow, total: int) -> None:
        """One row of the run."""
        try:
            self.search(self.spec, row, row.id, self.worker.check)
        except RunFailed as error:  # the others may fare better
            self.tally.refused += 1
            self.worker.notice(Level.ERROR, "problem_refused", f"row {row.id} gets no answer: {error}")
        self.worker.step += 1
        self.worker.metrics(Split.TEST, self.tally.figures())
        self.worker.system()
        self.worker.progress("searching", self.worker.step, total, unit="problems")

    def stay(self) -> None:
        """Answer requests until none has come for a while. Raises Stopped."""
        resident = Resident(self.worker, self.spec.idle_minutes)
        resident.serve(self._answer)
        self.worker.flush()
        self.tally.requests = resident.answers

    def search(
        self,
        spec: SearchSpec,
        row: InputRow,
        key: str,
        check: Check,
        growth: GrowthTelling | None = None,
        telling: Telling | None = None,
        request: SearchRequest | None = None,
    ) -> None:
        """Search for a row's answer and write down what came of it. Raises RunFailed and what `check` raises."""
        if problem := spec.objection():
            raise RunFailed(problem)
        prefix = request.prefix if request else ""
        if spec.strategy.needs_prm and self.scorer is None:
            raise RunFailed(f"{spec.strategy.value} is led by a PRM; set `prm` to one, or choose self-consistency")
        (grant,) = self.granter.grants(
            [row.problem],
            thinking=spec.max_thinking_tokens,
            answer=spec.max_answer_tokens,
            difficulty=spec.difficulty,
            check=check,
        )
        asked = Asked(row.problem, 0, grant, prefix=prefix)
        if problem := self.searcher.writer.objection(asked, Manner.of(spec)):
            raise RunFailed(problem)
        sought = self.searcher.search(
            row.problem, spec, grant, equal_by(self.grader, GradeForm(spec.form)),
            seed=seed_of(spec.seed, row.problem), check=check,
            grown=None if growth is None else growth.hear, on_text=None if telling is None else telling.hear,
            prefix=prefix,
        )  # fmt: skip
        for waiting in (growth, telling):
            if waiting is not None:
                waiting.flush()
        self._record(spec, row, key, sought, request)
        if sought.beyond or sought.misplaced:
            text = f"row {row.id}: {sought.beyond} steps of prefixes lie beyond what the PRM reads or cannot be placed"
            counts = {"beyond": sought.beyond, "misplaced": sought.misplaced}
            self.worker.notice(Level.WARNING, "steps_unscored", text, **counts)

    def _answer(self, request: AnyRequest, check: Check) -> None:
        if not isinstance(request, SearchRequest):
            raise RunFailed(f"a search run cannot answer a request of the kind {request.__struct_config__.tag}")
        if record_id(self.worker.spec.run, request.id, 0) in self.known:
            return  # an attempt before died between the record and the word of it
        spec = spec_of(self.worker, request)
        growth, telling = GrowthTelling(self.worker, request.id), Telling(self.worker, request.id)
        self.search(spec, request.row, request.id, check, growth, telling, request)

    def _record(
        self, spec: SearchSpec, row: InputRow, key: str, sought: Sought, request: SearchRequest | None = None
    ) -> None:
        """The finished traces with their scores, then the search itself: what a kill leaves has no search."""
        grades = self._graded(spec, row, [trace.answer for trace in sought.traces])
        traces = [
            self._record_trace(spec, row, key, sought, place, correct, request) for place, correct in enumerate(grades)
        ]
        found = sought.found
        correct = grades[found.chosen] if found.chosen >= 0 else _wrong_if_known(row)
        self._write(
            SearchRecord(
                id=record_id(self.worker.spec.run, key, 0),
                row=row.id,
                problem=row.problem,
                reference=row.reference,
                strategy=spec.strategy.value,
                settings=_settings(spec),
                nodes=sought.nodes,
                traces=tuple(traces),
                votes=found.votes,
                chosen=found.chosen,
                answer=found.answer,
                spent=found.spent,
                model=model_name(self.worker),
                scorer=self.scorer if spec.strategy.needs_prm else None,
                outcome=None if correct is None else int(correct),
            )
        )
        self.tally.take(sought, correct)

    def _record_trace(
        self, spec: SearchSpec, row: InputRow, key: str, sought: Sought, place: int, correct: bool | None,
        request: SearchRequest | None,
    ) -> str:  # fmt: skip
        """A finished trace with the scores of its steps; its id. Number 0 of the row is the search."""
        made = record(
            self.worker, row, place + 1, sought.traces[place], correct=correct, settings=_settings(spec), key=key,
            source=request.forked_from if request else "",
            forked_at=len(request.prefix) if request and request.prefix else None,
        )  # fmt: skip
        self._write(made)
        scores = sought.scores[place]
        if scores and self.scorer is not None:
            self._write(
                ScoreRecord(
                    id=record_id(self.worker.spec.run, made.id, 0),
                    row=row.id,
                    trace=made.id,
                    segmentation=1,
                    scorer=self.scorer,
                    values=scores,
                )
            )
        return made.id

    def _write(self, made: Record) -> None:
        """Write a record that no earlier attempt has written."""
        if made.id not in self.known:
            self.worker.record(made)
            self.known.add(made.id)

    def _graded(self, spec: SearchSpec, row: InputRow, answers: Sequence[str | None]) -> list[bool | None]:
        if not row.has_reference:
            return [None] * len(answers)
        pairs = [Pair(answer, row.reference or "") for answer in answers]
        return [grade.correct for grade in self.grader.grade(pairs, form=GradeForm(spec.form))]


def load_judge(worker: Worker, spec: SearchSpec) -> tuple[Loaded | None, ScorerRef | None]:
    """The PRM of this run on its device, and who it is; neither where none is named. Raises RunFailed."""
    given = next((model for model in worker.spec.models if model.role == "prm"), None)
    source = str(worker.folder.path / given.path) if given else spec.prm
    if not source:
        return None, None
    try:
        loaded = load_prm(source)
    except ModelError as error:
        raise RunFailed(str(error)) from error
    loaded.prm.to(Accelerator(cpu=worker.spec.device == "cpu").device).eval()
    path = worker.folder.path / source
    version = given.checksum if given else sha256_of_folder(path) if path.is_dir() else source
    name = (given.name if given else "") or path.name
    return loaded, ScorerRef(name=name, version=version, domain=loaded.prm.settings.domain)


def spec_of(worker: Worker, request: SearchRequest) -> SearchSpec:
    """The settings of a request: the run's own, and what it says otherwise. Raises RunFailed."""
    fixed = [name for name in request.settings if name in OF_THE_RUN]
    if fixed:
        raise RunFailed(f"a request cannot change {', '.join(fixed)}: these belong to the run")
    try:
        spec = build("search", {**worker.spec.parameters, **request.settings})
    except SpecError as error:
        raise RunFailed(str(error)) from error
    assert isinstance(spec, SearchSpec)
    return spec


def model_name(worker: Worker) -> str:
    """The policy's name."""
    given = next((model for model in worker.spec.models if model.role == "model"), None)
    return (given.name if given else "") or str(worker.spec.parameters.get("model", ""))


def _settings(spec: SearchSpec) -> Settings:
    """What of the settings makes a search what it is, presets put in."""
    used = spec.with_preset()
    names = (
        "strategy", "compute", "n", "width", "depth", "lookahead", "aggregation", "max_thinking_tokens",
        "max_answer_tokens", "difficulty", "max_tokens", "temperature", "top_p", "exploration", "side_by_side",
        "tell_budget", "tell_answer", "thinking", "prompt", "form",
    )  # fmt: skip
    plain: Settings = {name: getattr(used, name) for name in names}
    return plain | {"pick": used.pick.of(used.strategy).value, "run_seed": spec.seed}


def _wrong_if_known(row: InputRow) -> bool | None:
    """No answer is a wrong one, where there is a right one."""
    return False if row.has_reference else None
