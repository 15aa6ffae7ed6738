"""Which checkpoints are whole, by what their `state.json` says: the same for studio and worker. Torch-free."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trainer.contract.run_folder import sha256_of

STATE = "state.json"


class _Kept(msgspec.Struct, frozen=True):
    """The part of `state.json` that names the files beside it."""

    files: dict[str, str] = {}


def is_whole(path: Path) -> bool:
    """Whether every file of a checkpoint is there with the checksum it was written with."""
    try:
        files = msgspec.json.decode((path / STATE).read_bytes(), type=_Kept).files
        return bool(files) and all(sha256_of(path / name) == digest for name, digest in files.items())
    except (OSError, msgspec.MsgspecError):
        return False
