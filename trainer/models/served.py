"""A policy as a server holds it: it writes for requests, one at a time, and takes new weights of the same shape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainer.contract.run_folder import sha256_of_folder
from trainer.models.generate import Decoder
from trainer.models.language import SETTINGS_KEY
from trainer.models.policies import load_policy
from trainer.models.response_tokens import ResponseTokens
from trainer.models.sampling import Delta, Generated, Sampling
from trainer.reasoning.thinking import OPEN

Check = Callable[[], None]
Likeliest = list[tuple[str, float]]  # tokens that could have stood at one place, with their log-probs, likeliest first


class WeightsError(ValueError):
    """Weights that are not what was announced, or do not fit; the message says which and why."""


class Serving(msgspec.Struct, frozen=True):
    """Which weights are served: the version they were handed over as, and the checksum of the folder they came from."""

    version: int
    checksum: str

    @property
    def fingerprint(self) -> str:
        """What every answer carries as `system_fingerprint`."""
        return f"steplens-{self.version}-{self.checksum[:12]}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat as ids; `begun` says that the template has opened the thinking already."""

    ids: tuple[int, ...]
    begun: bool


class Served:
    """A loaded policy. `version` 0 is what it began with."""

    def __init__(self, source: Path, *, device: str = "cpu") -> None:
        """Raises ModelError."""
        loaded = load_policy(str(source))
        self.name = source.name
        self.tokenizer = loaded.tokenizer
        self.tokens = ResponseTokens(loaded.tokenizer)
        self._model = loaded.language.model.to(device).eval()
        self._prompts = loaded.prompts
        self._taught = SETTINGS_KEY in _config_of(source)
        self._decoder = Decoder(self._model, loaded.tokenizer, frozen=True)
        self.stop_ids = frozenset(self._decoder.stop_ids)
        self.serving = Serving(0, sha256_of_folder(source) if source.is_dir() else "")
        self._turn = threading.Lock()

    @property
    def context(self) -> int | None:
        """The longest row in tokens; None where the model names none."""
        return self._decoder.context

    # -- prompts ------------------------------------------------------------------------------------------------------

    def ids_of(self, text: str) -> tuple[int, ...]:
        """A prompt that is given as text, begun as the tokenizer begins every text."""
        return tuple(self.tokenizer(text, return_attention_mask=False)["input_ids"])

    def chat_ids(self, turns: Sequence[Mapping[str, str]], budget: int | None) -> Asked:
        """A chat. A policy that was taught here gets one problem as it was taught, others their chat template.

        Raises ValueError, PromptError.
        """
        alone = len(turns) == 1 and turns[0]["role"] == "user"
        if alone and (self._taught or not self.tokenizer.chat_template):
            text = self._prompts.text_of(turns[0]["content"], budget)
            ids = self._prompts.ids_of(turns[0]["content"], budget)
        elif not self.tokenizer.chat_template:
            raise ValueError("this policy has no chat template: send one user message, or use /v1/completions")
        else:
            text = self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
            ids = self.tokenizer(text, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return Asked(tuple(ids), text.rstrip().endswith(OPEN))

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        n: int,
        seeds: Sequence[int],
        check: Check,
        on_tokens: Callable[[Sequence[Delta]], None] | None = None,
        alternatives: int = 0,
    ) -> tuple[Serving, list[list[Generated]], list[list[list[Likeliest]]]]:
        """`n` traces of every prompt, the weights that wrote them, and the likeliest tokens at every place.

        Waits for its turn; `check` is asked meanwhile. Raises PromptError, ValueError.
        """
        while not self._turn.acquire(timeout=0.05):
            check()
        try:
            made = self._decoder.generate(prompts, sampling, n=n, seeds=seeds, check=check, on_tokens=on_tokens)
            others = [
                [self._likeliest(prompt, one, alternatives, sampling.temperature) for one in of_prompt]
                for prompt, of_prompt in zip(prompts, made, strict=True)
            ]
            return self.serving, made, others
        finally:
            self._turn.release()

    @torch.inference_mode()
    def _likeliest(self, prompt: Sequence[int], one: Generated, count: int, temperature: float) -> list[Likeliest]:
        """The `count` likeliest tokens with their log-probs before every token written; nothing for 0."""
        if not count or not len(one.ids):
            return []
        ids = torch.as_tensor([*prompt, *one.ids.tolist()], device=self._decoder.device)
        logits = self._model(ids[None], use_cache=False).logits[0, len(prompt) - 1 : -1, : self._decoder.vocabulary]
        best = (logits.float() / (temperature or 1.0)).log_softmax(-1).topk(count)
        return [
            [(self.piece(token), value) for token, value in zip(tokens, values, strict=True)]
            for tokens, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def piece(self, token: int) -> str:
        """A token's own text."""
        return str(self.tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))

    # -- weights ------------------------------------------------------------------------------------------------------

    def load_weights(self, folder: Path, version: int, checksum: str) -> Serving:
        """Serve the weights of a Hugging Face folder from now on; what is served then, by its own reading.

        Nothing changes when they are not those announced or do not fit. Raises WeightsError.
        """
        if not folder.is_dir():
            raise WeightsError(f"{folder} is no folder that this server can read; both machines must see it")
        with self._turn:
            found = sha256_of_folder(folder)
            if found != checksum:
                raise WeightsError(f"{folder} has the checksum {found[:12]}, not {checksum[:12]}; hand it over again")
            take_weights(self._model, folder)
            self._decoder.refresh()
            self.serving = Serving(version, found)
            return self.serving


def take_weights(model: nn.Module, folder: Path) -> None:
    """Copy the weights of `folder`'s safetensors into a model of the same shape. Raises WeightsError."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} has no *.safetensors; save the model with safetensors")
    given: dict[str, Tensor] = {name: value for file in files for name, value in load_file(str(file)).items()}
    own = model.state_dict(keep_vars=True)
    strange = sorted(given.keys() - own.keys())
    if strange:
        raise WeightsError(f"{folder} has weights that the model has not: {', '.join(strange[:3])}")
    wrong = next((name for name, value in given.items() if value.shape != own[name].shape), None)
    if wrong is not None:
        raise WeightsError(f"{folder}: {wrong} is {tuple(given[wrong].shape)}, the model's {tuple(own[wrong].shape)}")
    tied = {own[name].data_ptr() for name in given}
    missing = sorted(name for name in own.keys() - given.keys() if own[name].data_ptr() not in tied)
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing[:3])} ({len(missing)} weights in all)")
    with torch.no_grad():
        for name, value in given.items():
            own[name].copy_(value)


def _config_of(source: Path) -> dict[str, object]:
    file = source / "config.json"
    found: dict[str, object] = msgspec.json.decode(file.read_bytes()) if file.is_file() else {}
    return found


def drawn_seeds(count: int, seed: int | None) -> list[int]:
    """A seed a trace, all from one; fresh ones for None."""
    drawn: list[int] = np.random.SeedSequence(seed).generate_state(count, np.uint32).tolist()
    return drawn
