"""Labelling by machine, killed while rollouts are written and between the records of a trace: the same labels, once."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

import resources
from tests.proofs.test_resume import struck
from tests.trainer.runs import ended
from tests.trainer.test_autolabel import label_run
from tests.trainer.test_rl_recipe import here
from trainer.contract.records import MachineLabelRecord
from trainer.contract.run_folder import RunFolder, last_attempt, read_records
from trainer.reasoning.tries import make_tries, try_row

FULL = os.environ.get("STEPLENS_PROOF") == "full"
KILLS, ROWS = (20, 60) if FULL else (2, 10)
METHODS = ("rule and rollouts agree", "rollouts from every step", "binary search for the first error")
POLICY = Path(resources.__file__).parent / "models" / "policy"


def labels(folder: RunFolder) -> dict[str, MachineLabelRecord]:
    """What was made; nothing stands there twice."""
    found = [record for record in read_records(folder.records)[0] if isinstance(record, MachineLabelRecord)]
    assert len({record.id for record in found}) == len(found)
    return {record.id: record for record in found}


@pytest.mark.parametrize("method", METHODS if FULL else METHODS[:1])
def test_killed_labelling_ends_with_the_same_labels(tmp_path: Path, method: str) -> None:
    tried = make_tries(ROWS, seed=8, keeps_checking=True, any_order=True)
    rows = [try_row(one, number) for number, one in enumerate(tried)]
    given = {"method": method, "hardness": "soft", "rollouts": 3}
    whole, broken = (label_run(tmp_path / name, rows, POLICY, **given) for name in ("whole", "broken"))
    assert here(whole) == 0, ended(whole).traceback
    expected = labels(whole)
    values = {value for record in expected.values() for value in record.values if value is not None}
    # shares between 0 and 1 show that the very same rollouts were drawn; the search says only right or wrong
    assert values == {0.0, 1.0} if method == METHODS[-1] else len(values) == 4
    draw = random.Random(12)
    each = whole.records.stat().st_size // (KILLS + 1)
    for kill in range(KILLS):
        if kill % 2:
            blow, at = "records", draw.randint(kill * each, (kill + 1) * each)
        else:
            blow, at = "draws", draw.randint(1, 3)
        assert struck(broken, blow, at) == -signal.SIGKILL, broken.tail_of_log()
        if kill % 4 == 3:
            with broken.records.open("ab") as records:  # what a power cut leaves
                records.write(b'{"type":"machine_label","id":"torn')
    assert here(broken) == 0, ended(broken).traceback
    assert last_attempt(broken.events) == KILLS + 1
    assert labels(broken) == expected
