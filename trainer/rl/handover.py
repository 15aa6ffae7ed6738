"""Weights on their way to a server: a plain Hugging Face folder, written aside, with its checksum.

A server that did not say that it serves exactly these weights writes no rollouts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from trainer.contract.run_folder import sha256_of_folder
from trainer.models.endpoint import Endpoint, EndpointError
from trainer.models.language import Language
from trainer.models.served import Serving
from trainer.runtime.worker import RunFailed

Check = Callable[[], None]


class WeightProtocol(Protocol):
    """How one kind of server takes weights."""

    def load(self, folder: Path, wanted: Serving, check: Check) -> list[Serving]:
        """Hand over; what each part of the server says it serves now. Raises EndpointError."""
        ...

    def serving(self, check: Check) -> list[Serving] | None:
        """What it serves now; None where every answer says so itself. Raises EndpointError."""
        ...


class SteplensProtocol:
    """POST /load_weights; every answer carries the fingerprint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def load(self, folder: Path, wanted: Serving, check: Check) -> list[Serving]:
        """One server, one word."""
        body = {"path": str(folder), "version": wanted.version, "checksum": wanted.checksum}
        return [_serving(self._endpoint.call("/load_weights", body, insist=True, check=check))]

    def serving(self, check: Check) -> None:
        """The answers say it."""


class VllmProtocol:
    """vLLM's development endpoints: /collective_rpc on our worker extension, and /reset_prefix_cache.

    Needs `VLLM_SERVER_DEV_MODE=1` and `--worker-extension-cls steplens_vllm.Steplens` (docs/examples/steplens_vllm.py).
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def load(self, folder: Path, wanted: Serving, check: Check) -> list[Serving]:
        """Every worker process of the server says what it has read; what it remembers of prompts is forgotten."""
        said = self._workers("steplens_load", [str(folder), str(wanted.version), wanted.checksum], check)
        self._endpoint.call("/reset_prefix_cache", {}, insist=True, check=check)
        return said

    def serving(self, check: Check) -> list[Serving]:
        """What every worker process serves."""
        return self._workers("steplens_serving", [], check)

    def _workers(self, method: str, given: list[str], check: Check) -> list[Serving]:
        answer = self._endpoint.call("/collective_rpc", {"method": method, "args": given}, insist=True, check=check)
        results = answer.get("results") if isinstance(answer, dict) else None
        return [_serving(one) for one in results] if isinstance(results, list) else []


def _serving(said: Any) -> Serving:  # noqa: ANN401 - whatever a server says
    """A server's word; version -1 where it says none."""
    given = said if isinstance(said, dict) else {}
    version, checksum = given.get("version"), given.get("checksum")
    return Serving(version if isinstance(version, int) else -1, checksum if isinstance(checksum, str) else "")


class Handover:
    """Saves the policy's weights and has them confirmed."""

    def __init__(self, language: Language, save_tokenizer: Callable[[Path], None], folder: Path, url: str) -> None:
        self._language, self._save_tokenizer, self._folder, self._url = language, save_tokenizer, folder, url

    def give(self, protocol: WeightProtocol, version: int, check: Check) -> Serving:
        """The weights of now, as `version`, confirmed by every part of the server. Raises RunFailed."""
        folder = self._save(version)
        wanted = Serving(version, sha256_of_folder(folder))
        try:
            said = protocol.load(folder, wanted, check)
        except EndpointError as error:
            raise RunFailed(f"the server did not take the new weights: {error}") from error
        need_confirmed(self._url, wanted, said)
        shutil.rmtree(folder)
        return wanted

    def _save(self, version: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.iterdir():  # of an attempt that was killed, or of a server that did not confirm
            shutil.rmtree(left)
        aside = self._folder / f".{version}.{os.getpid()}.tmp"
        aside.mkdir()
        save_policy(self._language, aside)
        self._save_tokenizer(aside)
        return aside.rename(self._folder / f"{version:08d}")


def need_confirmed(url: str, wanted: Serving, said: list[Serving]) -> None:
    """Refuse a server that does not say it serves the wanted weights. Raises RunFailed."""
    wrong = [one for one in said if one != wanted]
    if said and not wrong:
        return
    if not said or all(one.version < 0 and not one.checksum for one in wrong):
        heard = "it does not say which weights it serves"
    else:
        heard = f"it says it serves version {wrong[0].version} ({wrong[0].checksum[:12] or 'no checksum'})"
    raise RunFailed(
        f"{url} did not confirm the new weights: it was handed version {wanted.version} ({wanted.checksum[:12]}) and "
        f"{heard}. Rollouts of other weights would teach wrongly, so it is not used: restart it, see "
        "docs/endpoints.md, or set `generation` to own, then resume"
    )


def save_policy(language: Language, folder: Path) -> None:
    """A plain Hugging Face folder of the weights of now; LoRA matrices are added in, and stay as they are."""
    model = language.model
    if not hasattr(language.body, "merge_and_unload"):
        model.save_pretrained(str(folder))
        return
    body = language.body
    try:
        setattr(model, model.base_model_prefix, body.get_base_model())
        model.save_pretrained(str(folder), state_dict=merged_state(model))
    finally:
        setattr(model, model.base_model_prefix, body)


def merged_state(model: Any) -> dict[str, Tensor]:  # noqa: ANN401 - any HF model with LoRA layers
    """The weights under their plain names, each with its LoRA product added; the model is not touched."""
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        head, layer, tail = name.partition(".base_layer.")
        if layer and tail == "weight":
            value = value + model.get_submodule(head).get_delta_weight("default").to(value.dtype)
        state[f"{head}.{tail}" if layer else name] = value.detach()
    return state
