"""The result of a PRM run: a plain Hugging Face folder with MODEL_CARD.md, lineage.json and one checksum over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainer.contract.records import Split
from trainer.contract.spec import PrmSpec
from trainer.contract.specs.prm import RewardSpec
from trainer.contract.specs.setting import Convention
from trainer.data import CutCounts, Labelled
from trainer.models.load import Loaded
from trainer.reasoning.metrics import Interval
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.model_folder import Lineage, base_of, lineage_of, summary_of, training_lines, write_folder
from trainer.runtime.worker import Worker

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
        return {name: value for name, value in summary_of(self.state, self.values).items() if math.isfinite(value)}

    def with_intervals(self, split: Split) -> dict[str, float]:
        """The figures of a split with the ends of their intervals."""
        out = dict(self.values[split])
        for name, interval in self.intervals.get(split, {}).items():
            out |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return out


def write_model(worker: Worker, spec: RewardSpec, loaded: Loaded, rows: Labelled, result: Result) -> str:
    """Write model/ with its card and lineage; returns its checksum."""

    def save(folder: Path) -> None:
        loaded.prm.save(folder)
        loaded.tokenizer.save_pretrained(str(folder))

    lineage = lineage_of(worker, {split: rows.of(split) for split in Split})
    return write_folder(
        worker, save, lineage, lambda checksum: card_text(worker, spec, loaded, rows, result, lineage, checksum)
    )


def card_text(
    worker: Worker, spec: RewardSpec, loaded: Loaded, rows: Labelled, result: Result, lineage: Lineage, checksum: str
) -> str:
    """MODEL_CARD.md: front matter, what it is, data, training, figures with intervals beside the baselines."""
    run = worker.spec
    base = base_of(worker, spec.model)
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
        *training_lines(spec, result.state),
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


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
