"""Bisection for the first error, against every possible place of it."""

from __future__ import annotations

import math

import pytest

from trainer.reasoning.first_error import find_first_error


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13, 64])
def test_it_finds_every_place_with_few_probes(steps: int) -> None:
    for wrong in [None, *range(steps)]:
        asked: list[int] = []

        def succeeds(count: int, wrong: int | None = wrong, asked: list[int] = asked) -> bool:
            assert 1 <= count <= steps
            asked.append(count)
            return wrong is None or count <= wrong

        found = find_first_error(succeeds, steps)
        assert found.index == wrong
        assert found.probes == len(asked) <= math.ceil(math.log2(steps + 1))


def test_no_steps_have_no_error() -> None:
    assert find_first_error(lambda count: False, 0).index is None
