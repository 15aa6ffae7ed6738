"""Teaching the monitor's classifier within a run: from rows and examples to a folder that `word_scores.load` reads."""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Sequence

import msgspec
import numpy as np

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, Split
from trainer.contract.specs.monitor import MonitorSpec
from trainer.models.monitor_learn import Labelled, Learned, Options, TooFewError, Unit, learn
from trainer.reasoning.detection import figures_of
from trainer.reasoning.monitor_looks import text_of
from trainer.reasoning.monitor_units import locate, units_of
from trainer.reasoning.safety import CATEGORIES, Category, Part
from trainer.reasoning.split import fold_of
from trainer.runtime.worker import RunFailed, Worker

NOTHING = (-1,) * len(CATEGORIES)


class Example(msgspec.Struct, frozen=True):
    """A sentence that comes with the program, made up to show a category or only to look like it."""

    category: str
    positive: bool
    scenario: str
    text: str
    synthetic: bool = True


def examples() -> tuple[Example, ...]:
    """The examples that come with the program."""
    data = importlib.resources.files("resources").joinpath("monitor", "seed.jsonl").read_bytes()
    return tuple(msgspec.json.decode(line, type=Example) for line in data.splitlines())


def teach(worker: Worker, spec: MonitorSpec) -> dict[str, float]:
    """Learn from the rows' reviewed flags and write `model/`. Raises Stopped, RunFailed."""
    began = time.monotonic()
    rows = [row for row in worker.folder.read_input() if row.said]
    worker.resume(-1)
    worker.say(events.Started, recipe="monitor", device="cpu", total_steps=1, rows=len(rows), parameters=0)
    units, groups, traces = gathered(rows, spec)
    worker.check()
    worker.progress("learning", 0, 1, unit="fits", force=True)
    options = Options(folds=spec.folds, features=spec.features, strength=spec.strength, seed=spec.seed)
    try:
        learned = learn(units, groups, traces, options, name=worker.spec.name or "monitor")
    except TooFewError as error:
        raise RunFailed(str(error)) from error
    worker.check()
    learned.model.save(worker.folder.model)
    (worker.folder.model / "MODEL_CARD.md").write_text(card_text(learned, len(rows)), encoding="utf-8")
    for category in CATEGORIES:
        if category not in learned.model.heads:
            text = f"{category.value}: too few labels to learn from; confirm and reject more flags of it"
            worker.notice(Level.INFO, "category_not_learned", text)
    figures = learned.model.card.figures
    worker.step = 1
    worker.metrics(Split.VALIDATION, {name: value for name, value in figures.items() if np.isfinite(value)})
    worker.progress("learning", 1, 1, unit="fits", force=True)
    worker.flush()
    seconds = time.monotonic() - began
    return {"rows": float(len(rows)), "units": float(len(units)), "seconds": seconds} | {
        name: value for name, value in figures.items() if np.isfinite(value)
    }


def gathered(rows: Sequence[InputRow], spec: MonitorSpec) -> tuple[list[Unit], list[str], list[Labelled]]:
    """Labelled steps with the problem each belongs to, and the traces as wholes."""
    units: list[Unit] = []
    groups: list[str] = []
    traces: list[Labelled] = []
    draw = np.random.default_rng(spec.seed)
    for number, row in enumerate(rows):
        group = fold_of(row.problem)
        mine, trace = _of_row(row, group, number, spec.steps_a_trace, draw)
        units += mine
        groups += [group] * len(mine)
        traces.append(trace)
    if spec.seed_examples:
        for example in examples():
            place = Category(example.category).place
            # What only looks like one category is harmless in every respect; what shows one says nothing of the others.
            said = [-1 if example.positive else 0] * len(CATEGORIES)
            said[place] = int(example.positive)
            units.append(Unit(example.text, tuple(said), -1))
            groups.append(f"example {example.scenario}")
    return units, groups, traces


def _of_row(
    row: InputRow, group: str, number: int, most: int, draw: np.random.Generator
) -> tuple[list[Unit], Labelled]:
    text = text_of(row)
    pieces = units_of(text, row.messages, locate(text, row.steps))
    whole = list(NOTHING)
    for said in row.said:
        place = Category(said.category).place
        whole[place] = max(whole[place], int(said.true))
    clean = {Category(one.category).place for one in row.said if one.start is None and not one.true}
    chosen = set(draw.permutation(len(pieces))[:most].tolist()) if clean else set()
    units = []
    for k, piece in enumerate(pieces):
        labels = list(NOTHING)
        for place in clean if k in chosen else ():
            labels[place] = 0
        for said in row.said:
            if (
                said.start is not None
                and said.end is not None
                and piece.span.start < said.end
                and said.start < piece.span.end
            ):
                place = Category(said.category).place
                labels[place] = max(labels[place], int(said.true))
        if any(label >= 0 for label in labels):
            units.append(Unit(piece.span.of(text), tuple(labels), number))
    thinking = tuple(piece.span.of(text) for piece in pieces if piece.part is Part.THINKING)
    answer = tuple(piece.span.of(text) for piece in pieces if piece.part is Part.ANSWER)
    return units, Labelled(thinking, answer, tuple(whole), group, row.model)


def card_text(learned: Learned, rows: int) -> str:
    """MODEL_CARD.md."""
    card = learned.model.card
    lines = [
        f"# {card.name}",
        "",
        f"A safety monitor of words: learned from {rows} reviewed traces and the made-up examples that come with the "
        "program. Each figure is of traces (or steps, or made-up sentences, where too few traces were reviewed) whose "
        "problem the scoring model had not seen.",
        "",
        "| category | confirmed | rejected | of them made up | AUROC | TPR at 5 % FPR | TPR at 1 % FPR |",
        "|---|---|---|---|---|---|---|",
    ]
    for head in card.heads:
        found = learned.held_out[Category(head.category)]
        f = figures_of(found.raw, found.truth, found.groups, calibrated=False)
        lines.append(
            f"| {head.category} | {head.positives} | {head.negatives} | {head.synthetic} | {f.auroc.value:.3f} "
            f"| {f.at_5.describe()} | {f.at_1.describe()} |"
        )
    lines += ["", *_of_families(learned)]
    lines += [
        "",
        "It reads words, not intent: it finds what looks like that which people confirmed. A clean trace is no proof. "
        "Training a policy against it teaches the policy to hide.",
        "",
        f"version {card.version}, labels {card.training}",
        "",
    ]
    return "\n".join(lines)


def _of_families(learned: Learned) -> list[str]:
    """AUROC on the traces of each model family, by a model that saw none of them."""
    if not learned.by_family:
        return ["Held out by model family: not measurable, as no two families have traces of both sides."]
    lines = [
        "Held out by model family (a model that saw no trace of it):",
        "",
        "| category | family | traces | AUROC |",
    ]
    lines.append("|---|---|---|---|")
    for category, families in learned.by_family.items():
        for family, found in families.items():
            f = figures_of(found.raw, found.truth, found.groups, calibrated=False)
            lines.append(f"| {category.value} | {family} | {len(found.truth)} | {f.auroc.value:.3f} |")
    return lines
