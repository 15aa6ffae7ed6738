"""RL by a server that speaks vLLM's words, with our worker extension in it. The server is played: vLLM needs a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.runs import ended, live_events, metrics
from tests.trainer.test_rl_recipe import here, rl_run
from tests.trainer.test_rl_server import models, rows  # noqa: F401 - fixtures
from tests.unit.models.http_servers import Handler, served
from trainer.contract import events, rollouts
from trainer.contract.events import Outcome
from trainer.contract.records import InputRow
from trainer.contract.run_folder import sha256_of_folder
from trainer.models.policies import load_policy
from trainer.models.sampling import Ended, Sampling
from trainer.models.served import Served, Serving, drawn_seeds

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "steplens_vllm.py"


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    found = importlib.util.spec_from_file_location("steplens_vllm", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class Player:
    """Answers as `vllm serve` does; two workers, of which the first one's model writes."""

    def __init__(self, model: Path, extension: ModuleType) -> None:
        self.served = Served(model)
        self.resets = 0
        self.workers = [extension.Steplens(), extension.Steplens()]
        for worker in self.workers:
            worker.model_runner = SimpleNamespace(model=SimpleNamespace(load_weights=self.load_weights))

    def load_weights(self, weights: Any) -> None:
        own = self.served._model.state_dict()
        with torch.no_grad():
            for name, tensor in weights:
                own[name].copy_(tensor)

    def script(self, handler: Handler, number: int) -> None:
        path, _, body = handler.server.seen[number]
        if path == "/collective_rpc":
            results = [getattr(worker, body["method"])(*body["args"]) for worker in self.workers]
            handler.json({"results": results})
        elif path == "/reset_prefix_cache":
            self.served._decoder.refresh()
            self.resets += 1
            handler.raw(b"")
        else:
            assert path == "/v1/completions"
            handler.json(self.complete(body))

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["return_token_ids"] is True
        assert "seeds" not in body
        sampling = Sampling(body["temperature"], body["top_p"], body["max_tokens"])
        n = body.get("n", 1)
        seeds = drawn_seeds(n, body["seed"])
        _, made, _ = self.served.write([body["prompt"]], sampling, n=n, seeds=seeds, check=lambda: None)
        choices = []
        for index, one in enumerate(made[0]):
            logprobs = {"tokens": [""] * len(one.ids), "token_logprobs": one.logprobs.tolist(), "top_logprobs": None}
            finish = "stop" if one.ended is Ended.STOP else "length"
            choices.append({
                "index": index, "text": "", "finish_reason": finish, "logprobs": logprobs,
                "token_ids": one.ids.tolist(),
            })  # fmt: skip
        return {"model": body["model"], "choices": choices}


SETTINGS = {"generation": "server", "server_kind": "vLLM", "updates": 2, "eval_every": 2}


def test_a_run_by_vllm(tmp_path: Path, rows: list[InputRow], models: dict[str, Path], extension: ModuleType) -> None:  # noqa: F811
    player = Player(models["model"], extension)
    with served(player.script) as server:
        server.listed = {"data": [{"id": "the-policy"}]}
        folder = rl_run(tmp_path / "run", rows, models, server=server.url, **SETTINGS)
        assert here(folder) == 0, folder.tail_of_log()
        bodies = [body for path, _, body in server.seen if path == "/v1/completions"]
    assert ended(folder).outcome is Outcome.FINISHED
    assert {body["model"] for body in bodies} == {"the-policy"}
    assert {body["max_tokens"] for body in bodies} == {60}
    assert player.resets >= 2
    for update in rollouts.updates(folder.path):
        batch = rollouts.load(rollouts.path_of(folder.path, update))
        assert len(batch.traces) == 16
        for trace in batch.traces:
            assert trace.policy_version == update
            np.testing.assert_allclose(
                rollouts.floats(trace.server_logprobs), rollouts.floats(trace.logprobs), atol=1e-4
            )
            assert rollouts.floats(trace.entropy).max() > 0
            closed = "</think>" in trace.text
            assert (trace.thinking_ended == "closed") is closed
            if not closed:
                assert (trace.thinking_tokens, trace.answer_tokens) == (trace.length, 0)
    first = dict(metrics(folder, "train"))[1]
    assert first["sampling/sampling_logp_difference/mean"] < 1e-5
    notices = [event.message for event in live_events(folder) if isinstance(event, events.Notice)]
    assert any("vLLM keeps 60 tokens in all" in message for message in notices)


def test_one_worker_that_did_not_take_the_weights_is_enough_to_refuse(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path], extension: ModuleType  # noqa: F811
) -> None:  # fmt: skip
    player = Player(models["model"], extension)
    player.workers[1].steplens_load = lambda *_: {}
    with served(player.script) as server:
        server.listed = {"data": [{"id": "the-policy"}]}
        folder = rl_run(tmp_path / "run", rows, models, server=server.url, **SETTINGS)
        assert here(folder) == 1
        assert not [path for path, *_ in server.seen if path == "/v1/completions"]
    assert "it does not say which weights it serves" in ended(folder).message


def test_weights_that_change_while_it_writes_are_found_out(
    tmp_path: Path, rows: list[InputRow], models: dict[str, Path], extension: ModuleType  # noqa: F811
) -> None:  # fmt: skip
    player = Player(models["model"], extension)
    player.workers[0].steplens_serving = lambda: {"version": 9, "checksum": "f" * 64}
    with served(player.script) as server:
        server.listed = {"data": [{"id": "the-policy"}]}
        folder = rl_run(tmp_path / "run", rows, models, server=server.url, **SETTINGS)
        assert here(folder) == 1
    assert "it says it serves version 9 (ffffffffffff)" in ended(folder).message


def test_the_extension_reads_whole_folders_alone(models: dict[str, Path], extension: ModuleType) -> None:  # noqa: F811
    folder = models["model"]
    checksum = sha256_of_folder(folder)
    assert extension.checksum_of(folder) == checksum
    wanted = load_policy(str(folder)).language.model.state_dict()
    found = dict(extension.weights_of(folder))
    assert found
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())
    worker = extension.Steplens()
    worker.model_runner = SimpleNamespace(model=SimpleNamespace(load_weights=list))
    assert worker.steplens_serving() == {}
    with pytest.raises(ValueError, match="checksum"):
        worker.steplens_load(str(folder), "1", "0" * 64)
    said = worker.steplens_load(str(folder), "1", checksum)
    assert Serving(**said) == Serving(1, checksum) == Serving(**worker.steplens_serving())
