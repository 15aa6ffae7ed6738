"""Score stored traces with a PRM: one record a row, with an id that is the same in every attempt."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, ScoreRecord, ScorerRef, record_id
from trainer.contract.run_folder import complete_lines, record_decoder, sha256_of_folder
from trainer.contract.spec import Precision, ScoreSpec
from trainer.data import Encoded, StepEncoder, prompt_of, split_by_tokens
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded, load_prm
from trainer.runtime.worker import RunFailed, Worker

WINDOW = 512  # rows tokenised and sorted by length together


def run(worker: Worker) -> dict[str, float]:
    """Score every row that has no record yet. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, ScoreSpec)
    began = time.monotonic()
    known = known_records(worker)
    worker.resume(len(known) if known else -1)
    worker.step = len(known)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    loaded, scorer = load(worker, spec)
    limit = spec.max_length or loaded.prm.settings.max_length
    encoder = StepEncoder(loaded.tokenizer, loaded.prm.settings.separator, limit)
    rows = [row for row in worker.folder.read_input() if record_id(worker.spec.run, row.id, 0) not in known]
    worker.say(
        events.Started,
        recipe="score",
        device=str(loaded.prm.device),
        total_steps=worker.spec.input_rows,
        rows=worker.spec.input_rows,
        parameters=sum(weight.numel() for weight in loaded.prm.parameters()),
    )
    cut = 0
    for start in range(0, len(rows), WINDOW):
        cut += score_window(worker, spec, loaded, scorer, encoder, rows[start : start + WINDOW])
    worker.flush()
    if cut:
        text = f"{cut} steps lie beyond {limit} tokens and got no score; raise max_length"
        worker.notice(Level.WARNING, "steps_cut", text, steps=cut)
    return {"rows": float(worker.spec.input_rows), "steps_cut": float(cut), "seconds": time.monotonic() - began}


def known_records(worker: Worker) -> set[str]:
    """Ids that earlier attempts wrote."""
    known: set[str] = set()
    offset, lines = 0, [b""]
    while lines:
        lines, offset = complete_lines(worker.folder.records, offset)
        known |= {record_decoder.decode(line).id for line in lines}
    return known


def load(worker: Worker, spec: ScoreSpec) -> tuple[Loaded, ScorerRef]:
    """The PRM on the run's device, and who it is: its name and the checksum of its folder."""
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
    return loaded, ScorerRef(name=name, version=version, domain=loaded.prm.settings.domain)


def score_window(
    worker: Worker, spec: ScoreSpec, loaded: Loaded, scorer: ScorerRef, encoder: StepEncoder, rows: list[InputRow]
) -> int:
    """Score and record these rows, `batch_tokens` padded tokens in one pass; returns the steps beyond the cut."""
    encoded = [encoder.encode(prompt_of(row.problem), row.steps) for row in rows]
    cut = 0
    for group in split_by_tokens([len(row.ids) for row in encoded], spec.batch_tokens):
        worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
        cut += record(worker, loaded, scorer, [(rows[i], encoded[i]) for i in group], spec.batch_tokens)
        worker.system()
    worker.progress("scoring", worker.step, worker.spec.input_rows, unit="rows")
    return cut


def record(
    worker: Worker, loaded: Loaded, scorer: ScorerRef, group: list[tuple[InputRow, Encoded]], budget: int
) -> int:
    """One pass; a record for each row."""
    parts = class_probabilities(loaded.prm, [encoded for _, encoded in group], budget=budget)
    for (row, _), part in zip(group, parts, strict=True):
        values = p_correct(part, len(row.steps))
        worker.record(
            ScoreRecord(
                id=record_id(worker.spec.run, row.id, 0),
                row=row.id,
                trace=row.trace,
                segmentation=row.segmentation,
                scorer=scorer,
                values=values,
            )
        )
        worker.step += 1
    return sum(len(row.steps) - encoded.steps for row, encoded in group)
