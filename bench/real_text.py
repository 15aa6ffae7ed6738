"""One pass of everything on real text: SmolLM2-135M learns GSM8K demonstrations, a PRM PRM800K ratings, then RL.

    python -m bench.real_text [--workdir FOLDER] [--data FOLDER] [--keep FOLDER]

Small counts for two cores: it shows that the recipes run to their end on a real model and real text, and reports what
was gained, which may be nothing. Accuracy is greedy on problems of GSM8K's test file that no stage saw; PRM800K rows
are distinct traces without the problems of ProcessBench. A run that was stopped goes on when called again with --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from bench.smollm import Row, model_folder, read_rows
from bench.stages import Done, Stages
from trainer.contract import events
from trainer.contract.records import InputRow, Split, Votes
from trainer.contract.run_folder import read_events
from trainer.contract.specs.sft import PromptForm
from trainer.models.generate import BudgetRule, Decoder, Sampling
from trainer.models.language import collate
from trainer.models.policies import LoadedPolicy, load_policy
from trainer.models.response_tokens import ResponseTokens
from trainer.prompts import DemonstrationCounts, Demonstrator, PromptSettings
from trainer.reasoning.answers import extract
from trainer.reasoning.demonstrations import response_text
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.metrics import bootstrap, first_error_figures
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.thinking import CLOSE

SFT_ROWS, HELD_OUT, TEST_PROBLEMS, RL_PROBLEMS = 160, 32, 48, 96
PRM_ROWS, PRM_LONGEST, PRM_OF_PROBLEM = 220, 900, 4
THINKING, ANSWER = 112, 16
SFT_SETTINGS: dict[str, Any] = {
    "prompt": PromptForm.CHAT, "max_length": 320, "batch_size": 8, "micro_batch": 4, "epochs": 1.0, "rate": 5e-5,
    "eval_every": 20, "checkpoint_every": 5, "keep_last": 1, "threads": 2,
}  # fmt: skip
PRM_SETTINGS: dict[str, Any] = {
    "adapt": "last layers", "last_layers": 2, "max_length": 512, "batch_size": 8, "micro_batch": 4, "epochs": 1.0,
    "head_rate": 1e-3, "body_rate": 1e-4, "eval_every": 100, "checkpoint_every": 5, "keep_last": 1, "threads": 2,
}  # fmt: skip
RL_SETTINGS: dict[str, Any] = {
    "model": "policy", "adapt": "LoRA", "lora_rank": 16, "prompts": 4, "traces": 4, "updates": 5, "rate": 1e-4,
    "max_thinking": THINKING, "max_answer": ANSWER, "micro_batch": 4, "eval_every": 5, "eval_problems": 12,
    "checkpoint_every": 1, "keep_last": 1, "threads": 2, "on_alarm": "only tell",
}  # fmt: skip
_NOTES = re.compile(r"<<[^>]*>>")


def main() -> int:
    """Run every stage and print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--workdir", type=Path, default=Path.home() / ".cache" / "steplens-bench" / "smollm")
    parser.add_argument("--data", type=Path, default=os.environ.get("STEPLENS_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; what stands there is not repeated")
    given = parser.parse_args()
    torch.set_num_threads(2)
    given.workdir.mkdir(parents=True, exist_ok=True)
    base = model_folder(given.workdir)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch, Grader() as grader:
        return Pass(given.keep or Path(scratch), given.data, base, grader).run()


class Answers(msgspec.Struct, frozen=True):
    """What a policy did with the held-out rows: loss in nats a token, its greedy texts, how many tokens they are."""

    loss: float
    texts: list[str]
    tokens: int
    seconds: float


class Pass:
    """The stages and what is measured between them."""

    def __init__(self, root: Path, data: Path, base: Path, grader: Grader) -> None:
        self._stages, self._data, self._base, self._grader = Stages(root), data, base, grader
        self._root = root
        taught = gsm8k_rows(data / "gsm8k" / "train.jsonl", SFT_ROWS + HELD_OUT + RL_PROBLEMS, Split.TRAIN)
        self.sft_rows = [
            replaced(row, Split.VALIDATION if number < HELD_OUT else Split.TRAIN)
            for number, row in enumerate(taught[: SFT_ROWS + HELD_OUT])
        ]
        test = gsm8k_rows(data / "gsm8k" / "test.jsonl", TEST_PROBLEMS, Split.TEST)
        watched = [row for row in self.sft_rows if row.split is Split.VALIDATION][: RL_SETTINGS["eval_problems"]]
        self.rl_rows, self.test = [*taught[SFT_ROWS + HELD_OUT :], *watched], test

    def run(self) -> int:
        """All of it."""
        base = load_policy(str(self._base), PromptSettings(PromptForm.CHAT))
        before = self._tell_policy("SmolLM2-135M-Instruct as it comes", base)
        sft = self._stages.do("sft", "sft", self.sft_rows, {**SFT_SETTINGS, "model": str(self._base)})
        figure("SFT: time of the run", sft.seconds / 60, f"min for {SFT_ROWS} rows")
        taught = self._tell_policy("after SFT", load_policy(str(sft.folder.model)))
        self._tell_lead("SFT, greedy accuracy over before", taught, before)
        prm = self._prm()
        rl = self._stages.do(
            "rl", "rl", self.rl_rows, RL_SETTINGS, {"model": sft.folder.model, "prm": prm.folder.model}
        )
        figure("RL: time of the run", rl.seconds / 60, f"min for {RL_SETTINGS['updates']} updates")
        self._tell_updates(rl)
        after = self._tell_policy("after RL", load_policy(str(rl.folder.model)))
        self._tell_lead("RL, greedy accuracy over SFT", after, taught)
        return 0

    def _tell_updates(self, done: Done) -> None:
        """What the updates earned, and from which the kept weights are."""
        for event in read_events(done.folder.events)[0]:
            if isinstance(event, events.Metrics) and event.split == "train":
                right, paid = event.values["rewards/outcome/mean"], event.values["reward"]
                figure(f"RL, update {event.step}: reward", paid, f"{right:.1%} of the rollouts right")
        best, total = done.summary["best_step"], RL_SETTINGS["updates"]
        told = f"of {total}, by accuracy on {RL_SETTINGS['eval_problems']} problems; 0 = the weights before RL"
        figure("RL: updates behind the kept weights", best, told)

    def _prm(self) -> Done:
        rows = prm_rows(read_rows(self._data))
        done = self._stages.do("prm", "prm", rows, {**PRM_SETTINGS, "model": str(self._base)})
        counts = Counter(row.split for row in rows)
        told = f"min for {counts[Split.TRAIN]} rows, {PRM_SETTINGS['epochs']:g} epochs"
        figure("PRM: time of the run", done.seconds / 60, told)
        figure("PRM: test rows", counts[Split.TEST], f"{done.summary['test_n_steps']:.0f} rated steps")
        figure("PRM: test AUC", done.summary["test_auc"], "")
        for name in ("baseline_step_index", "baseline_tfidf", "hint_last_rated"):
            figure(f"PRM: test AUC of {name}", done.summary[f"test_{name}_auc"], "")
        rated = (
            f"{counts[Split.VALIDATION]} rows, {done.summary['validation_n_steps']:.0f} rated steps, never chosen by"
        )
        figure("PRM: validation AUC", done.summary["validation_auc"], rated)
        figure("PRM: test F1 of the first error", done.summary["test_first_error_f1"], "0 where one side is never hit")
        tested = [row for row in rows if row.split is Split.TEST]
        figure('PRM: test F1 of "the last rated step is wrong"', last_step_f1(tested), "it never says: no error")
        figure("PRM: test accuracy of the first error", done.summary["test_first_error_accuracy"], "")
        hint = done.summary["test_hint_last_rated_first_error_accuracy"]
        figure('PRM: test accuracy of the first error, "the last rated step is wrong"', hint, "not causal")
        return done

    def _tell_policy(self, name: str, policy: LoadedPolicy) -> np.ndarray:
        """Held-out loss and greedy accuracy; returns which answers were right [n]."""
        kept = self._root / f"{name}.json"
        if not kept.exists():
            began = time.monotonic()
            found = Answers(self._loss(policy), *self._write(policy), time.monotonic() - began)
            kept.write_bytes(msgspec.json.encode(found))
        told = msgspec.json.decode(kept.read_bytes(), type=Answers)
        figure(f"{name}: loss on {HELD_OUT} held-out demonstrations", told.loss, "nats a token")
        visible = [text.partition(CLOSE)[2] if CLOSE in text else text for text in told.texts]
        for loose in (False, True):
            said = [extract(text, loose=loose) for text in visible]
            pairs = [Pair(answer, row.reference or "") for answer, row in zip(said, self.test, strict=True)]
            grades = self._grader.grade(pairs, form=GradeForm.LENIENT)
            right = np.array([float(grade.correct is True) for grade in grades])
            what = "the last number counts" if loose else "a named answer"
            low, high = interval_of(right)
            figure(f"{name}: greedy accuracy, {what} [{low:.3f}, {high:.3f}]", float(right.mean()), f"of {len(right)}")
        thinks = float(np.mean([CLOSE in text for text in told.texts]))
        figure(f"{name}: traces that close their thinking", thinks, f"; {told.tokens} tokens in {told.seconds:.0f} s")
        return right

    def _tell_lead(self, name: str, after: np.ndarray, before: np.ndarray) -> None:
        """The gain with the last number counted, over the same problems."""
        low, high = interval_of(after - before)
        says = "the interval holds 0: no gain is shown" if low <= 0 <= high else "the interval leaves 0 out"
        figure(name, float((after - before).mean()), f"[{low:+.3f}, {high:+.3f}]; {says}")

    def _loss(self, policy: LoadedPolicy) -> float:
        """Mean cross-entropy over the learned tokens of the held-out demonstrations."""
        maker = Demonstrator(policy.prompts, SFT_SETTINGS["max_length"], drop_rated_wrong=False, drop_cut=False, seed=0)
        rows = maker.make([row for row in self.sft_rows if row.split is Split.VALIDATION], DemonstrationCounts())
        policy.language.eval()
        with torch.no_grad():
            total = sum(float(policy.language(collate([row], policy.language.device)).loss) for row in rows)
        return total / sum(row.learned for row in rows)

    def _write(self, policy: LoadedPolicy) -> tuple[list[str], int]:
        rule = BudgetRule(thinking=THINKING, answer=THINKING)
        sampling = Sampling(temperature=0.0, max_new_tokens=THINKING + ANSWER + 16, budget=rule)
        decoder = Decoder(policy.language.model, policy.tokenizer, frozen=True)
        made = decoder.generate([policy.prompts.ids_of(row.problem) for row in self.test], sampling)
        tokens = ResponseTokens(policy.tokenizer)
        return [tokens.text(one[0].ids) for one in made], sum(len(one[0].ids) for one in made)


def gsm8k_rows(file: Path, count: int, split: Split) -> list[InputRow]:
    """Problems with their solutions as demonstrations: a line a step, the calculator's notes left out."""
    rows = []
    with file.open(encoding="utf-8") as lines:
        for number, line in zip(range(count), lines, strict=False):
            record = json.loads(line)
            solution, _, reference = record["answer"].partition("####")
            steps = tuple(_NOTES.sub("", part).strip() for part in solution.strip().split("\n"))
            written = (*steps, f"Answer: {reference.strip()}")
            rows.append(
                InputRow(
                    id=f"{file.stem}-{number}",
                    trace=f"{file.stem}-{number}",
                    segmentation=1,
                    problem=record["question"],
                    steps=written,
                    step_ids=tuple(range(1, len(written) + 1)),
                    reference=reference.strip(),
                    response=response_text(written),
                    split=split,
                    project="GSM8K",
                )
            )
    return rows


def replaced(row: InputRow, split: Split) -> InputRow:
    """The row in another split."""
    return msgspec.structs.replace(row, split=split)


def prm_rows(found: Sequence[Row]) -> list[InputRow]:
    """Short traces, few of a problem, in the split of their problem; a share of raters is a vote of that weight."""
    taken: Counter[str] = Counter()
    rows: list[InputRow] = []
    for row in found:
        short = len(row.problem) + sum(map(len, row.steps)) <= PRM_LONGEST
        if not short or len(rows) == PRM_ROWS or taken[row.problem] == PRM_OF_PROBLEM:
            continue
        taken[row.problem] += 1
        votes = tuple(None if share is None else Votes(negative=1.0 - share, positive=share) for share in row.targets)
        rows.append(
            InputRow(
                id=f"prm800k-{len(rows)}",
                trace=f"prm800k-{len(rows)}",
                segmentation=1,
                problem=row.problem,
                steps=row.steps,
                step_ids=tuple(range(1, len(row.steps) + 1)),
                votes=votes,
                split=split_of(fold_of(row.problem)),
                project="PRM800K",
            )
        )
    return rows


def last_step_f1(rows: Sequence[InputRow]) -> float:
    """F1 of naming the last rated step as the first error in every trace."""
    actual, said = [], []
    for row in rows:
        rated = [(place, vote) for place, vote in enumerate(row.votes or ()) if vote is not None]
        said.append(rated[-1][0])
        actual.append(next((place for place, vote in rated if vote.negative > vote.positive), -1))
    return first_error_figures(said, actual).f1


def interval_of(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over problems."""
    found = bootstrap(np.arange(len(values)), lambda weights: float((weights * values).sum() / weights.sum()))
    return found.low, found.high


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
