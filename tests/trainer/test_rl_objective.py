"""The policy objective: prompts read once or with every trace, whole or in parts, the gradient is the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from trainer.contract.spec import build
from trainer.contract.specs.rl import RlSpec
from trainer.models.language import Language
from trainer.models.tiny import make_tiny
from trainer.prompts import PromptSettings
from trainer.rl.objective import Learning, PolicyObjective, PolicyRow, laid, prompt_passes
from trainer.rl.reference import Reference

PROMPTS = ([1, 20, 21, 22, 23], [1, 30, 31], [1, 40])


def policy() -> Language:
    tiny = make_tiny(["Start with 7. Add 5.\n7 + 5 = 12\n# Answer"] * 3, seed=1, hidden=32, layers=2, heads=4)
    return Language(tiny.model.double(), PromptSettings())


def rows_of(prompts: Sequence[Sequence[int]], seed: int = 0, *, value: bool = False) -> list[PolicyRow]:
    draw = np.random.default_rng(seed)
    rows = []
    for prompt in prompts:
        for _ in range(3):
            tokens = int(draw.integers(1, 9))
            ids = np.concatenate([np.asarray(prompt), draw.integers(3, 60, tokens)])

            def floats(tokens: int = tokens) -> np.ndarray:
                return draw.normal(0, 1, tokens).astype(np.float32)

            learned = draw.random(tokens) < 0.8
            learned[0] = True
            rows.append(
                PolicyRow(
                    ids,
                    len(prompt),
                    learned,
                    floats() - 4,
                    floats(),
                    floats() - 4,
                    floats() if value else None,
                    floats() if value else None,
                )
            )
    return rows


def gradient(learning: Learning, spec: RlSpec, parts: Sequence[Sequence[PolicyRow]]) -> tuple[float, torch.Tensor]:
    learning.zero_grad()
    objective = PolicyObjective(learning, spec, longest=16)
    totals = objective.totals([row for part in parts for row in part])
    loss = 0.0
    for part in parts:
        done = objective.passed(part, totals)
        done.whole.backward()
        loss += float(done.loss.detach())
    return loss, torch.cat([weight.grad.flatten() for weight in learning.parameters() if weight.grad is not None])


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "ppo"])
def test_a_prompt_read_once_gives_the_gradient_of_a_prompt_read_with_every_trace(algorithm: str) -> None:
    spec = build("rl", {"algorithm": algorithm, "kl_weight": 0.1})
    assert isinstance(spec, RlSpec)
    with_value = algorithm == "ppo"
    language, rows = policy(), rows_of(PROMPTS, value=with_value)
    learning = Learning(language, with_value=with_value)
    if learning.value is not None:
        torch.nn.init.normal_(learning.value.linear.weight)
    loss, plain = gradient(learning, spec, [rows])
    learning.shares = True
    shared_loss, shared = gradient(learning, spec, [rows])
    assert shared_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(shared, plain, atol=1e-6, rtol=1e-5)
    apart = Learning(language, with_value=False, shares=True)
    apart.value = learning.value
    assert apart.apart
    apart_loss, by_row = gradient(apart, spec, [rows])
    assert apart_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(by_row, plain, atol=1e-6, rtol=1e-5)
    cut_loss, cut = gradient(learning, spec, prompt_passes(rows, 2, None))
    assert cut_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(cut, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("apart", [False, True])
def test_no_trace_sees_another(apart: bool) -> None:
    learning = Learning(policy(), with_value=False, shares=True)
    spec = build("rl", {})
    assert isinstance(spec, RlSpec)
    rows = rows_of(PROMPTS[:1])
    before = learning.read(laid(rows, shares=True, apart=apart), 1.0)[0].logprobs[2].detach()
    ids = rows[0].ids.copy()
    ids[rows[0].prompt :] = 7
    changed = [PolicyRow(ids, rows[0].prompt, rows[0].learned, rows[0].old, rows[0].advantages), *rows[1:]]
    torch.testing.assert_close(
        learning.read(laid(changed, shares=True, apart=apart), 1.0)[0].logprobs[2].detach(), before
    )


@pytest.mark.parametrize(("most", "budget"), [(1, None), (2, None), (4, None), (100, 20), (100, 1000), (2, 1000)])
def test_passes_hold_every_row_once_within_their_bounds(most: int, budget: int | None) -> None:
    rows = rows_of([*PROMPTS, *PROMPTS[:1]], seed=3)
    passes = prompt_passes(rows, most, budget)
    assert sorted(id(row) for part in passes for row in part) == sorted(id(row) for row in rows)
    if budget is None:
        assert all(len(part) <= most for part in passes)
    elif budget >= 1000 and most >= 100:
        assert len(passes) == 1


def test_passes_of_a_batch_are_alike_in_length() -> None:
    rows = rows_of([[1, *range(20, 28), k] for k in range(6)], seed=5)
    lengths = [sum(row.length for row in part) for part in prompt_passes(rows, 100, 80)]
    assert len(lengths) > 1
    assert max(lengths) <= 1.6 * min(lengths)


@pytest.mark.parametrize("own_pass", [True, False])
@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[2:]])
def test_the_reference_gives_what_the_model_gives(
    own_pass: bool, prompts: Sequence[Sequence[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.rl.reference.SECOND_COPY", 1 << 30 if own_pass else 0)
    language = policy()
    frozen = Learning(Language(language.model.float(), language.settings), with_value=False, shares=True).eval()
    rows = rows_of(prompts, seed=7)
    given = Reference(frozen, frozen, 0.7).logprobs(rows, lambda: None)
    for row, ours in zip(rows, given, strict=True):
        with torch.no_grad():
            logits = language.model(torch.from_numpy(row.ids)[None]).logits[0, row.prompt - 1 : -1].double() / 0.7
        wanted = logits.log_softmax(-1).gather(1, torch.from_numpy(row.ids[row.prompt :])[:, None])[:, 0]
        np.testing.assert_allclose(ours, wanted, atol=1e-5)
