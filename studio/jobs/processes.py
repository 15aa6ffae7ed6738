"""Which process is which, and whether it still lives: pid, creation time, boot and host together name one."""

from __future__ import annotations

import os
import signal

import psutil

from studio.store import batches
from trainer.contract.run_folder import Process, boot_id, host_name

CLOCK_SLACK = 2.0
"""Seconds by which two readings of one creation time may differ: the clock moves the boot time it is derived from."""


def identity() -> str:
    """This process as "host:boot:pid:created", for holds."""
    return f"{host_name()}:{batches.this_process()}"


def surely_dead(name: str) -> bool:
    """Whether the process of this identity cannot live any more; False when it belongs to another host."""
    host, _, process = name.partition(":")
    return host == host_name() and not batches.lives(process)


def is_here(process: Process) -> bool:
    """Whether it was started on this host since its last boot, so that the process table tells the truth about it."""
    return process.host == host_name() and process.boot == boot_id()


def lives(process: Process) -> bool:
    """Whether a process of this host and boot still runs; a zombie does not."""
    if not is_here(process) or process.pid <= 0:
        return False
    try:
        found = psutil.Process(process.pid)
        same = bool(abs(found.create_time() - process.created) <= CLOCK_SLACK)
        return same and bool(found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(process: Process) -> bool:
    """Kill it, if it is this very process; whether there was one to kill."""
    if not lives(process):
        return False
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
