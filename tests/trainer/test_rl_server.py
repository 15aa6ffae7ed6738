"""RL whose rollouts a server writes: the same run as by the trainer itself; servers that lie or lag are found out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.jobs.launcher import start_worker
from tests.trainer.runs import ended, live_events, metrics
from tests.trainer.test_rl_recipe import here, rl_run, weights
from tests.unit.models.http_servers import Handler, served
from trainer.contract import events, rollouts
from trainer.contract.events import Outcome
from trainer.contract.records import InputRow
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.setting import Adapt
from trainer.models.served import Served, Serving
from trainer.reasoning.alarms import AlarmCode
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.rl.author_server import importance
from trainer.serve_policy import PolicyServer

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`...:FutureWarning")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows() -> list[InputRow]:
    return [demonstration_row(one, number) for number, one in enumerate(make_demonstrations(120, seed=3))]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, rows: list[InputRow]) -> dict[str, Path]:
    """A policy that has learned a little."""
    folder = RunFolder(tmp_path_factory.mktemp("models") / "sft")
    taught = {"model": "tiny", "threads": 1, "max_steps": 40, "batch_size": 16, "rate": 3e-3, "max_length": 128}
    folder.create(RunSpec(run="sft", name="sft", recipe="sft", parameters=parameters(build("sft", taught))), rows)
    assert here(folder) == 0, folder.tail_of_log()
    return {"model": folder.model}


@contextmanager
def serving(model: Path, kind: type[PolicyServer] = PolicyServer, key: str = "") -> Iterator[PolicyServer]:
    """A server of the policy in a thread of this process."""
    with kind(Served(model), 0, key) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


def by_server(path: Path, rows: list[InputRow], models: dict[str, Path], url: str, **settings: Any) -> RunFolder:
    return rl_run(path, rows, models, generation="server", server=url, **settings)


@pytest.mark.parametrize("settings", [{"passes": 2, "parts": 2}, {"adapt": Adapt.LORA, "lora_rank": 2, "updates": 2}])
def test_a_run_by_the_server_equals_one_by_the_trainer(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path], settings: dict[str, Any]
) -> None:
    """Same seeds, same rollouts; losses to 1e-5, as the server's own log-probs take part."""
    own = rl_run(tmp_path / "own", rows, models, **settings)
    assert here(own) == 0, own.tail_of_log()
    with serving(models["model"]) as server:
        other = by_server(tmp_path / "server", rows, models, server.address, **settings)
        assert here(other) == 0, other.tail_of_log()
    steps = settings.get("passes", 1) * settings.get("parts", 1)
    for update in rollouts.updates(own.path):
        one, two = (rollouts.load(rollouts.path_of(folder.path, update)) for folder in (own, other))
        assert [trace.tokens for trace in one.traces] == [trace.tokens for trace in two.traces]
        assert [trace.forced for trace in one.traces] == [trace.forced for trace in two.traces]
        assert {trace.policy_version for trace in two.traces} == {update * steps}
        for a, b in zip(one.traces, two.traces, strict=True):
            assert a.server_logprobs == b""
            np.testing.assert_allclose(rollouts.floats(b.server_logprobs), rollouts.floats(a.logprobs), atol=1e-4)
            np.testing.assert_allclose(rollouts.floats(b.logprobs), rollouts.floats(a.logprobs), atol=1e-4)
    ours, theirs = dict(metrics(own, "train")), dict(metrics(other, "train"))
    assert sorted(ours) == sorted(theirs)
    for step, values in ours.items():
        assert theirs[step]["loss"] == pytest.approx(values["loss"], abs=1e-5)
    assert "sampling/kl" not in ours[1]
    first = theirs[1]
    assert first["sampling/sampling_logp_difference/mean"] < 1e-5
    assert first["sampling/importance_sampling_ratio/max"] == pytest.approx(1, abs=1e-3)
    assert abs(first["sampling/kl"]) < 1e-5
    assert dict(metrics(own, "validation"))[0] == dict(metrics(other, "validation"))[0]
    for name, weight in weights(own).items():
        torch.testing.assert_close(weights(other)[name], weight, atol=1e-4, rtol=1e-4)
    assert list((other.path / "served").iterdir()) == []


def test_a_resumed_run_hands_its_weights_over_again(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path]
) -> None:
    with serving(models["model"]) as server:
        whole = by_server(tmp_path / "whole", rows, models, server.address)
        assert here(whole) == 0, whole.tail_of_log()
        cut = by_server(tmp_path / "cut", rows, models, server.address, updates=3)
        calls = 0
        real = server.load_weights

        def load_weights(folder: Path, version: int, checksum: str) -> Serving:
            nonlocal calls
            calls += 1
            if calls == 3:
                (cut.path / "control").write_text("pause")
            return real(folder, version, checksum)

        server.load_weights = load_weights  # type: ignore[method-assign]
        assert here(cut) == 0
        assert ended(cut).outcome is Outcome.PAUSED
        cut.clear_control()
        assert here(cut) == 0, cut.tail_of_log()
    assert ended(cut).outcome is Outcome.FINISHED
    for name, weight in weights(whole).items():
        assert torch.equal(weights(cut)[name], weight)


