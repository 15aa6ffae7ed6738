"""The result of a PRM run: a plain Hugging Face folder with MODEL_CARD.md, lineage.json and one checksum over it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trainer.contract.records import SourceRef, Split
from trainer.contract.run_folder import sha256_of_folder
from trainer.contract.spec import PrmSpec, Value, parameters
from trainer.contract.specs.prm import RewardSpec
from trainer.contract.specs.setting import Convention
from trainer.data import CutCounts, Labelled
from trainer.models.load import Loaded
from trainer.reasoning.metrics import Interval
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.worker import Follower, Worker

SHOWN = (
    ("AUC", "auc"),
    ("first-error accuracy", "first_error_accuracy"),
    ("ECE", "ece"),
)
SCORERS = (
    ("this PRM", ""),
    ("step index (causal baseline)", "baseline_step_index_"),
    ("TF-IDF + logistic regression (causal baseline)", "baseline_tfidf_"),
    ("last rated step (a hint no causal scorer has)", "hint_last_rated_"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run achieved, by split."""

    state: TrainState
    values: Mapping[Split, Mapping[str, float]]
    intervals: Mapping[Split, Mapping[str, Interval]]
    rows: Mapping[Split, int]
    cut: Mapping[Split, CutCounts] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event, finite ones only."""
        out: dict[str, float] = {"steps": self.state.step, "seconds": self.state.seconds, "best_step": self.best_step}
        for split, values in self.values.items():
            out |= {f"{split.value}_{name}": value for name, value in values.items() if math.isfinite(value)}
        return out

    def with_intervals(self, split: Split) -> dict[str, float]:
        """The figures of a split with the ends of their intervals."""
        out = dict(self.values[split])
        for name, interval in self.intervals.get(split, {}).items():
            out |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return out

    @property
    def best_step(self) -> int:
        """The step whose weights were kept."""
        return self.state.best_step if self.state.best_step >= 0 else self.state.step


def write_model(worker: Worker, spec: RewardSpec, loaded: Loaded, rows: Labelled, result: Result) -> str:
    """Write model/ aside and rename it; returns its checksum, which the card names and does not enter.

    Of several processes only the first writes; the others get "".
    """
    if isinstance(worker, Follower):
        return ""
    target = worker.folder.model
    aside = target.with_name(f".model.{os.getpid()}.tmp")
    for left in worker.folder.path.glob(".model.*.tmp"):
        shutil.rmtree(left)
    aside.mkdir()
    loaded.prm.save(aside)
    loaded.tokenizer.save_pretrained(str(aside))
    lineage = lineage_of(worker, rows)
    (aside / "lineage.json").write_bytes(msgspec.json.format(msgspec.json.encode(lineage), indent=1))
    checksum = sha256_of_folder(aside)
    card = card_text(worker, spec, loaded, rows, result, lineage, checksum)
    (aside / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    _sync_all(aside)
    if target.exists():  # of an attempt that was killed before it could say so
        shutil.rmtree(target)
    aside.rename(target)
    return checksum


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """lineage.json: from which revision of which annotation each split's labels came."""

    run: str
    input_sha256: str
    rows: dict[str, int]
    annotations: dict[str, dict[str, int]]


def lineage_of(worker: Worker, rows: Labelled) -> Lineage:
    """The newest revision of every annotation used, by split."""
    annotations: dict[str, dict[str, int]] = {}
    for split in Split:
        sources: list[SourceRef] = [source for row in rows.of(split) for source in row.sources]
        annotations[split.value] = {s.annotation: s.revision for s in sorted(sources, key=lambda s: s.revision)}
    counts = {split.value: len(rows.of(split)) for split in Split}
    return Lineage(run=worker.spec.run, input_sha256=worker.spec.input_sha256, rows=counts, annotations=annotations)


def card_text(
    worker: Worker, spec: RewardSpec, loaded: Loaded, rows: Labelled, result: Result, lineage: Lineage, checksum: str
) -> str:
    """MODEL_CARD.md: front matter, what it is, data, training, figures with intervals beside the baselines."""
    run = worker.spec
    base = spec.model if run.models == () else run.models[0].name or spec.model
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {'text-generation' if spec.convention.speaks else 'token-classification'}",
        f"tags: [{'process' if isinstance(spec, PrmSpec) else 'outcome'}-reward-model, steplens]",
        *([] if loaded.source == "tiny" else [f"base_model: {base}"]),
        "---",
        "",
        f"# {run.name or run.run}",
        "",
        *_reading_lines(spec, base, loaded),
        "",
        *_data_lines(worker, rows, result, lineage),
        *_figure_lines(result),
        *_calibration_lines(loaded),
        *_training_lines(spec, result),
        f"Run `{run.run}`, input sha256 `{run.input_sha256}`, model checksum `{checksum}`.",
        "",
    ]
    return "\n".join(lines)


