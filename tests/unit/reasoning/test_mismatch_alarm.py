"""The alarm of a server whose log-probs are not the trainer's."""

from __future__ import annotations

import pytest

from trainer.reasoning.alarms import AlarmCode, Signs, Update, alarms

NONE = Signs(0.0, 0.0, 0.0, 0.0)


def codes(*values: float | None) -> list[AlarmCode]:
    history = [Update(i, 0.5, NONE, mismatch=value) for i, value in enumerate(values)]
    return [alarm.code for alarm in alarms(history)]


@pytest.mark.parametrize(
    ("values", "rings"),
    [
        ((None, None, None), False),  # no server
        ((1e-6, 1e-6, 1e-6, 2e-6), False),
        ((1e-6, 0.02), False),  # one odd update
        ((1e-6, 0.02, 0.03), True),  # exact at first, apart then: old weights
        ((0.015, 0.02, 0.03, 0.04), False),  # another precision from the beginning
        ((0.015, 0.02, 0.09, 0.08), True),  # five times what it was
        ((0.2, 0.2), True),  # never tolerable
        ((1e-6, float("nan")), True),
    ],
)  # fmt: skip
def test_when_it_rings(values: tuple[float | None, ...], rings: bool) -> None:
    assert codes(*values) == ([AlarmCode.MISMATCH] if rings else [])
