"""Our decoder beside Hugging Face `generate`, and scores of growing prefixes beside reading everything again.

    python -m bench.decoding [--small FOLDER] [--smollm FOLDER] [--rounds 3] [--only prefixes]

Decoding: 16 traces of one prompt, greedy and without a stop, so that both sides write the same tokens, which is
checked. Hugging Face runs once as a batch of 16 copies of the prompt and once trace by trace (4 traces, times 4).
Drawing: 4 prompts x 4 traces x 64 tokens at temperature 1, as GRPO does, our weights read anew each time.
Prefixes: beams 4 x width 4, 10 steps of 20 tokens after a prompt of 60; every depth asks for 16 prefixes of which 4
survive. All sides take turns within a round; figures are medians of processor seconds, wall time beside them.
SmolLM2-135M is a local folder (`--smollm` or STEPLENS_SMOLLM); without it only the 5 M Llama is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for both: spinning threads measure the neighbours

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as hf_logging

from trainer.models.generate import Decoder, Sampling
from trainer.models.judge import class_probabilities
from trainer.models.load import load_for_training
from trainer.models.prefix_scores import PrefixScores
from trainer.models.prm import PrmSettings
from trainer.models.tiny import make_tiny, make_tokenizer
from trainer.placement import Encoded
from trainer.reasoning.stories import make_stories

TRACES, PROMPT, THREADS = 16, 40, 2
BEAMS, WIDTH, STEPS, STEP_TOKENS, PREFIX_PROMPT = 4, 4, 10, 20, 60


@dataclass(slots=True)
class Times:
    """Processor and wall seconds of one side, a figure a round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
        """Do it and note its times."""
        burnt, began = time.process_time(), time.perf_counter()
        out = work()
        self.cpu.append(time.process_time() - burnt)
        self.wall.append(time.perf_counter() - began)
        return out

    @property
    def middle(self) -> float:
        """Median processor seconds."""
        return statistics.median(self.cpu)


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


def story_texts() -> list[str]:
    """What tokenizers are made from."""
    return [text for story in make_stories(300, seed=0) for text in (story.problem, *story.steps)]


def make_small(folder: Path) -> None:
    """A Llama of 5 M random weights (hidden 256, 6 layers, vocabulary at most 1,024) with a tokenizer of stories."""
    tokenizer = make_tokenizer(story_texts(), vocabulary=1024, longest=512)
    torch.manual_seed(0)
    size = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 8}
    config = LlamaConfig(vocab_size=1024, max_position_embeddings=512, tie_word_embeddings=True, **size)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def decoding(name: str, folder: str, tokens: int, rounds: int, must: str) -> None:
    """16 traces of one prompt, ours and Hugging Face's in turn."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    decoder = Decoder(model, frozen=True)
    prompt = np.random.default_rng(0).integers(3, min(1000, model.config.vocab_size), PROMPT).tolist()
    plain = GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
    greedy = Sampling(temperature=0.0, max_new_tokens=tokens, stop_ids=())

    def theirs(copies: int) -> Any:  # noqa: ANN401
        ids = torch.tensor([prompt] * copies)
        return model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=plain)[:, PROMPT:]

    ours, batch, single = Times(), Times(), Times()
    same = True
    decoder.generate([prompt], Sampling(max_new_tokens=4, stop_ids=()), n=TRACES)
    for _ in range(rounds):
        made = ours.run(lambda: decoder.generate([prompt], greedy, n=TRACES))[0]
        wanted = batch.run(lambda: theirs(TRACES))
        single.run(lambda: [theirs(1) for _ in range(4)])
        same = same and all(trace.ids.tolist() == row.tolist() for trace, row in zip(made, wanted, strict=True))
    each = TRACES * tokens
    for side, times, share in (("ours", ours, 1), ("Hugging Face, batch of 16", batch, 1), ("one by one", single, 4)):
        figure(f"{name}, 16 traces, {side}", each / share / statistics.median(times.wall), "tokens/s")
        figure(f"{name}, 16 traces, {side}: CPU a token", times.middle / each * share * 1e3, "ms")
    figure(f"{name}: greedy tokens equal", "all" if same else "not all", "", "all", same)
    ratio = statistics.median(single.wall) * 4 / statistics.median(ours.wall)
    figure(f"{name}: ours beside one by one, tokens/s", ratio, "x", ">= 3", ratio >= 3)
    ratio = statistics.median(batch.wall) / statistics.median(ours.wall)
    figure(f"{name}: ours beside the batch of 16, tokens/s", ratio, "x", must, ratio >= 3 if must else None)
    figure(f"{name}: ours beside the batch of 16, CPU", batch.middle / ours.middle, "x")


def drawing(folder: str, rounds: int) -> None:
    """What GRPO asks for at every step, on the 5 M Llama."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    decoder = Decoder(model, tokenizer)
    rng = np.random.default_rng(1)
    prompts = [rng.integers(3, 900, length).tolist() for length in (35, 38, 39, 33)]
    padded = tokenizer.pad({"input_ids": [ids for ids in prompts for _ in range(4)]}, return_tensors="pt")
    plain = GenerationConfig(max_new_tokens=64, min_new_tokens=64, do_sample=True, top_k=0, pad_token_id=0)
    sampling = Sampling(max_new_tokens=64, stop_ids=())
    ours, theirs = Times(), Times()
    for _ in range(rounds + 1):
        ours.run(lambda: decoder.generate(prompts, sampling, n=4))
        model.eval()
        theirs.run(lambda: model.generate(**padded, generation_config=plain))
        model.train()
    figure("5 M Llama, 4 prompts x 4 x 64 drawn tokens, ours", ours.middle, "CPU s")
    figure("5 M Llama, 4 prompts x 4 x 64 drawn tokens, Hugging Face", theirs.middle, "CPU s")