READING = {
    Convention.TRL: "at the last token of the separator behind the step. Steps are joined with the separator "
    "`{separator!r}`, problem first on a line of its own, every part tokenised by itself",
    Convention.QWEN: "at `{marker}`, which stands behind every step of the assistant's turn of a chat",
    Convention.MATH_SHEPHERD: "at the tag `{marker}` behind the step, from the logits of + and -",
    Convention.RLHFLOW: "where the chat answers a step, from the logits of + and -; every answer before it is +",
}


def _reading_lines(spec: RewardSpec, base: str, loaded: Loaded) -> list[str]:
    """What it is and how it reads."""
    settings = loaded.prm.settings
    marker = loaded.encoder(settings.max_length).marker
    where = READING[spec.convention].format(separator=spec.separator, marker=marker)
    if isinstance(spec, PrmSpec):
        lines = [
            f"A process reward model made from `{base}`: for every step of a worked solution it gives the probability "
            f"that the step is correct, read {where}.",
            "",
            f"P(correct) = 1 - P(negative). Neutral ratings: **{spec.neutral.value}**. "
            f"Steps after the first negative: **{spec.after_error.value}**.",
        ]
    else:
        lines = [
            f"An outcome reward model made from `{base}`: for a worked solution it gives the probability that its "
            f"answer is right, read behind its last step, {where}.",
        ]
    convention = f"Convention: **{spec.convention.value}**. Class balance: **{spec.balance.value}**."
    return [*lines, "", convention]


def _calibration_lines(loaded: Loaded) -> list[str]:
    settings = loaded.prm.settings
    kept = settings.calibration
    if not kept:
        return []
    lines = [
        "## Calibration",
        "",
        f"On {kept['labels']} validation labels, split by problem: temperature **{settings.temperature:.3f}** "
        f"(scores are softmax(logits / temperature); `config.json` holds it, the weights do not), threshold "
        f"**{settings.threshold:.3f}** (best F1 of first errors). ECE {kept['ece_before']:.3f} -> "
        f"{kept['ece_after']:.3f}, Brier {kept['brier_before']:.3f} -> {kept['brier_after']:.3f}.",
        "",
        "| scores | labels | mean score | share correct |",
        "|---|---|---|---|",
    ]
    for low, high, weight, score, target in kept["reliability_after"]:
        lines.append(f"| {low:.1f} to {high:.1f} | {weight:.0f} | {score:.3f} | {target:.3f} |")
    return [*lines, ""]


def _data_lines(worker: Worker, rows: Labelled, result: Result, lineage: Lineage) -> list[str]:
    used = ", ".join(f"{count} {split.value}" for split, count in result.rows.items())
    annotations = len({name for part in lineage.annotations.values() for name in part})
    lost = {name: n for name, n in rows.counts.as_dict().items() if name.startswith(("rows_", "steps_"))}
    left = {**worker.spec.left_out, **lost}
    for split, counts in result.cut.items():
        if counts.rows_cut:
            left[f"{split.value} labels beyond max_length"] = counts.labels_lost
    lines = [
        "## Data",
        "",
        f"Rows: {used}, split by problem. Labels: {rows.counts.labels}, from {annotations} annotations "
        "(each with its revision in `lineage.json`).",
        "",
        "| left out or not used | count |",
        "|---|---|",
    ]
    return [*lines, *(f"| {name.replace('_', ' ')} | {count} |" for name, count in left.items()), ""]


def _figure_lines(result: Result) -> list[str]:
    if not result.values:
        return ["## Figures", "", "None: the run had no validation and no test rows.", ""]
    lines = ["## Figures", ""]
    for split, values in result.values.items():
        lines += [
            f"{split.value}: {values['n_rows']:.0f} rows, {values['n_steps']:.0f} labelled steps.",
            "",
            f"| scorer | {' | '.join(name for name, _ in SHOWN)} |",
            f"|---|{'---|' * len(SHOWN)}",
        ]
        for scorer, prefix in SCORERS:
            cells = [_figure(values.get(prefix + key, math.nan)) for _, key in SHOWN]
            lines.append(f"| {scorer} | {' | '.join(cells)} |")
        lines.append("")
        for name, interval in result.intervals.get(split, {}).items():
            lines.append(
                f"- {name.replace('_', ' ')}: {_figure(interval.value)}, 95 % interval {_figure(interval.low)} to "
                f"{_figure(interval.high)} (bootstrap over {interval.groups} problems)"
            )
        lines.append("")
    return lines


def _training_lines(spec: RewardSpec, result: Result) -> list[str]:
    state = result.state
    lines = [
        "## Training",
        "",
        f"{state.step} steps, {state.tokens} tokens, {state.seconds:.0f} s; weights of step {result.best_step}; "
        f"{state.skipped} steps skipped for want of a finite gradient; seed {spec.seed}.",
        "",
        "| parameter | value |",
        "|---|---|",
    ]
    return [*lines, *(f"| {name} | {_shown(value)} |" for name, value in parameters(spec).items()), ""]


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _shown(value: Value) -> str:
    return f"`{str(value)!r}`" if isinstance(value, str) else f"{value}"


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
