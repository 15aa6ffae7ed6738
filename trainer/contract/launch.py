"""How a run is launched: where, in how many processes, and how they share the model. Not part of the job itself.

`launch.json` in the run folder keeps it, `accelerate.json` says the same to `accelerate launch`; both lie in the run
folder alone, so that no other run and no configuration of the user's is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from trainer.contract.run_folder import RunFolderError, write_atomic
from trainer.contract.specs.setting import Precision, SpecError

FILE = "launch.json"
CONFIG = "accelerate.json"
PORT = 29500  # where the processes of several machines meet, unless the template says otherwise
IN_SEVERAL = ("sft", "prm", "orm", "rl")
"""Recipes whose processes share a batch, and whose model can be spread over them."""


class Share(StrEnum):
    """What each process holds of the model."""

    WHOLE = "DDP"
    SPREAD = "FSDP"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Where and in how many processes; `template` names a launch template of the settings, empty = on this machine.

    `processes` are those of each machine; `host` is the machine that the template speaks to, empty = the template's.
    """

    template: str = ""
    host: str = ""
    processes: int = 1
    machines: int = 1
    share: Share = Share.WHOLE

    @property
    def total(self) -> int:
        """Processes on all machines together."""
        return self.processes * self.machines

    @property
    def is_elsewhere(self) -> bool:
        """Whether a template starts it."""
        return bool(self.template)


def objections(recipe: str, launch: Launch) -> tuple[str, ...]:
    """Why a recipe cannot run so, each with what to do; empty when it can."""
    found = []
    if launch.processes < 1 or launch.machines < 1:
        found.append("a run needs at least one process on one machine")
    if launch.machines > 1 and not launch.is_elsewhere:
        found.append("several machines need a launch template that starts on each, such as slurm; choose one")
    if launch.total > 1 and recipe not in IN_SEVERAL:
        found.append(f"{recipe} runs in one process; set processes and machines to 1")
    return tuple(found)


def accelerate_config(launch: Launch, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The document for `accelerate launch --config_file`. Gloo on processors and NCCL on GPUs start the same way."""
    spread = launch.share is Share.SPREAD
    document: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP" if spread else "MULTI_GPU",
        "num_processes": launch.total,
        "num_machines": launch.machines,
        "machine_rank": 0,
        "main_process_port": 0 if launch.machines == 1 else PORT,  # 0: any free one
        "mixed_precision": "bf16" if parameters.get("precision") == Precision.BF16 else "no",
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
    }
    return document | ({"fsdp_config": {"fsdp_version": 2}} if spread else {})


def keep(folder: Path, launch: Launch, parameters: Mapping[str, Any]) -> None:
    """Write how a run is launched into its folder."""
    write_atomic(folder / FILE, msgspec.json.format(msgspec.json.encode(launch), indent=1))
    if launch.total > 1:
        config = accelerate_config(launch, parameters)
        write_atomic(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config), indent=1))


def kept(folder: Path) -> Launch:
    """How the run in a folder is launched; here and in one process where nothing is said. Raises RunFolderError."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Launch)
    except FileNotFoundError:
        return Launch()
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{folder / FILE}: {error}; create the run again") from None


def modules(launch: Launch, run_dir: str) -> list[str]:
    """What follows the interpreter to start the worker of `run_dir`: `-m trainer`, or `-m accelerate...` around it."""
    if launch.total == 1:
        return ["-m", "trainer", run_dir]
    return ["-m", "accelerate.commands.launch", "--config_file", f"{run_dir}/{CONFIG}", "-m", "trainer", run_dir]


def parse(given: Mapping[str, str]) -> Launch:
    """A launch from strings of a command line. Raises SpecError."""
    try:
        return msgspec.convert(dict(given), Launch, strict=False)
    except msgspec.ValidationError as error:
        raise SpecError(f"{error}; share is one of {', '.join(Share)}") from None
