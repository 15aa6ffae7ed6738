"""Bisection of a thought, on policies whose chance of success behind every prefix is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.reasoning.bisect_thought import Bisection, Sought, Where, most_probes, possible


def search(chances: list[float], number: int, rng: np.random.Generator, sought: Sought = Sought.LOST) -> Bisection:
    """Search a trace of len(chances) - 1 steps; chances[c]: of success behind its first c steps."""
    bisection = Bisection(len(chances) - 1, sought)
    while (count := bisection.wanted) is not None:
        bisection.take(int(rng.binomial(number, chances[count])), number)
    return bisection


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13, 64])
@pytest.mark.parametrize("sought", list(Sought))
def test_every_place_is_found_with_few_probes(steps: int, sought: Sought) -> None:
    rng = np.random.default_rng(0)
    before, behind = (1.0, 0.0) if sought is Sought.LOST else (0.0, 1.0)
    for place in range(steps + 2):  # 0 = before the first step, steps + 1 = after the last
        chances = [before if count < place else behind for count in range(steps + 1)]
        bisection = search(chances, 20, rng, sought)
        found = bisection.found
        assert found is not None
        assert len(bisection.probes) <= most_probes(steps) == 1 + math.ceil(math.log2(steps + 1))
        assert len({probe.count for probe in bisection.probes}) == len(bisection.probes)
        assert found.where is (Where.BEFORE if place == 0 else Where.AFTER if place > steps else Where.STEP)
        assert found.step == (place if found.where is Where.STEP else None)
        if sought is Sought.SETTLED or place:  # that success was never there is never sure
            assert found.is_sure
            assert found.first == place


def test_a_collapse_is_found_within_a_step_and_its_range_holds_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    near = held = sure = narrow = 0
    trials, steps, number = 400, 16, 32
    for _ in range(trials):
        place = int(rng.integers(1, steps + 1))
        chances = [0.75 if count < place else 0.1 for count in range(steps + 1)]
        found = search(chances, number, rng).found
        assert found is not None
        at = {Where.BEFORE: 0, Where.AFTER: steps + 1}.get(found.where, found.step)
        near += at is not None and abs(at - place) <= 1
        held += found.first <= place <= found.last
        sure += found.is_sure
        narrow += found.last - found.first < steps
    assert near / trials >= 0.95
    assert held / trials >= 0.95
    assert sure / trials > 0.5  # and it is no range that says nothing
    assert narrow / trials > 0.95


def test_few_continuations_are_told_as_doubt() -> None:
    """With four continuations each the range still holds the step, as it is wide."""
    rng = np.random.default_rng(2)
    held, widths = 0, []
    for _ in range(400):
        place = int(rng.integers(1, 9))
        found = search([0.6 if count < place else 0.15 for count in range(9)], 4, rng).found
        assert found is not None
        held += found.first <= place <= found.last
        widths.append(found.last - found.first)
    assert held / 400 >= 0.95
    assert np.mean(widths) > 4


def test_success_is_measured_against_what_the_problem_alone_gives() -> None:
    """A policy that is right in a fifth of its tries has lost nothing while it still is."""
    bisection = Bisection(4, Sought.LOST)
    bisection.take(20, 100)
    assert bisection.level == pytest.approx(0.1)
    assert not bisection.take(15, 100).changed
    last = bisection.take(5, 100)
    assert last.changed
    assert last.doubtful  # 5 % of 100: up to 11 %, and half of the lower end of 20 % is 6.7 %


def test_undecided_continuations_are_told_and_nonsense_is_refused() -> None:
    bisection = Bisection(1, Sought.LOST)
    assert bisection.take(3, 4, undecided=2).undecided == 2
    with pytest.raises(ValueError, match="5 of 4"):
        bisection.take(5, 4)
    with pytest.raises(ValueError, match="0 of 0"):
        bisection.take(0, 0)
    bisection.take(0, 4)
    with pytest.raises(ValueError, match="over"):
        bisection.take(0, 4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bisection(3, Sought.LOST, part=1.0)
    assert possible((), 3) == (0, 4)
