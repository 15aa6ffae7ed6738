"""The result of an RL run: its model folder and MODEL_CARD.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.contract.records import ModelRef, Split
from trainer.contract.specs.rl import RlSpec
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.model_folder import base_of, count_lines, summary_of, training_lines
from trainer.runtime.worker import Worker


@dataclass(frozen=True, slots=True)
class RlResult:
    """What a run achieved, by split: greedy answers of the kept weights."""

    state: TrainState
    values: Mapping[Split, Mapping[str, float]]
    problems: Mapping[Split, int]

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event."""
        return summary_of(self.state, self.values)


def card_text(worker: Worker, spec: RlSpec, result: RlResult, checksum: str) -> str:
    """MODEL_CARD.md: front matter, what paid, data, figures, training."""
    run = worker.spec
    base = base_of(worker, spec.model)
    prm = " and then ".join(_prm(model) for model in run.models if model.role == "prm") or spec.prm
    pays = (
        f"{spec.process_weight:g} of the reward came from step scores of the PRM {prm} under the credit form "
        f"`{spec.credit.value}`, {spec.outcome_weight:g} from the outcome (verifier: {spec.verifier})"
        if prm
        else f"The outcome alone paid (verifier: {spec.verifier})"
    )
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [reasoning, reinforcement-learning, process-supervision, steplens]",
        f"base_model: {base}",
        "---",
        "",
        f"# {run.name or run.run}",
        "",
        f"The policy `{base}` improved by reinforcement ({spec.algorithm.value}). {pays}.",
        "",
        *_figure_lines(result),
        "## Data",
        "",
        "| split | problems |",
        "|---|---|",
        *(f"| {split.value} | {count} |" for split, count in result.problems.items()),
        "",
        *count_lines(run.left_out.items()),
        *training_lines(spec, result.state),
        f"Run `{run.run}`, input sha256 `{run.input_sha256}`, model checksum `{checksum}`.",
        "",
    ]
    return "\n".join(lines)


def _figure_lines(result: RlResult) -> list[str]:
    if not result.values:
        return ["## Figures", "", "None: the run had no held-out problems.", ""]
    lines = ["## Figures", "", "Greedy answers; 95 % intervals over problems.", ""]
    lines += ["| split | problems | accuracy | mean tokens | mean step score |", "|---|---|---|---|---|"]
    for split, values in result.values.items():
        span = f" [{values['accuracy_low']:.3f}, {values['accuracy_high']:.3f}]" if "accuracy_low" in values else ""
        lines.append(
            f"| {split.value} | {values['n_problems']:.0f} | {values['accuracy']:.3f}{span} | "
            f"{values['mean_length']:.1f} | {values['process']:.3f} |"
        )
    return [*lines, ""]


def _prm(model: ModelRef) -> str:
    since = f", from step {model.from_step:,} on" if model.from_step else ""
    return f"{model.name or model.path} (checksum `{model.checksum[:12]}`{since})"
