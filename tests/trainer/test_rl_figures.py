"""What an RL run tells of an update: whether it thinks longer about what it finds hard."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trainer.rl.figures import _effort


def traces(*groups: tuple[tuple[int, bool | None], ...]) -> list[Any]:
    """Rollouts by (tokens of thinking, right) of each problem."""
    return [
        SimpleNamespace(
            group=number, made=SimpleNamespace(thinking_tokens=spent), earned=SimpleNamespace(correct=right)
        )
        for number, of in enumerate(groups)
        for spent, right in of
    ]


def test_effort_follows_the_share_of_wrong_answers_of_a_problem() -> None:
    easy, fair, hard = ((4, True), (6, True)), ((9, True), (7, False)), ((30, None), (20, False))
    name = "behaviour/effort_by_difficulty"
    assert _effort(traces(easy, fair, hard)) == {name: pytest.approx(1.0)}
    longer = tuple((spent + 100, right) for spent, right in easy)
    assert _effort(traces(longer, fair, hard)) == {name: pytest.approx(-0.5)}  # ranks 3 1 2 against 1 2 3
    assert _effort(traces(easy, easy)) == {}, "where all are equally hard it is not told"
