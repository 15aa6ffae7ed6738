"""Score traces with a PRM: one record a row, with an id that is the same in every attempt.

A run that stays (`resident`) scores its rows, if it has any, and then the rows of the requests that come.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, ScoreRecord, ScorerRef, record_id
from trainer.contract.requests import AnyRequest, ScoreRequest, answered
from trainer.contract.run_folder import known_records, sha256_of_folder
from trainer.contract.spec import Precision, ScoreSpec
from trainer.contract.specs.setting import Convention
from trainer.data import split_by_tokens
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded, load_prm
from trainer.models.prm import Judges
from trainer.placement import Encoded, Encoder, PlacementError
from trainer.runtime.resident import Check, Resident
from trainer.runtime.worker import RunFailed, Worker

WINDOW = 512  # rows tokenised and sorted by length together


@dataclass(frozen=True, slots=True)
class Judge:
    """A loaded PRM, who it is, and how it reads: longest row in tokens, padded tokens in one pass."""

    loaded: Loaded
    scorer: ScorerRef
    encoder: Encoder
    limit: int
    budget: int


def run(worker: Worker) -> dict[str, float]:
    """Score every row that has no record yet, then, if it stays, what is asked. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, ScoreSpec)
    began = time.monotonic()
    known = known_records(worker.folder.records)
    rows = [row for row in worker.folder.read_input() if record_id(worker.spec.run, row.id, 0) not in known]
    scored = worker.spec.input_rows - len(rows)
    worker.resume(scored + len(answered(worker.folder.events)) or -1)
    worker.step = scored
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    judge = load(worker, spec)
    worker.say(
        events.Started,
        recipe="score",
        device=str(judge.loaded.prm.device),
        total_steps=worker.spec.input_rows,
        rows=worker.spec.input_rows,
        parameters=sum(weight.numel() for weight in judge.loaded.prm.parameters()),
    )
    cut = 0
    for start in range(0, len(rows), WINDOW):
        cut += score_window(worker, judge, rows[start : start + WINDOW])
    worker.flush()
    if cut:
        tell_cut(worker, judge, cut)
    requests = stay(worker, spec, judge, known_records(worker.folder.records)) if spec.resident else 0
    return {
        "rows": float(worker.spec.input_rows + requests),
        "steps_cut": float(cut),
        "temperature": judge.loaded.prm.settings.temperature,
        "threshold": judge.loaded.prm.settings.threshold,
        "seconds": time.monotonic() - began,
    }


def stay(worker: Worker, spec: ScoreSpec, judge: Judge, known: set[str]) -> int:
    """Score the rows of the requests until none has come for a while; how many were answered. Raises Stopped."""

    def answer(request: AnyRequest, check: Check) -> None:
        if not isinstance(request, ScoreRequest):
            raise RunFailed(f"a score run cannot answer a request of the kind {request.__struct_config__.tag}")
        record = record_id(worker.spec.run, request.row.id, 0)
        if record in known:
            return  # asked twice, or an attempt before died between the record and the word of it
        encoded = encode(worker, judge, request.row)
        check()
        cut = record_scores(worker, judge, [(request.row, encoded)])
        known.add(record)
        if cut:
            tell_cut(worker, judge, cut)

    resident = Resident(worker, spec.idle_minutes)
    resident.serve(answer)
    worker.flush()
    return resident.answers


def tell_cut(worker: Worker, judge: Judge, cut: int) -> None:
    """Some steps got no score; `max_length` would bring them in."""
    text = f"{cut} steps lie beyond {judge.limit} tokens and got no score; raise max_length"
    worker.notice(Level.WARNING, "steps_cut", text, steps=cut)


def load(worker: Worker, spec: ScoreSpec) -> Judge:
    """The PRM on the run's device, and who it is: its name and the checksum of its folder. Raises RunFailed."""
    given = worker.spec.models[0] if worker.spec.models else None
    source = str(worker.folder.path / given.path) if given else spec.model
    if not source:
        raise RunFailed("no PRM chosen; set `model` to a PRM made here or to a folder with one")
    dtype = torch.bfloat16 if spec.precision is Precision.BF16 else torch.float32
    loaded = load_prm(source, dtype, convention=spec.convention.convention, separator=spec.separator)
    if not loaded.settings_known:
        kept = loaded.prm.settings
        steps = f"steps are joined with {kept.separator!r}, " if kept.convention is Convention.TRL else ""
        text = f"{source} does not say how it reads: the {kept.convention.value} convention, {steps}class 1 is correct"
        worker.notice(Level.WARNING, "settings_assumed", text)
    loaded.prm.to(Accelerator(cpu=worker.spec.device == "cpu").device)
    path = worker.folder.path / source
    version = given.checksum if given else sha256_of_folder(path) if path.is_dir() else source
    name = (given.name if given else "") or path.name
    limit = spec.max_length or loaded.prm.settings.max_length
    encoder = loaded.encoder(limit)
    who = ScorerRef(name=name, version=version, domain=loaded.prm.settings.domain)
    return Judge(loaded, who, encoder, limit, spec.batch_tokens)


def score_window(worker: Worker, judge: Judge, rows: list[InputRow]) -> int:
    """Score and record these rows, `batch_tokens` padded tokens in one pass; returns the steps beyond the cut."""
    encoded = [encode(worker, judge, row) for row in rows]
    cut = 0
    for group in split_by_tokens([len(row.ids) for row in encoded], judge.budget):
        worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
        cut += record_scores(worker, judge, [(rows[i], encoded[i]) for i in group])
        worker.step += len(group)
        worker.system()
    worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
    return cut


def encode(worker: Worker, judge: Judge, row: InputRow) -> Encoded:
    """Ids of a row; of one that the convention cannot place no step gets a score, which is told."""
    try:
        return judge.encoder.encode(row.problem, row.steps)
    except PlacementError as error:
        worker.notice(Level.ERROR, "steps_misplaced", f"row {row.id} gets no score: {error}")
        return Encoded(np.empty(0, np.int64), np.empty(0, np.int64), 0)


def record_scores(worker: Worker, judge: Judge, group: list[tuple[InputRow, Encoded]]) -> int:
    """One pass; a record for each row. Returns the steps beyond the cut."""
    parts = class_probabilities(judge.loaded.prm, [encoded for _, encoded in group], budget=judge.budget)
    for (row, _), part in zip(group, parts, strict=True):
        values = p_correct(part, len(row.steps))
        if judge.loaded.prm.settings.judged is Judges.OUTCOME:
            values = (*(None for _ in values[:-1]), *values[-1:])
        worker.record(
            ScoreRecord(
                id=record_id(worker.spec.run, row.id, 0),
                row=row.id,
                trace=row.trace,
                segmentation=row.segmentation,
                scorer=judge.scorer,
                values=values,
            )
        )
    return sum(len(row.steps) - encoded.steps for row, encoded in group if len(encoded.ids))
