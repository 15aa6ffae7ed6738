"""A policy over HTTP: its answers are the decoder's, in both forms, streamed and whole, asked by our own client."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.contract.run_folder import sha256_of_folder
from trainer.models.adapt import add_lora
from trainer.models.endpoint import (
    Ask,
    Delta,
    Dialect,
    Endpoint,
    EndpointError,
    EndpointSettings,
    RefusedError,
    Retries,
    Turn,
    UnauthorisedError,
)
from trainer.models.generate import BudgetRule, Decoder, Ended, Generated, Sampling
from trainer.models.policies import load_policy
from trainer.models.served import Served, WeightsError
from trainer.models.tiny import make_tiny
from trainer.rl.handover import save_policy
from trainer.serve_policy import Answers, PolicyServer, Task
from trainer.serve_requests import ChatBody
from trainer.serve_stream import Growing

TEXTS = ["<think>\n2 + 3 = 5\nwait, 5 is right\n</think>\nThe answer is \\boxed{5}.", "Möbius → é 漢字 🙂 2 + 2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy with random weights, as a Hugging Face folder."""
    to = tmp_path_factory.mktemp("served") / "tiny-policy"
    made = make_tiny(TEXTS, 0)
    with torch.no_grad():
        for weight in made.model.parameters():
            weight.mul_(3.0)  # decided enough that texts differ between seeds and weights
    made.model.save_pretrained(str(to))
    made.tokenizer.save_pretrained(str(to))
    return to


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PolicyServer]:
    """It, served in a thread of this process."""
    with PolicyServer(Served(folder), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


def client(server: PolicyServer, dialect: Dialect = Dialect.COMPLETIONS, key: str = "") -> Endpoint:
    settings = EndpointSettings(f"{server.address}/v1", "tiny-policy", dialect, retries=Retries(most=0))
    return Endpoint(settings, key)


def ids_of(server: PolicyServer, text: str) -> tuple[int, ...]:
    return server.served.ids_of(text)


def test_completions_are_what_the_decoder_writes_to_the_bit(server: PolicyServer, folder: Path) -> None:
    loaded = load_policy(str(folder))
    prompts = (ids_of(server, "2 + 3 ="), ids_of(server, "The answer"))
    rule = BudgetRule(thinking=12, answer=6)
    wanted = Decoder(loaded.language.model, loaded.tokenizer).generate(
        prompts, Sampling(0.9, 0.95, 40, budget=rule), n=2, seeds=[5, 6, 7, 8]
    )
    extra: dict[str, Any] = {"seeds": [5, 6, 7, 8], "return_token_ids": True}
    extra |= {"thinking_token_budget": 12, "answer_token_budget": 6}
    ask = Ask(prompt=prompts, max_tokens=40, temperature=0.9, top_p=0.95, n=2, top_logprobs=0, extra=extra)
    reply = client(server).ask(ask)
    assert reply.fingerprint == server.served.serving.fingerprint
    for one, choice in zip([one for of in wanted for one in of], reply.choices, strict=True):
        assert choice.tokens is not None
        assert choice.tokens.ids is not None
        assert np.array_equal(choice.tokens.ids, one.ids)
        assert np.array_equal(choice.tokens.logprobs, one.logprobs)
        assert np.array_equal(np.float32(choice.raw["steplens"]["entropy"]), one.entropy)
        assert choice.raw["steplens"]["forced"] == np.flatnonzero(one.forced).tolist()
        assert choice.raw["steplens"]["thinking_tokens"] == one.thinking_tokens <= 12
    assert reply.usage.output == sum(len(one.ids) for of in wanted for one in of)
    assert reply.usage.input == sum(map(len, prompts))


def test_a_stream_says_the_same_as_the_whole_answer(server: PolicyServer) -> None:
    for seed in range(4):
        ask = Ask(prompt="Möbius → é", max_tokens=48, temperature=1.3, n=2, seed=seed, top_logprobs=0)
        told: list[Delta] = []
        whole, streamed = client(server).ask(ask), client(server).ask(ask, on_delta=told.append)
        assert [(c.text, c.finish) for c in streamed.choices] == [(c.text, c.finish) for c in whole.choices]
        assert "".join(d.text for d in told if d.choice == 1) == whole.choices[1].text
        assert len([d for d in told if d.choice == 0]) > 1
        for one, other in zip(streamed.choices, whole.choices, strict=True):
            assert one.tokens is not None
            assert other.tokens is not None
            assert np.array_equal(one.tokens.logprobs, other.tokens.logprobs)
        assert streamed.usage == whole.usage


def test_a_chat_parts_thinking_and_answer_alike_in_both_ways(server: PolicyServer) -> None:
    ask = Ask((Turn("user", "2 + 3?"),), max_tokens=60, seed=3, thinking_budget=8, extra={"answer_token_budget": 12})
    whole = client(server, Dialect.CHAT).ask(ask)
    told: list[Delta] = []
    streamed = client(server, Dialect.CHAT).ask(ask, on_delta=told.append)
    one = whole.choices[0]
    assert one.thinking is not None
    assert "</think>" not in one.thinking + one.text
    assert (streamed.choices[0].thinking, streamed.choices[0].text) == (one.thinking, one.text)
    assert "".join(d.text for d in told if d.is_thinking) == one.thinking
    assert 0 < whole.usage.thinking <= 8


@pytest.mark.parametrize(
    ("thinks", "answers"), [(TEXTS[0].partition("</think>")[0], "</think>\nfive"), (TEXTS[0][:20], "")]
)
def test_thinking_without_a_budget_is_counted_by_its_text(server: PolicyServer, thinks: str, answers: str) -> None:
    before, after = ids_of(server, thinks), ids_of(server, answers)
    ids = np.array(before + after)
    empty = np.zeros(len(ids), np.float32)
    made = Generated(ids, empty, empty, empty.astype(bool), Ended.LENGTH, seed=0)
    task = Task(ChatBody(messages=()), ((1,),), Sampling(), (0,), False)
    used = Answers(server.served, task).usage([made])
    assert used["completion_tokens_details"] == {"reasoning_tokens": len(before)}
    assert used["completion_tokens"] == len(ids)


def test_seeds_repeat_and_their_absence_does_not(server: PolicyServer) -> None:
    ask = Ask(prompt="2 +", max_tokens=24, temperature=1.0)
    same = [client(server).ask(Ask(prompt="2 +", max_tokens=24, temperature=1.0, seed=11)).text for _ in range(2)]
    assert same[0] == same[1]
    assert len({client(server).ask(ask).text for _ in range(4)}) > 1


def test_a_stop_text_is_not_part_of_the_answer(server: PolicyServer) -> None:
    ask = Ask(prompt="2 +", max_tokens=40, seed=11)
    whole = client(server).ask(ask).text
    stop = whole[5:7]
    told: list[Delta] = []
    for on_delta in (None, told.append):
        reply = client(server).ask(Ask(prompt="2 +", max_tokens=40, seed=11, stop=(stop,)), on_delta=on_delta)
        assert reply.text == whole[: whole.index(stop)]
        assert reply.choices[0].finish == "stop"
    assert "".join(delta.text for delta in told) == reply.text


def test_alternatives_are_the_likeliest_tokens_of_one_plain_pass(server: PolicyServer, folder: Path) -> None:
    asked = {"max_tokens": 8, "temperature": 0.7, "seed": 2, "top_logprobs": 3, "extra": {"return_token_ids": True}}
    tokens = client(server, Dialect.CHAT).ask(Ask((Turn("user", "2 + 3 ="),), **asked)).choices[0].tokens
    prompt = server.served.chat_ids([{"role": "user", "content": "2 + 3 ="}], None).ids
    assert tokens is not None
    assert tokens.ids is not None
    assert tokens.alternatives is not None
    model = load_policy(str(folder)).language.model
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens.ids.tolist()]])).logits[0, len(prompt) - 1 : -1].double()
    logits = logits[:, : len(server.served.tokenizer)]  # rows that only pad the matrix are never drawn
    wanted = (logits / 0.7).log_softmax(-1)
    chosen = wanted[range(len(tokens.ids)), tokens.ids.tolist()]
    np.testing.assert_allclose(tokens.logprobs, chosen, atol=2e-5)
    for row, others in zip(wanted, tokens.alternatives, strict=True):
        np.testing.assert_allclose([v for _, v in others], row.topk(3).values, atol=2e-5)
        assert [t for t, _ in others] == [server.served.piece(i) for i in row.topk(3).indices.tolist()]
    completion = client(server).ask(Ask(prompt=prompt, **asked)).choices[0].tokens
    assert completion is not None
    assert completion.alternatives is not None
    assert [dict(each) for each in completion.alternatives] == [dict(each[::-1]) for each in tokens.alternatives]


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"tools": [{"type": "function"}]}, "cannot do tools"),
        ({"logit_bias": {"5": 3}}, "cannot do logit_bias"),
        ({"n": 0}, "n = 0"),
        ({"temperature": -1}, "temperature at least 0"),
        ({"seeds": [1, 2]}, "2 for 1 traces"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": list(range(5000))}, "reads"),
        ({"prompt": [10**6]}, "its tokenizer"),
        ({"thinking_token_budget": -1}, "budget is at least 0"),
        ({"max_tokens": "many"}, "cannot be read"),
    ],
)
def test_requests_that_cannot_be_answered_say_why(server: PolicyServer, extra: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why) as caught:
        client(server).ask(Ask(prompt="2", extra=extra))
    assert caught.value.status == 400