# -- servers that cannot be trusted -----------------------------------------------------------------------------------


class Liar(PolicyServer):
    """Takes new weights without loading them, and says so."""

    def load_weights(self, folder: Path, version: int, checksum: str) -> Serving:
        return self.served.serving


class Mute(PolicyServer):
    """Takes new weights and says nothing about them."""

    def load_weights(self, folder: Path, version: int, checksum: str) -> Any:
        return {"status": "ok"}


class Stale(PolicyServer):
    """Says that it has loaded the new weights, and writes with those it began with."""

    def load_weights(self, folder: Path, version: int, checksum: str) -> Serving:
        self.served.serving = Serving(version, checksum)
        return self.served.serving


class Restarted(PolicyServer):
    """Confirms new weights, and then writes as one that has been started again."""

    def load_weights(self, folder: Path, version: int, checksum: str) -> Serving:
        return Serving(version, checksum)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Liar, r"did not confirm the new weights: it was handed version 0 .* it says it serves version 0 \("),
        (Mute, "it does not say which weights it serves"),
        (Restarted, r"answered as steplens-0-\w{12} after it had confirmed steplens-0-\w{12}: was it restarted"),
    ],
)
def test_a_server_that_does_not_serve_the_new_weights_is_refused(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path], kind: type[PolicyServer], why: str
) -> None:
    with serving(models["model"], kind) as server:
        folder = by_server(tmp_path / "run", rows, models, server.address, updates=1)
        assert here(folder) == 1
    assert ended(folder).outcome is Outcome.FAILED
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(ended(folder).message)
    assert rollouts.updates(folder.path) == ()


def test_a_server_with_stale_weights_trips_the_alarm(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path]
) -> None:
    with serving(models["model"], Stale) as server:
        folder = by_server(tmp_path / "run", rows, models, server.address, updates=8, rate=3e-3, eval_every=8)
        assert here(folder) == 0, folder.tail_of_log()
    assert ended(folder).outcome is Outcome.PAUSED
    notices = [event for event in live_events(folder) if isinstance(event, events.Notice)]
    alarm = next(event for event in notices if event.code == f"alarm: {AlarmCode.MISMATCH}")
    assert "Server and trainer disagree by" in alarm.message
    told = dict(metrics(folder, "train"))
    assert told[1]["sampling/sampling_logp_difference/mean"] < 1e-4
    assert told[max(told)]["sampling/sampling_logp_difference/mean"] > 0.01
    assert max(told) < 8


def test_a_server_that_is_not_there_is_said_before_anything_is_loaded(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path]
) -> None:
    def script(handler: Handler, number: int) -> None:
        raise AssertionError("nothing is posted")

    with served(script) as plain:  # answers GET with something else
        wrong = by_server(tmp_path / "wrong", rows, models, plain.url, updates=1)
        assert here(wrong) == 1
    assert "names no model" in ended(wrong).message
    gone = by_server(tmp_path / "gone", rows, models, plain.url, updates=1)
    assert here(gone) == 1
    assert "check the address, and that the server runs" in ended(gone).message
    without = by_server(tmp_path / "without", rows, models, "", updates=1)
    assert here(without) == 1
    assert "set `server`" in ended(without).message
    keyless = by_server(tmp_path / "keyless", rows, models, plain.url, updates=1, server_key="NO_SUCH_KEY")
    assert here(keyless) == 1
    assert "there is no key 'NO_SUCH_KEY'" in ended(keyless).message


def test_a_worker_process_gets_the_key_from_its_launcher(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path]
) -> None:
    key = "k-very-secret"
    with serving(models["model"], key=key) as server:
        folder = by_server(
            tmp_path / "run", rows, models, server.address, updates=1, eval_problems=2, server_key="THE_KEY"
        )
        worker = start_worker(folder, sys.executable, ROOT, {"THE_KEY": key})
        assert worker.wait(240) == 0, folder.tail_of_log()
        wrong = by_server(tmp_path / "wrong", rows, models, server.address, updates=1, server_key="THE_KEY")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("THE_KEY", "another")
            assert here(wrong) == 1
    assert "wants its key" in ended(wrong).message
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and key.encode() in file.read_bytes()]


def test_importance_weights_are_truncated_ratios() -> None:
    own, server = np.log(np.float32([0.5, 0.2, 0.9, 1e-30])), np.log(np.float32([0.25, 0.4, 0.1, 1.0]))
    np.testing.assert_allclose(importance(own, server, 3.0), [2.0, 0.5, 3.0, np.exp(-20)], rtol=1e-5)
