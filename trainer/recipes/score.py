"""Score traces with a PRM: one record a row, with an id that is the same in every attempt.

A run that stays (`resident`) scores its rows, if it has any, and then the rows of the requests that come.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, ScoreRecord, ScorerRef, record_id
from trainer.contract.requests import AnyRequest, ScoreRequest, answered
from trainer.contract.run_folder import complete_lines, record_decoder, sha256_of_folder
from trainer.contract.spec import Precision, ScoreSpec
from trainer.data import Encoded, StepEncoder, prompt_of, split_by_tokens
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded, load_prm
from trainer.runtime.resident import Check, Resident
from trainer.runtime.worker import RunFailed, Worker

WINDOW = 512  # rows tokenised and sorted by length together


@dataclass(frozen=True, slots=True)
class Judge:
    """A loaded PRM, who it is, and how it reads: longest row in tokens, padded tokens in one pass."""

    loaded: Loaded
    scorer: ScorerRef
    encoder: StepEncoder
    limit: int
    budget: int


def run(worker: Worker) -> dict[str, float]:
    """Score every row that has no record yet, then, if it stays, what is asked. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, ScoreSpec)
    began = time.monotonic()
    known = known_records(worker)
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
    requests = stay(worker, spec, judge, known_records(worker)) if spec.resident else 0
    return {
        "rows": float(worker.spec.input_rows + requests),
        "steps_cut": float(cut),
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
        encoded = judge.encoder.encode(prompt_of(request.row.problem), request.row.steps)
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


def known_records(worker: Worker) -> set[str]:
    """Ids that earlier attempts wrote."""
    known: set[str] = set()
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(worker.folder.records, offset)
        known |= {record_decoder.decode(line).id for line in lines}
    return known


def load(worker: Worker, spec: ScoreSpec) -> Judge:
    """The PRM on the run's device, and who it is: its name and the checksum of its folder. Raises RunFailed."""
    given = worker.spec.models[0] if worker.spec.models else None
    source = str(worker.folder.path / given.path) if given else spec.model
    if not source:
        raise RunFailed("no PRM chosen; set `model` to a PRM made here or to a folder with one")
    loaded = load_prm(source, torch.bfloat16 if spec.precision is Precision.BF16 else torch.float32)
    if not loaded.settings_known:
        kept = loaded.prm.settings
        text = f"{source} says nothing of its separator; steps are joined with {kept.separator!r}, class 1 is correct"
        worker.notice(Level.WARNING, "settings_assumed", text)
    loaded.prm.to(Accelerator(cpu=worker.spec.device == "cpu").device)
    path = worker.folder.path / source
    version = given.checksum if given else sha256_of_folder(path) if path.is_dir() else source
    name = (given.name if given else "") or path.name
    limit = spec.max_length or loaded.prm.settings.max_length
    encoder = StepEncoder(loaded.tokenizer, loaded.prm.settings.separator, limit)
    who = ScorerRef(name=name, version=version, domain=loaded.prm.settings.domain)
    return Judge(loaded, who, encoder, limit, spec.batch_tokens)


def score_window(worker: Worker, judge: Judge, rows: list[InputRow]) -> int:
    """Score and record these rows, `batch_tokens` padded tokens in one pass; returns the steps beyond the cut."""
    encoded = [judge.encoder.encode(prompt_of(row.problem), row.steps) for row in rows]
    cut = 0
    for group in split_by_tokens([len(row.ids) for row in encoded], judge.budget):
        worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
        cut += record_scores(worker, judge, [(rows[i], encoded[i]) for i in group])
        worker.step += len(group)
        worker.system()
    worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
    return cut


def record_scores(worker: Worker, judge: Judge, group: list[tuple[InputRow, Encoded]]) -> int:
    """One pass; a record for each row. Returns the steps beyond the cut."""
    parts = class_probabilities(judge.loaded.prm, [encoded for _, encoded in group], budget=judge.budget)
    for (row, _), part in zip(group, parts, strict=True):
        values = p_correct(part, len(row.steps))
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
    return sum(len(row.steps) - encoded.steps for row, encoded in group)
