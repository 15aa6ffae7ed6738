"""RL that is paused while it writes rollouts, or runs out of memory, ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resources
from tests.trainer.runs import ended, live_events, metrics
from tests.trainer.test_rl_recipe import assert_equal, here, rl_run, weights
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.run_folder import Control, RunFolder
from trainer.models.generate import Decoder
from trainer.reasoning.tries import make_tries, try_row
from trainer.rl.objective import PolicyObjective

SHIPPED = Path(resources.__file__).parent / "models"
GIVEN = {
    "prompts": 2, "traces": 4, "max_thinking": 32, "max_answer": 12, "updates": 2, "parts": 2, "eval_every": 2,
    "eval_problems": 4, "algorithm": "ppo", "rate": 1e-3, "kl_weight": 0.01,
}  # fmt: skip


def tries_run(path: Path) -> RunFolder:
    """A run on the models that travel with the app, not started."""
    made = make_tries(24, seed=9, keeps_checking=True, any_order=True)
    rows = [try_row(one, number) for number, one in enumerate(made)]
    return rl_run(path, rows, {"model": SHIPPED / "policy", "prm": SHIPPED / "prm"}, **GIVEN)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nobody disturbs."""
    folder = tries_run(tmp_path_factory.mktemp("rl") / "whole")
    assert here(folder) == 0, folder.tail_of_log()
    return folder


def test_paused_among_its_tokens_it_ends_the_same(
    whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tries_run(tmp_path / "paused")
    generate, drawn = Decoder.generate, 0

    def asking(self: Decoder, prompts: object, sampling: object, **named: object) -> object:
        def check() -> None:
            nonlocal drawn
            drawn += sampling.temperature > 0
            if drawn in (2, 8):  # within the first rollouts, and in some later ones
                folder.ask(Control.PAUSE)
            named["check"]()

        return generate(self, prompts, sampling, **{**named, "check": check})

    monkeypatch.setattr(Decoder, "generate", asking)
    pauses = []
    while not pauses or ended(folder).outcome is Outcome.PAUSED:
        folder.clear_control()
        assert here(folder) == 0, folder.tail_of_log()
        pauses.append(ended(folder).step)
    assert len(pauses) == 3
    assert_equal(folder, whole)


def test_memory_running_out_halves_the_pass_and_learns_the_same(
    whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = PolicyObjective.passed

    def small(self: PolicyObjective, part: list[object], totals: list[float]) -> object:
        if len(part) > 3:
            raise torch.OutOfMemoryError("simulated")
        return passed(self, part, totals)

    monkeypatch.setattr(PolicyObjective, "passed", small)
    folder = tries_run(tmp_path / "small")
    assert here(folder) == 0, folder.tail_of_log()
    told = [event for event in live_events(folder) if isinstance(event, events.Notice) and "memory" in event.code]
    assert told, "halving is told"
    first, same = metrics(folder, "train")[0][1], metrics(whole, "train")[0][1]
    for name in ("loss", "grad_norm", "value_loss"):
        assert first[name] == pytest.approx(same[name], abs=1e-6), name
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(folder)[name], weight, atol=1e-3, rtol=0)
