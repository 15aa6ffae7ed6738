"""Beam search with kept prefixes beside the same search reading everything again.

    python -m bench.search [--smollm FOLDER] [--rounds 3]

Beam: 16 candidates a round, width 4, 10 rounds of steps of 20 tokens behind a prompt of 100; every prefix is scored by
a PRM of the same size. Both sides run `trainer.search.beam` with equal seeds, which must give equal trees. "Again"
reads prompt and prefix of every candidate anew, in the decoder and in the PRM, in batches; a second figure reads equal
prefixes of a round once. Wall seconds, medians over rounds that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as hf_logging

from bench.decoding import make_small
from trainer.contract.specs.search import SearchSpec, Strategy
from trainer.models.generate import Decoder, Prefix, Sampling
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import load_for_training
from trainer.models.prefix_scores import PrefixScores
from trainer.models.prm import Prm, PrmSettings
from trainer.placement import Encoded
from trainer.search.beam import beam
from trainer.search.desk import Desk
from trainer.search.values import State, Step

PROMPT, TOKENS, DEPTH, CANDIDATES, WIDTH, THREADS = 100, 20, 10, 16, 4, 2
MUST = 0.4


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Ids up to here, with what is kept of them."""

    prefix: Prefix
    depth: int


class FixedSteps:
    """Steps of 20 tokens from a decoder, written as numbers. `copies` None keeps prefixes; else they are read anew,
    every candidate's by itself (True) or equal ones once (False)."""

    def __init__(self, decoder: Decoder, copies: bool | None) -> None:
        self._decoder, self._copies = decoder, copies

    @property
    def tokens_drawn(self) -> int:
        """As the decoder counts."""
        return self._decoder.tokens_drawn

    @property
    def tokens_read(self) -> int:
        """As the decoder counts."""
        return self._decoder.tokens_read

    def room(self, state: State) -> int:
        """All steps that are left."""
        assert isinstance(state, Written)
        return (DEPTH - state.depth) * TOKENS

    def extend(
        self, states: Sequence[State], seeds: Sequence[int], *, most: int, whole: bool, greedy: bool
    ) -> list[tuple[Step, ...]]:
        """One step of each."""
        begun = [state for state in states if isinstance(state, Written)]
        sampling = Sampling(0.0 if greedy else 1.0, max_new_tokens=min(most, TOKENS), stop_ids=())
        made = self._decoder.generate(
            self._prefixes(begun), sampling, seeds=[seed % 2**32 for seed in seeds], keep=self._copies is None
        )
        out: list[tuple[Step, ...]] = []
        for state, (one,) in zip(begun, made, strict=True):
            ids = one.ids.tolist()
            prefix = one.prefix or Prefix((*state.prefix.ids, *ids), None)
            depth = state.depth + 1
            text = "".join(f"{token} " for token in ids)
            out.append((Step(text, len(ids), depth, depth == DEPTH, Written(prefix, depth)),))
        return out

    def _prefixes(self, begun: Sequence[Written]) -> list[Prefix]:
        if self._copies is None:
            return [state.prefix for state in begun]
        fresh = [Prefix(state.prefix.ids, None) for state in begun]
        if self._copies:  # the decoder itself would read equal prefixes once
            self._decoder._memory.rows(fresh, 0, lambda: None)
        return fresh


class Scores:
    """P(correct) of steps written as numbers, with kept prefixes or all read again."""

    def __init__(self, prm: Prm, prompt: Sequence[int], keeps: bool) -> None:
        self._prm, self._prompt = prm, list(prompt)
        self._kept = PrefixScores(prm) if keeps else None
        self.calls = self.tokens_read = 0

    def score(self, responses: Sequence[str]) -> list[tuple[float | None, ...]]:
        """Of every step of every response."""
        self.calls += len(responses)
        rows = [self._row(response) for response in responses]
        if self._kept is not None:
            parts = self._kept.probabilities(rows)
            self.tokens_read = self._kept.tokens_read
        else:
            parts = class_probabilities(self._prm, rows, budget=4096)
            self.tokens_read += sum(len(row.ids) for row in rows)
        return [p_correct(part, row.steps) for part, row in zip(parts, rows, strict=True)]

    def _row(self, response: str) -> Encoded:
        ids = np.asarray([*self._prompt, *map(int, response.split())], np.int64)
        return Encoded(ids, np.arange(PROMPT + TOKENS, len(ids) + 1, TOKENS) - 1, PROMPT)


def beams(name: str, folder: str, rounds: int) -> bool:
    """The search three ways in turn; whether the target was met."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prm = load_for_training(folder, PrmSettings(2), (), seed=0, with_language_head=False).prm.eval()
    sides: dict[str, bool | None] = {"kept": None, "again, every candidate": True, "again, equal prefixes once": False}
    times: dict[str, list[float]] = {side: [] for side in sides}
    spent, same = {}, True
    for number in range(rounds):
        trees = []
        for side, copies in sides.items():
            prompt = np.random.default_rng(number).integers(3, 900, PROMPT).tolist()
            decoder = Decoder(model, frozen=True)
            spec = SearchSpec(strategy=Strategy.BEAM, n=CANDIDATES, width=WIDTH, depth=DEPTH)
            state = Written(Prefix(tuple(prompt), None), 0)
            scorer = Scores(prm, prompt, copies is None)
            began = time.perf_counter()
            desk = Desk(spec, "", state, FixedSteps(decoder, copies), scorer, seed=number)
            beam(desk)
            times[side].append(time.perf_counter() - began)
            spent[side] = desk.spent
            trees.append([(node.text, node.kept) for node in desk.nodes])
        same &= trees.count(trees[0]) == len(trees)
    for side, taken in times.items():
        cost = spent[side]
        what = f"{name}, beam search, {side}: {cost.tokens_read:,} + {cost.prm_tokens:,} tokens read"
        figure(what, statistics.median(taken), "s")
    figure(f"{name}, beam search: trees equal", "all" if same else "not all", "", "all", same)
    kept, again, once = (statistics.median(taken) for taken in times.values())
    figure(f"{name}, beam search: kept / again", kept / again, "x", f"<= {MUST}", kept / again <= MUST)
    figure(f"{name}, beam search: kept / again with equal prefixes read once", kept / once, "x")
    return same and kept / again <= MUST


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm", default=os.environ.get("STEPLENS_SMOLLM"), help="folder of SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    met = True
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        make_small(Path(scratch))
        met &= beams("5 M Llama", scratch, a.rounds)
        if a.smollm:
            met &= beams("SmolLM2-135M", a.smollm, 1)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
