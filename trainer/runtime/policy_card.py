"""The result of teaching a policy: its model folder and MODEL_CARD.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.records import InputRow, Split
from trainer.contract.spec import SftSpec
from trainer.models.policies import LoadedPolicy
from trainer.prompts import DemonstrationCounts
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.model_folder import base_of, count_lines, lineage_of, summary_of, training_lines, write_folder
from trainer.runtime.worker import Worker


@dataclass(frozen=True, slots=True)
class SftResult:
    """What a run achieved, by split."""

    state: TrainState
    values: Mapping[Split, Mapping[str, float]]
    counts: Mapping[Split, DemonstrationCounts]

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event."""
        return summary_of(self.state, self.values)


def write_policy(
    worker: Worker, loaded: LoadedPolicy, rows: Mapping[Split, Sequence[InputRow]], card: Callable[[str], str]
) -> str:
    """Write a policy's model/ with its lineage and the card that `card` makes of its checksum; returns the checksum."""

    def save(folder: Path) -> None:
        loaded.language.save(folder)
        loaded.tokenizer.save_pretrained(str(folder))

    return write_folder(worker, save, lineage_of(worker, rows), card)


def card_text(worker: Worker, spec: SftSpec, loaded: LoadedPolicy, result: SftResult, checksum: str) -> str:
    """MODEL_CARD.md: front matter, what it is, how it is asked, data, figures, training."""
    run = worker.spec
    base = base_of(worker, spec.model)
    example = loaded.prompts.text_of("PROBLEM", 100)
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [reasoning, sft, steplens]",
        *([] if loaded.source == "tiny" else [f"base_model: {base}"]),
        "---",
        "",
        f"# {run.name or run.run}",
        "",
        f"A policy made from `{base}` by teaching it demonstrations: it is given a problem and writes its thinking and "
        "its answer. Only what it writes was learned, not the prompt.",
        "",
        f"The prompt (`{spec.prompt.value}`; thinking budget: {spec.budget.value}) of a problem PROBLEM"
        f"{' with 100 tokens of thinking' if spec.budget.value != 'none' else ''}:",
        "",
        f"    {example!r}",
        "",
        *_data_lines(worker, result),
        *_figure_lines(result),
        *training_lines(spec, result.state),
        f"Run `{run.run}`, input sha256 `{run.input_sha256}`, model checksum `{checksum}`.",
        "",
    ]
    return "\n".join(lines)


def _data_lines(worker: Worker, result: SftResult) -> list[str]:
    lines = ["## Data", "", "| split | rows | tokens | tokens learned |", "|---|---|---|---|"]
    left = list(worker.spec.left_out.items())
    for split, counts in result.counts.items():
        lines.append(f"| {split.value} | {counts.rows} | {counts.tokens} | {counts.tokens_learned} |")
        lost = {name: n for name, n in counts.as_dict().items() if name.startswith("rows_") or name == "tokens_cut"}
        left += [(f"{split.value}: {name}", count) for name, count in lost.items()]
    return [*lines, "", "Split by problem.", "", *count_lines(left)]


def _figure_lines(result: SftResult) -> list[str]:
    if not result.values:
        return ["## Figures", "", "None: the run had no validation and no test rows.", ""]
    lines = [
        "## Figures",
        "",
        "| split | rows | loss (nats a token) | token accuracy | perplexity |",
        "|---|---|---|---|---|",
    ]
    for split, values in result.values.items():
        cells = [f"{values['n_rows']:.0f}", *(f"{values[name]:.3f}" for name in ("loss", "accuracy", "perplexity"))]
        lines.append(f"| {split.value} | {' | '.join(cells)} |")
    return [*lines, ""]
