"""What an RL run keeps of its rollouts: one file an update in `rollouts/`, written whole or not at all. Torch-free.

Token values are packed arrays, never a line a token. The studio reads these files for the examples and for the what-if
view of credit; the worker writes them and, after a crash, overwrites those of an update it repeats.
Traces that a person pins are copied to `pins/`, one file a trace, which the worker never touches.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.contract.run_folder import RunFolderError, write_atomic

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
PINS = "pins"


class PackedTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One trace of a rollout.

    `prompt` and `tokens` [T] are little-endian int32, `logprobs`, `entropy` and `advantages` [T] float32, `forced` and
    `separators` [T] one byte a token (1 = a budget wrote it; it stands between steps). `reference_logprobs`, `values`
    and `returns` [T] are empty where the run has none, `server_logprobs` [T] where the trainer wrote the trace itself
    (`logprobs` are always the trainer's). `policy_version` are the optimiser steps that the policy had seen which
    wrote it. `step_ends[k]` is the token that ends step k, `step_spans[k]` the code points of step k in `text`,
    `scores[k]` the PRM's P(step k is correct), `scorer` that PRM's checksum (empty where
    it lies in no run folder, or the file is older). `correct` is the verifier's word, None when it could not decide,
    `outcome` what is paid for it (less what the length costs), `own` the user's reward. `starts` [T] are little-endian
    uint32: the code points of `text` at which tokens begin; empty in older files.
    """

    id: str
    row: str
    group: int
    problem: str
    reference: str | None
    prompt: bytes
    text: str
    answer: str | None
    tokens: bytes
    logprobs: bytes
    entropy: bytes
    forced: bytes
    advantages: bytes
    reference_logprobs: bytes = b""
    values: bytes = b""
    returns: bytes = b""
    server_logprobs: bytes = b""
    policy_version: int = 0
    step_ends: tuple[int, ...]
    step_spans: tuple[tuple[int, int], ...]
    separators: bytes
    scores: tuple[float, ...]
    scorer: str = ""
    correct: bool | None
    outcome: float | None
    reward: float
    own: float = 0.0
    parts: dict[str, float]
    thinking_tokens: int
    answer_tokens: int
    ended: str
    thinking_ended: str = ""
    budget: int | None = None
    starts: bytes = b""

    @property
    def length(self) -> int:
        """Tokens of the response."""
        return len(self.tokens) // 4


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A trace that a person keeps: a copy, so that neither pruning nor a repeated update takes it away."""

    update: int
    trace: PackedTrace


class RolloutBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The traces of one update, and the version of the policy that wrote them (the updates it had seen)."""

    update: int
    policy_version: int
    traces: tuple[PackedTrace, ...]


def pack_floats(values: NDArray[np.floating]) -> bytes:
    """An array [T] as little-endian float32."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def pack_ints(values: NDArray[np.integer]) -> bytes:
    """An array [T] as little-endian int32."""
    return np.ascontiguousarray(values, dtype="<i4").tobytes()


def floats(packed: bytes) -> Floats:
    """The array [T] of `pack_floats`."""
    return np.frombuffer(packed, dtype="<f4").astype(np.float32)


def ints(packed: bytes) -> Ints:
    """The array [T] of `pack_ints`."""
    return np.frombuffer(packed, dtype="<i4").astype(np.int32)


def path_of(folder: Path, update: int) -> Path:
    """The file of one update in a run folder."""
    return folder / "rollouts" / f"{update:08d}.msgpack"


def save(folder: Path, batch: RolloutBatch) -> Path:
    """Write the traces of one update into a run folder; returns the file."""
    path = path_of(folder, batch.update)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, msgspec.msgpack.encode(batch))
    return path


def load(path: Path) -> RolloutBatch:
    """The traces of one update. Raises RunFolderError."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=RolloutBatch)
    except FileNotFoundError:
        raise RunFolderError(f"{path} is missing; the update was pruned or not reached") from None
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{path}: {error}; resume the run from an earlier checkpoint") from None


def updates(folder: Path) -> tuple[int, ...]:
    """The updates whose rollouts a run folder holds, in order."""
    return tuple(sorted(int(path.stem) for path in (folder / "rollouts").glob("[0-9]*.msgpack")))


def pin(folder: Path, update: int, trace: PackedTrace) -> None:
    """Keep a trace of an update in `pins/`; one that is pinned already stays as it is."""
    path = _pin_path(folder, trace.id)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, msgspec.msgpack.encode(Pin(update=update, trace=trace)))


def unpin(folder: Path, id: str) -> Pin | None:
    """Let a pinned trace go; what was pinned, None where nothing was."""
    path = _pin_path(folder, id)
    if not path.exists():
        return None
    was = _read_pin(path)
    path.unlink()
    return was


def pins(folder: Path) -> tuple[Pin, ...]:
    """The pinned traces of a run folder, by update. Raises RunFolderError."""
    found = [_read_pin(path) for path in sorted((folder / PINS).glob("*.msgpack"))]
    return tuple(sorted(found, key=lambda one: one.update))


def pinned(folder: Path) -> frozenset[str]:
    """Ids of the pinned traces, without reading them."""
    return frozenset(path.stem for path in (folder / PINS).glob("*.msgpack"))


def _pin_path(folder: Path, id: str) -> Path:
    return folder / PINS / f"{id}.msgpack"


def _read_pin(path: Path) -> Pin:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Pin)
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{path}: {error}; remove the file and pin the trace again") from None


def prune(folder: Path, keep: int, newest: int) -> None:
    """Keep the last `keep` updates up to the `newest` one, 0 = all; those beyond it were made void by a resume."""
    known = updates(folder)
    kept = [update for update in known if update <= newest][-keep if keep else 0 :]
    for update in sorted({*known} - {*kept}):
        path_of(folder, update).unlink(missing_ok=True)
