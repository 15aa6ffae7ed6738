"""What the Rollouts tab shows of an update: advantages computed here by loops, colours, tokens, words."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from studio.ui.theme import CONTRAST, DARK, LIGHT, Colours, contrast
from studio.ui.train.rollouts_bar import UpdateBar
from studio.ui.train.rollouts_credit import listing, open_update, recount, signed
from studio.ui.train.rollouts_delegate import Strip, step_text, tint, token_text
from studio.ui.train.rollouts_tab import batch_scores, what_changed
from tests.e2e.rollouts_made import STEP_TOKENS, plain_rl, spec_of, trace
from trainer.contract import rollouts
from trainer.contract.forms import CreditForm, GroupScale
from trainer.contract.rollouts import RolloutBatch
from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.specs.rl import Algorithm, KlPlace
from trainer.reasoning.credit import CreditSettings

Group = list[tuple[tuple[float, ...], float]]
PLAIN = CreditSettings(scale=GroupScale.NONE)


def by_hand(group: Group, form: CreditForm, *, tail: int = 2) -> list[list[float]]:
    """Advantages by token of one problem's traces (scores, outcome): weights 0.3 and 0.7, the others as baseline."""
    paid = []
    for scores, _ in group:
        if form is CreditForm.SUM:
            paid.append([0.3 * s for s in scores])
        else:
            heavy = [math.exp(-(2 * s - 1) / 0.1) for s in scores]
            paid.append([0.3 * h / sum(heavy) * (s - 0.5) for h, s in zip(heavy, scores, strict=True)])
    result = []
    for i, (scores, outcome) in enumerate(group):
        others = [j for j in range(len(group)) if j != i]
        baseline = sum(sum(paid[j]) for j in others) / len(others)
        verdict = 0.7 * (outcome - sum(group[j][1] for j in others) / len(others))
        tokens = []
        for k in range(len(scores)):
            rest = sum(paid[i][j] - baseline / len(scores) for j in range(k, len(scores)))
            tokens += [rest + verdict] * STEP_TOKENS
        result.append(tokens + [verdict] * tail)
    return result


RIGHT: Group = [((0.9, 0.95), 1.0), ((0.9, 0.8, 0.2, 0.7, 0.8), 0.0)]
ALIKE: Group = [((0.9,), 1.0), ((0.9,), 1.0)]


def batch_of(*groups: Group, update: int = 0) -> RolloutBatch:
    """An update paid under `min`, as the worker would have."""
    traces = []
    for number, group in enumerate(groups):
        paid = by_hand(group, CreditForm.MIN)
        traces += [
            trace(f"t{number}{i}", scores, paid[i], group=number, correct=outcome > 0.5)
            for i, (scores, outcome) in enumerate(group)
        ]
    return RolloutBatch(update=update, policy_version=update, traces=tuple(traces))


def test_the_runs_own_settings_give_what_was_paid() -> None:
    found = recount(batch_of(RIGHT, ALIKE), PLAIN, 0.0, {})
    assert found.gap < 1e-6
    assert found.turned == 0
    for one, wanted in zip(found.traces, by_hand(RIGHT, CreditForm.MIN), strict=False):
        np.testing.assert_allclose(one.what_if, wanted, atol=1e-9)
        np.testing.assert_allclose(one.paid, wanted, atol=1e-6)
        assert one.what_if_mean == pytest.approx(sum(wanted) / len(wanted))


