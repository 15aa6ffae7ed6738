"""Scores of growing prefixes equal those of reading everything again, and read each step once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from tests.trainer.decoding import SMALL
from tests.trainer.runs import story_rows
from trainer.models.judge import class_probabilities
from trainer.models.load import Loaded, load_for_training
from trainer.models.prefix_scores import PrefixScores
from trainer.models.prm import PrmSettings
from trainer.models.tiny import make_tiny

ROWS = story_rows(6)
TEXTS = [text for row in ROWS for text in (row.problem, *row.steps)]


def small_gpt2(folder: Path) -> str:
    """A token classifier that has no pass of ours, with absolute positions."""
    from transformers import GPT2Config

    tokenizer = make_tiny(TEXTS, 0).tokenizer
    torch.manual_seed(2)
    size = {"vocab_size": len(tokenizer), "n_embd": SMALL["hidden_size"], "n_layer": 2, "n_head": 4}
    config = GPT2Config(**size, n_positions=512, num_labels=3)
    AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=["tiny", "gpt2"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Loaded:
    source = "tiny" if request.param == "tiny" else small_gpt2(tmp_path)
    found = load_for_training(source, PrmSettings(3), TEXTS, seed=0, with_language_head=False)
    with torch.no_grad():
        found.prm.head.weight.mul_(20)
    return found


def prefixes(loaded: Loaded, depth: int):
    """Every row's first `depth` steps, and a branch that ends otherwise."""
    encoder = loaded.encoder(512)
    out = []
    for number, row in enumerate(ROWS):
        steps = list(row.steps[:depth])
        out += [
            encoder.encode(row.problem, steps),
            encoder.encode(row.problem, [*steps[:-1], ROWS[number - 1].steps[0]]),
        ]
    return out


@pytest.mark.parametrize("kept_bytes", [1 << 30, 200_000, 0])
def test_scores_are_those_of_reading_everything_whatever_is_kept(loaded, kept_bytes):
    scores = PrefixScores(loaded.prm, kept_bytes=kept_bytes)
    for depth in (1, 3, 2, 5, 4):
        rows = prefixes(loaded, depth)
        found, wanted = scores.probabilities(rows), class_probabilities(loaded.prm, rows, budget=4096)
        for ours, plain in zip(found, wanted, strict=True):
            assert ours.shape == plain.shape
            np.testing.assert_allclose(ours, plain, atol=1e-5)
    assert np.std(np.concatenate(found)) > 0.05


def test_each_token_is_read_once_while_it_is_remembered(loaded):
    scores = PrefixScores(loaded.prm)
    stretches: dict[bytes, int] = {}
    for depth in (1, 2, 3, 4):
        rows = prefixes(loaded, depth)
        scores.probabilities(rows)
        for row in rows:
            begin = 0
            for end in (row.prompt, *(int(place) + 1 for place in row.ends)):
                stretches[row.ids[:end].tobytes()] = end - begin
                begin = end
    assert scores.tokens_read == sum(stretches.values()) < scores.tokens_asked


def test_rows_without_a_step_and_cut_rows_have_the_scores_that_fit(loaded):
    encoder, short = loaded.encoder(512), loaded.encoder(30)
    rows = [
        encoder.encode(ROWS[0].problem, []),
        short.encode(ROWS[1].problem, ROWS[1].steps),
        short.encode("", ["1 + 1"]),
    ]
    found = PrefixScores(loaded.prm).probabilities(rows)
    wanted = class_probabilities(loaded.prm, rows, budget=4096)
    assert [len(part) for part in found] == [len(part) for part in wanted] == [row.steps for row in rows]
    for ours, plain in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)
