"""What this machine has to run on: its processor, its GPUs, and how much of memory and disk is free."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

log = logging.getLogger(__name__)
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Device:
    """Something a run can stand on; `id` as in a spec ("cpu", "cuda:0"), memory in bytes."""

    id: str
    name: str
    memory_total: int
    memory_free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine now: devices, processor load in percent, cores, free bytes of the disk that holds the workspace."""

    devices: tuple[Device, ...]
    cpu_percent: float
    cores: int
    disk_free: int

    def device(self, id: str) -> Device | None:
        """The device of this name, None when the machine has none."""
        return next((each for each in self.devices if each.id == id), None)


def machine(folder: Path) -> Machine:
    """Look at the machine now; takes a few milliseconds, the first time with GPUs longer."""
    memory = psutil.virtual_memory()
    processor = Device(CPU, f"processor, {psutil.cpu_count()} cores", memory.total, memory.available)
    return Machine(
        (processor, *gpus()), float(psutil.cpu_percent()), psutil.cpu_count() or 1, shutil.disk_usage(folder).free
    )


def gpus() -> tuple[Device, ...]:
    """The GPUs that NVML knows, none when it knows nothing."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.debug("no GPU: %s", error)
        return ()
    try:
        return tuple(_gpu(number) for number in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        log.warning("the GPUs cannot be read: %s", error)
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(number: int) -> Device:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    name = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    text = name.decode() if isinstance(name, bytes) else str(name)
    return Device(f"cuda:{number}", text, int(memory.total), int(memory.free))