def test_another_form_and_score_change_the_whole_group_and_no_other() -> None:
    batch = batch_of(RIGHT, ALIKE)
    under = recount(batch, CreditSettings(form=CreditForm.SUM, scale=GroupScale.NONE), 0.0, {})
    for one, wanted in zip(under.traces, by_hand(RIGHT, CreditForm.SUM), strict=False):
        np.testing.assert_allclose(one.what_if, wanted, atol=1e-9)
        for k, step in enumerate(one.steps[:-1]):
            assert step.what_if == pytest.approx(wanted[STEP_TOKENS * k], abs=1e-9)
    edited: Group = [((0.9, 0.05), 1.0), RIGHT[1]]
    found = recount(batch, PLAIN, 0.0, {"t00": (0.9, 0.05)})
    for one, wanted in zip(found.traces, by_hand(edited, CreditForm.MIN), strict=False):
        np.testing.assert_allclose(one.what_if, wanted, atol=1e-9)
    before = recount(batch, PLAIN, 0.0, {})
    assert not np.allclose(found.traces[1].what_if, before.traces[1].what_if), "the other trace has another baseline"
    for place in (2, 3):
        np.testing.assert_array_equal(found.traces[place].what_if, before.traces[place].what_if)


def test_signs_that_change_are_counted_and_told() -> None:
    batch = batch_of(RIGHT, ALIKE)
    settings = CreditSettings(form=CreditForm.SUM, outcome_weight=0.0, scale=GroupScale.NONE)
    found = recount(batch, settings, 0.0, {})
    # process alone: the wrong trace of 5 steps is paid 0.3 * 3.4, the right one 0.3 * 1.85: both turn over
    assert [one.turns for one in found.traces] == [True, True, False, False]
    stored = {one.id: one.scores for one in batch.traces}
    assert what_changed(found, {}, stored) == "2 of 4 traces change sign of their mean advantage."
    edits = {"t00": (0.1, 0.1)}
    assert what_changed(found, edits, stored).startswith("2 scores edited. 2 of 4")
    assert what_changed(recount(batch, PLAIN, 0.0, {}), {}, stored) == "Every token has the advantage it was paid."


def test_steps_own_their_tokens_and_the_rest_stands_apart() -> None:
    found = recount(batch_of(RIGHT), PLAIN, 0.0, {}).traces[1]
    assert [(step.begin, step.end) for step in found.steps] == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15), (15, 17)]
    assert [step.score for step in found.steps] == [0.9, 0.8, 0.2, 0.7, 0.8, None]
    assert found.steps[2].text == "Step 3 of t01: 2 + 2 = 4"
    assert found.steps[-1].text == "Answer: 7"
    value = by_hand(RIGHT, CreditForm.MIN)[1][4]
    assert token_text(found, 4).splitlines() == [
        "Token 5 of 17 (id 104)",
        f"advantage paid −{abs(value):.4f}, what-if −{abs(value):.4f}",
        "log-prob −1.0000",
    ]
    assert step_text(found.steps[0]).startswith("Step: 3 tokens, mean advantage paid −")
    assert step_text(found.steps[-1]).startswith("What follows the last step: 2 tokens")


def test_steps_that_end_in_one_token_are_told_to_count_as_one() -> None:
    one = trace("a", (0.9, 0.4), [0.0] * 8)
    merged = RolloutBatch(
        update=0,
        policy_version=0,
        traces=tuple(
            type(one)(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "id": id, "step_ends": (2, 2)})
            for id in ("a", "b")
        ),
    )
    found = recount(merged, PLAIN, 0.0, {}).traces[0]
    assert [(step.begin, step.end) for step in found.steps] == [(0, 3), (3, 3), (3, 8)]
    assert "count as one" in step_text(found.steps[1])


@pytest.mark.parametrize("colours", [LIGHT, DARK, CONTRAST], ids=["light", "dark", "high contrast"])
@pytest.mark.parametrize("ground", ["surface", "accent_soft"])
def test_text_over_the_strongest_bar_can_be_read(colours: Colours, ground: str) -> None:
    for value in (-1.0, -0.4, 0.0, 0.4, 1.0):
        behind = tint(colours, value, 1.0, colours.q(ground)).name()
        assert contrast(colours.text, behind) >= 4.5
    ends = {tint(colours, value, 1.0, colours.q(ground)).name() for value in (-1.0, 0.0, 1.0)}
    assert len(ends) == 3, "negative, nothing and positive look different"


