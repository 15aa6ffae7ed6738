"""A worker extension for vLLM: takes weights from a folder and says which ones it serves, so that rl may trust it.

    VLLM_SERVER_DEV_MODE=1 PYTHONPATH=docs/examples vllm serve MODEL --worker-extension-cls steplens_vllm.Steplens

vLLM mixes the class into each of its workers and calls it through POST /collective_rpc. It needs nothing of Steplens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open


class Steplens:
    """What every vLLM worker can do more; `self.model_runner` is the worker's own."""

    model_runner: Any

    def steplens_load(self, path: str, version: str, checksum: str) -> dict[str, Any]:
        """Read the folder's weights into the running model; what is served then. Raises ValueError."""
        found = checksum_of(Path(path))
        if found != checksum:
            raise ValueError(f"{path} has the checksum {found[:12]}, not {checksum[:12]}")
        self._steplens: dict[str, Any] = {}  # while some weights are new and some are old, nothing is promised
        self.model_runner.model.load_weights(weights_of(Path(path)))
        self._steplens = {"version": int(version), "checksum": found}
        return self._steplens

    def steplens_serving(self) -> dict[str, Any]:
        """What is served now; nothing before the first hand-over."""
        return getattr(self, "_steplens", {})


def weights_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Name and tensor of every weight in a Hugging Face folder."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                yield name, opened.get_tensor(name)


def checksum_of(folder: Path) -> str:
    """One sha256 over a model folder as Steplens takes it: relative names and contents in order, without the card."""
    whole = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "MODEL_CARD.md"):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{file.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()