def prefixes(name: str, folder: str, rounds: int) -> None:
    """A beam search's calls for scores: all again, and what is new."""
    prm = load_for_training(folder, PrmSettings(2), (), seed=0, with_language_head=False).prm.eval()
    again, reused, apart = Times(), Times(), 0.0
    for number in range(rounds):
        rng = np.random.default_rng(number)
        scores = PrefixScores(prm)
        beams = [_Beam(rng.integers(3, 900, PREFIX_PROMPT), ())] * BEAMS
        burnt = [Times(), Times()]
        for _ in range(STEPS):
            grown = [beam.grown(rng) for beam in beams for _ in range(WIDTH)]
            rows = [beam.row for beam in grown]
            plain = burnt[0].run(lambda rows=rows: class_probabilities(prm, rows, budget=4096))
            ours = burnt[1].run(lambda rows=rows, scores=scores: scores.probabilities(rows))
            apart = max(apart, *(float(np.abs(a - b).max()) for a, b in zip(plain, ours, strict=True)))
            beams = [grown[i] for i in rng.choice(len(grown), BEAMS, replace=False)]
        for times, part in zip((again, reused), burnt, strict=True):
            times.cpu.append(sum(part.cpu))
            times.wall.append(sum(part.wall))
    figure(f"{name}, scores of beam prefixes, all read again", again.middle, "CPU s")
    figure(f"{name}, scores of beam prefixes, prefixes kept", reused.middle, "CPU s")
    ratio = reused.middle / again.middle
    figure(f"{name}, scores of beam prefixes: kept / again", ratio, "x", "<= 0.33", ratio <= 0.33)
    figure(f"{name}, scores of beam prefixes: largest difference", apart, "", "<= 1e-5", apart <= 1e-5)


@dataclass(frozen=True, slots=True)
class _Beam:
    """Ids of a prefix and where its steps end."""

    ids: np.ndarray
    ends: tuple[int, ...]

    def grown(self, rng: np.random.Generator) -> _Beam:
        """One step longer, of 16 to 24 tokens."""
        ids = np.concatenate([self.ids, rng.integers(3, 900, rng.integers(STEP_TOKENS - 4, STEP_TOKENS + 5))])
        return _Beam(ids, (*self.ends, len(ids) - 1))

    @property
    def row(self) -> Encoded:
        """As a PRM reads it."""
        return Encoded(self.ids.astype(np.int64), np.asarray(self.ends, np.int64), PREFIX_PROMPT)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", help="folder of the small model (default: made anew)")
    parser.add_argument("--smollm", default=os.environ.get("STEPLENS_SMOLLM"), help="folder of SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("decoding", "drawing", "prefixes"), help="one part of the measurement")
    a = parser.parse_args()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        small = a.small or scratch
        if a.small is None:
            make_small(Path(scratch))
        tiny = Path(scratch) / "tiny"
        make_tiny(story_texts(), 0).model.save_pretrained(tiny)
        models = [("tiny, 0.4 M", str(tiny), 64, ">= 3"), ("5 M Llama", small, 64, "")]
        if a.smollm:
            models += [("SmolLM2-135M", a.smollm, 32, ">= 3")]
        for name, folder, tokens, must in models:
            if a.only in (None, "decoding"):
                decoding(name, folder, tokens, a.rounds, must)
            if a.only in (None, "drawing") and folder == small:
                drawing(small, a.rounds)
            if a.only in (None, "prefixes") and folder != str(tiny):
                prefixes(name, folder, a.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