def test_the_token_under_the_pointer() -> None:
    strip = Strip(left=10.0, top=40.0, width=6.0, height=18.0, count=5)
    assert [strip.place_at(x, 45.0) for x in (9.0, 10.0, 15.9, 16.0, 39.9, 40.1)] == [None, 0, 0, 1, 4, None]
    assert strip.place_at(12.0, 39.0) is None
    assert strip.place_at(12.0, 58.5) is None


def test_numbers_carry_their_sign() -> None:
    assert [signed(v) for v in (0.5, -0.25, 0.0, -1e-9)] == ["+0.500", "−0.250", "0.000", "−0.000"]


def test_a_folder_tells_its_updates_and_how_it_pays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    asked = plain_rl(credit=CreditForm.SUM, process_weight=0.4, reward_weight=0.5)
    RunFolder(folder).create(spec_of("run", asked), ())
    for update in (3, 1):
        rollouts.save(folder, batch_of(RIGHT, update=update))
    found = listing(folder)
    assert found.updates == (1, 3)
    assert found.credit.settings == CreditSettings(
        form=CreditForm.SUM, process_weight=0.4, outcome_weight=0.7, scale=GroupScale.NONE
    )
    assert (found.credit.own_weight, found.credit.apart) == (0.5, "")


def test_without_a_prm_the_process_weighs_nothing_and_ppo_is_told(tmp_path: Path) -> None:
    for name, asked in (
        ("ppo", plain_rl(algorithm=Algorithm.PPO)),
        ("kl", plain_rl(kl_weight=0.1, kl_place=KlPlace.REWARD)),
    ):
        RunFolder(tmp_path / name).create(spec_of(name, asked, scored=False), ())
    ppo, drift = (listing(tmp_path / name).credit for name in ("ppo", "kl"))
    assert ppo.settings.process_weight == 0.0
    assert "value head" in ppo.apart
    assert "reference policy" in drift.apart


def test_a_file_is_read_again_only_when_it_was_written_anew(tmp_path: Path) -> None:
    (tmp_path / "rollouts").mkdir()
    path = rollouts.save(tmp_path, batch_of(RIGHT))
    first = open_update(tmp_path, 0)
    assert open_update(tmp_path, 0, first) is first
    rollouts.save(tmp_path, batch_of(ALIKE))
    os.utime(path, ns=(first.stamp + 10, first.stamp + 10))
    again = open_update(tmp_path, 0, first)
    assert batch_scores(again) == {"t00": (0.9,), "t01": (0.9,)}
    path.unlink()
    with pytest.raises(RunFolderError, match="missing"):
        open_update(tmp_path, 0, again)


def test_the_bar_stays_with_the_newest_until_another_is_chosen(qtbot: object) -> None:
    bar = UpdateBar()
    qtbot.addWidget(bar)  # type: ignore[attr-defined]
    told: list[int] = []
    bar.chosen.connect(told.append)
    bar.show_updates((4, 5, 9))
    assert (bar.update_number, bar.number.value(), told) == (9, 9, [])
    bar.show_updates((4, 5, 9, 10))
    assert bar.update_number == 10
    bar.show_updates((4, 5, 9, 10, 11), hold=True)
    assert bar.update_number == 10, "what is edited stays"
    bar.number.setValue(6)
    assert (bar.update_number, bar.number.value(), told) == (5, 5, [5]), "the nearest that is there"
    bar.slider.setValue(0)
    bar.show_updates((5, 9, 10, 11, 12))
    assert (bar.update_number, told) == (5, [5, 4]), "a pruned update gives way to the nearest"
    bar.follow()
    assert (bar.update_number, told[-1], bar.newest.isEnabled()) == (12, 12, False)
    bar.show_updates((5, 13))
    assert bar.update_number == 13