@pytest.mark.parametrize("path", ["/load_weights", "/v1/completions"])
def test_what_a_web_page_may_post_without_asking_is_refused(server: PolicyServer, path: str) -> None:
    before = server.served.serving.version
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request("POST", path, json.dumps({"path": "/tmp", "version": 9}), {"Content-Type": "text/plain"})
    answer = connection.getresponse()
    assert (answer.status, b"application/json" in answer.read()) == (415, True)
    assert server.served.serving.version == before
    connection.close()


def test_a_client_that_hangs_up_frees_the_policy(server: PolicyServer) -> None:
    class Stop(Exception):
        pass

    told = threading.Event()

    def check() -> None:
        if told.is_set():
            raise Stop

    ask = Ask(prompt="2 +", max_tokens=100_000, n=2, extra={"thinking_token_budget": 100_000})
    before = server.served._decoder.tokens_drawn
    with pytest.raises(Stop):
        client(server).ask(ask, on_delta=lambda _: told.set(), check=check)
    assert client(server).ask(Ask(prompt="2", max_tokens=2)).choices  # the turn is free again
    assert server.served._decoder.tokens_drawn > before


def test_new_weights_are_served_and_named(server: PolicyServer, folder: Path, tmp_path: Path) -> None:
    prompt = ids_of(server, "2 + 3 =")
    ask = Ask(prompt=prompt, max_tokens=16, temperature=0.0, top_logprobs=0)
    before, was = client(server).ask(ask), server.served.serving
    assert before.choices[0].tokens is not None
    loaded = load_policy(str(folder))
    with torch.no_grad():
        for weight in loaded.language.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    save_policy(loaded.language, tmp_path / "new")
    body = {"path": str(tmp_path / "new"), "version": 7, "checksum": sha256_of_folder(tmp_path / "new")}
    assert client(server).call("/load_weights", body) == {"version": 7, "checksum": body["checksum"]}
    try:
        after = client(server).ask(ask)
        assert after.fingerprint == f"steplens-7-{body['checksum'][:12]}" == server.served.serving.fingerprint
        assert client(server).call("/version") == {"version": 7, "checksum": body["checksum"]}
        wanted = Decoder(loaded.language.model, loaded.tokenizer).generate([prompt], Sampling(0.0, max_new_tokens=16))
        assert after.choices[0].tokens is not None
        assert np.array_equal(after.choices[0].tokens.logprobs, wanted[0][0].logprobs)
        assert not np.array_equal(after.choices[0].tokens.logprobs, before.choices[0].tokens.logprobs)
    finally:
        server.load_weights(folder, was.version, sha256_of_folder(folder))
    again = client(server).ask(ask)
    assert again.choices[0].tokens is not None
    assert np.array_equal(again.choices[0].tokens.logprobs, before.choices[0].tokens.logprobs)


