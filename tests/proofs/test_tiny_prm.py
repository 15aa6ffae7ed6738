"""The tiny PRM learns the stories through the real worker, and what needs no language model does not."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tests.trainer.runs import all_events, ended, finish, prm_run, story_rows
from tests.trainer.warm import finish_warm
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.reasoning.stories import STORY_COUNT, STORY_PRESET, STORY_SEED

FULL = os.environ.get("STEPLENS_PROOF") == "full"
COUNT = STORY_COUNT if FULL else 5000
SHORT = {} if FULL else {"max_steps": 200, "eval_every": 200}
MUST = 0.95 if FULL else 0.65
SECONDS = 180 if FULL else math.inf  # only a machine left alone can be timed
BASELINES = ("baseline_step_index_auc", "baseline_tfidf_auc")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[events.AnyEvent]:
    """Everything the run said."""
    path: Path = tmp_path_factory.mktemp("tiny") / "run"
    folder = prm_run(path, story_rows(COUNT, STORY_SEED), **(STORY_PRESET | SHORT))
    code = finish(folder, timeout=900) if FULL else finish_warm(folder, timeout=900)
    assert code == 0, folder.tail_of_log()
    assert ended(folder).outcome is Outcome.FINISHED
    return all_events(folder)


def _validations(told: list[events.AnyEvent]) -> list[events.Metrics]:
    return [event for event in told if isinstance(event, events.Metrics) and event.split == "validation"]


def test_validation_auc_is_reached_in_time(told: list[events.AnyEvent]) -> None:
    """Time counts from the worker's first word, model and tokenizer made included."""
    began = told[0].at
    curve = [(round(event.at - began), round(event.values["auc"], 4)) for event in _validations(told)]
    assert any(auc >= MUST and seconds <= SECONDS for seconds, auc in curve), curve


def test_the_stories_cannot_be_guessed(told: list[events.AnyEvent]) -> None:
    """Else the generator is at fault: its errors show in a step's place or words."""
    last = _validations(told)[-1].values
    assert last["n_steps"] > 1000
    for name in BASELINES:
        assert 0.35 < last[name] < 0.65, name
        assert last["auc"] > last[name] + 0.05, name


def test_the_labels_give_themselves_away_only_by_where_they_stop(told: list[events.AnyEvent]) -> None:
    """The hint that no causal scorer has: labelling ends at the first error."""
    assert _validations(told)[-1].values["hint_last_rated_auc"] > 0.85
