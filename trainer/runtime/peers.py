"""The other processes of an attempt on this machine: when one dies, none waits for it for ever."""

from __future__ import annotations

from collections.abc import Mapping

import psutil


class Peers:
    """Processes of this machine by rank, this one's among them or not. Free of torch."""

    def __init__(self, pids: Mapping[int, int], count: int) -> None:
        """`count` are those of all machines together. Raises psutil.NoSuchProcess when one has died already."""
        self.count = count
        self._processes = {rank: psutil.Process(pid) for rank, pid in pids.items()}

    def has(self, rank: int) -> bool:
        """Whether the process of this rank is on this machine, so that its death can be seen."""
        return rank in self._processes

    def first_dead(self) -> int | None:
        """The lowest rank whose process is gone; None while all live."""
        return next((rank for rank, process in self._processes.items() if not _lives(process)), None)

    def name(self, rank: int) -> str:
        """A process for a person, counted from 1."""
        return f"process {rank + 1} of {self.count} (pid {self._processes[rank].pid})"

    def wait_for(self, rank: int) -> None:
        """Until the process of this rank is gone; at once when it is none of these."""
        if rank in self._processes:
            psutil.wait_procs([self._processes[rank]])


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
