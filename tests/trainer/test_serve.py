"""Step scores over HTTP: a real server process, asked by the documented client; its scores equal the score recipe's."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.trainer.runs import prm_run, score_run, story_rows
from tests.trainer.test_rl_recipe import here
from trainer.contract.run_folder import read_records, sha256_of_folder

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "trl_reward.py"


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PRM of four steps of training."""
    folder = prm_run(tmp_path_factory.mktemp("serve") / "prm", story_rows(40), max_steps=4, eval_every=4)
    assert here(folder) == 0, folder.tail_of_log()
    return folder.model


@pytest.fixture(scope="module")
def address(prm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served PRM."""
    command = [sys.executable, "-m", "trainer", "serve", str(prm), "--port", "0"]
    log = tmp_path_factory.mktemp("server") / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=quiet()) as server,
    ):
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["address"]
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def quiet() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def example() -> ModuleType:
    found = importlib.util.spec_from_file_location("trl_reward", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def post(address: str, body: bytes, path: str = "/score") -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, body), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_served_scores_equal_the_score_recipe(address: str, prm: Path, tmp_path: Path) -> None:
    rows = story_rows(12, seed=7)
    folder = score_run(tmp_path / "score", prm, rows)
    assert here(folder) == 0, folder.tail_of_log()
    recorded = {record.row: record.values for record in read_records(folder.records)[0]}
    status, answer = post(
        address, json.dumps({"rows": [{"problem": r.problem, "steps": r.steps} for r in rows]}).encode()
    )
    assert status == 200
    assert answer["cut"] == 0
    for row, scores in zip(rows, answer["scores"], strict=True):
        assert scores == pytest.approx(recorded[row.id], abs=1e-5)


def test_the_documented_reward_is_the_least_step_score(address: str) -> None:
    reward = example().StepReward(address)
    prompts = [
        "Start with 7. Add 5.",
        [{"role": "user", "content": "Start with 3. Double it. Add 1."}],
        "Start with 2.",
    ]
    completions = ["7 + 5 = 12\n", [{"role": "assistant", "content": "3 * 2 = 6\n\n6 + 1 = 8"}], " \n"]
    rewards = reward(prompts, completions, extra=["a column TRL passes on"] * 3)
    rows = [{"problem": "Start with 3. Double it. Add 1.", "steps": ["3 * 2 = 6", "6 + 1 = 8"]}]
    _, answer = post(address, json.dumps({"rows": rows}).encode())
    assert rewards[1] == pytest.approx(min(answer["scores"][0]), abs=1e-6)
    assert 0 < rewards[0] < 1
    assert rewards[2] is None


def test_it_says_which_model_it_serves(address: str, prm: Path) -> None:
    with urllib.request.urlopen(address + "/model", timeout=60) as answer:
        about = json.load(answer)
    assert about["version"] == sha256_of_folder(prm)
    assert about["classes"] == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/score", b"{", 400, "truncated"),
        ("/score", b'{"rows": [{"problem": 3, "steps": []}]}', 400, "rows[0].problem"),
        ("/score", b'{"rows": [], "model": "x"}', 400, "model"),
        ("/scores", b'{"rows": []}', 404, "/score"),
    ],
)
def test_bad_input_is_refused_with_the_reason(address: str, path: str, body: bytes, status: int, word: str) -> None:
    found, answer = post(address, body, path)
    assert found == status
    assert word in answer["error"]
    assert post(address, b'{"rows": []}')[1]["scores"] == []


def test_a_client_is_told_what_the_server_refused(address: str) -> None:
    reward = example().StepReward(address)
    with pytest.raises(RuntimeError, match=r"rows\[0\]\.steps"):
        reward.ask({"rows": [{"problem": "x", "steps": [1]}]})
    with pytest.raises(RuntimeError, match="is the server running"):
        example().StepReward("http://127.0.0.1:9").ask({"rows": []})


def test_a_folder_without_a_prm_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet(), timeout=120, check=False)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