def test_weights_that_do_not_fit_change_nothing(server: PolicyServer, folder: Path, tmp_path: Path) -> None:
    was = server.served.serving
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "model.safetensors").unlink()
    with pytest.raises(RefusedError, match="checksum") as caught:
        client(server).call("/load_weights", {"path": str(other), "version": 2, "checksum": "0" * 64})
    assert caught.value.status == 409
    for folder_, why in ((other, "no \\*.safetensors"), (tmp_path / "nowhere", "no folder")):
        checksum = sha256_of_folder(folder_) if folder_.is_dir() else ""
        with pytest.raises(WeightsError, match=why):
            server.served.load_weights(folder_, 2, checksum)
    wide = make_tiny([*TEXTS, "much more text with other words " * 3], 0)
    wide.model.resize_token_embeddings(len(wide.tokenizer) + 40)
    wide.model.save_pretrained(str(tmp_path / "wide"))
    with pytest.raises(WeightsError, match="the model's"):
        server.served.load_weights(tmp_path / "wide", 2, sha256_of_folder(tmp_path / "wide"))
    with pytest.raises(RefusedError, match="cannot be read"):
        client(server).call("/load_weights", {"path": "x"})
    assert server.served.serving == was


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`...:FutureWarning")
def test_lora_weights_are_handed_over_added_in_and_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    loaded = load_policy(str(folder))
    model = loaded.language.model
    torch.manual_seed(5)
    add_lora(model, 2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" not in name:
                weight.div_(3.0)  # as it was before the fixture: saturated attention would blow rounding up
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    ids = torch.tensor([[5, 6, 7, 8]])
    kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        wanted = model(ids).logits
    save_policy(loaded.language, tmp_path / "merged")
    assert {name: weight.shape for name, weight in model.state_dict().items()} == {n: w.shape for n, w in kept.items()}
    assert all(torch.equal(weight, kept[name]) for name, weight in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(ids).logits, wanted)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / name, tmp_path / "merged" / name)
        merged = load_policy(str(tmp_path / "merged")).language.model(ids).logits
    assert (merged - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    served = Served(folder)
    served.load_weights(tmp_path / "merged", 1, sha256_of_folder(tmp_path / "merged"))


def test_characters_of_several_tokens_are_told_whole() -> None:
    made = make_tiny(["ab"], 0)
    text = "ab 漢字 🙂 é"
    growing = Growing(lambda ids: made.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    seen = []
    for token in made.tokenizer(text, add_special_tokens=False)["input_ids"]:
        growing.add(token)
        seen.append(growing.text)
    assert seen[-1] == text
    assert all(text.startswith(one) for one in seen)


def test_the_command_serves_with_a_key_and_ends_on_a_signal(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "serve-policy", str(folder), "--port", "0", "--key-env", "SECRET_OF_IT"]
    environment = {**os.environ, "SECRET_OF_IT": "k-123", "OMP_NUM_THREADS": "1"}
    with (
        (tmp_path / "log").open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        settings = EndpointSettings(json.loads(line)["address"] + "/v1", "tiny-policy", Dialect.COMPLETIONS)
        with pytest.raises(UnauthorisedError, match="wants its key"):
            Endpoint(settings).ask(Ask(prompt="2", max_tokens=2))
        assert Endpoint(settings, "k-123").ask(Ask(prompt="2", max_tokens=2, temperature=0.0)).choices
        listed = Endpoint(settings, "k-123").call("/v1/models")
        assert listed["data"][0]["id"] == "tiny-policy"
        with pytest.raises(EndpointError, match="404"):
            Endpoint(settings, "k-123").call("/nothing")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "k-123" not in (tmp_path / "log").read_text()
