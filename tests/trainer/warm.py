"""Workers forked off a process that has loaded the libraries already: each costs seconds of processor time less.

Each is a process of its own that can be killed, but shares what was loaded, with it the seed of hashes: a proof that an
attempt in another process goes on the same takes a newly started one (`runs.start`) for at least one attempt.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from trainer.contract.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 1 << 18  # bytes of a request, which holds the environment


class WarmWorker:
    """A worker by its pid, as a `Popen` that cannot be read or written."""

    def __init__(self, attendant: socket.socket) -> None:
        self._attendant = attendant
        self.returncode: int | None = None
        said = attendant.recv(64)
        assert said, "the process that has the libraries loaded is gone"
        self.pid = int(said)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float = 240) -> int:
        """Wait for the exit code. Raises TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._attendant], [], [], seconds)[0]:
            self.returncode = int(self._attendant.recv(64))
            self._attendant.close()
        return self.returncode


@functools.cache
def _loaded() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tests.trainer.warm", str(its.fileno())]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    its.close()

    def end() -> None:
        mine.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # a failed test left a worker that goes on
            process.kill()
            process.wait()

    atexit.register(end)
    return mine


def start_warm(folder: RunFolder, *blow: object) -> WarmWorker:
    """A worker on the folder, its output in worker.log; with a blow of struck_worker.py it strikes itself."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    asked = {"run": str(folder.path), "blow": [str(one) for one in blow], "environment": {**os.environ, **given}}
    socket.send_fds(_loaded(), [json.dumps(asked).encode()], [its.fileno()])
    its.close()
    return WarmWorker(mine)


def finish_warm(folder: RunFolder, *blow: object, timeout: float = 240) -> int:
    """Run an attempt to its end; returns the exit code."""
    worker = start_warm(folder, *blow)
    try:
        return worker.wait(timeout)
    finally:
        worker.kill()


def serve(control: socket.socket) -> None:
    """Fork a worker for every request, until the other end is closed."""
    attendants = 0
    while True:
        said, files, _, _ = socket.recv_fds(control, LONGEST, 1)
        while attendants and os.waitpid(-1, os.WNOHANG if said else 0)[0]:
            attendants -= 1
        if not said:
            return
        with socket.socket(fileno=files[0]) as caller:
            if os.fork() == 0:
                control.close()
                attend(caller, json.loads(said))
                os._exit(0)
        attendants += 1


def attend(caller: socket.socket, asked: dict[str, Any]) -> None:
    """Fork the worker, and tell its pid and at last its exit code."""
    pid = os.fork()
    if pid == 0:
        caller.close()
        code = 1
        try:
            code = work(asked)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    caller.send(str(pid).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    caller.send(str(code).encode())


def work(asked: dict[str, Any]) -> int:
    """The worker: as `python -m trainer RUN_DIR`, with what a new process would have of its own."""
    import numpy as np
    import torch

    from tests.proofs.struck_worker import strike
    from trainer.__main__ import main, set_environment

    os.environ.clear()
    os.environ.update(asked["environment"])
    folder = RunFolder(Path(asked["run"]))
    with folder.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    random.seed()
    np.random.seed()
    set_environment(folder.read_spec())
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if asked["blow"]:
        blow, at = asked["blow"]
        strike(folder, blow, int(at))
    return main([asked["run"]])


if __name__ == "__main__":
    from tests.proofs import struck_worker  # noqa: F401 - loaded once, for all
    from trainer.recipes import orm, prm, rl, score, sft  # noqa: F401

    with socket.socket(fileno=int(sys.argv[1])) as served:
        serve(served)
