"""Start a worker: a detached process on a run folder, which no window takes along when it goes."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

import trainer
from studio import secrets
from studio.errors import KeyringError, RunError
from studio.jobs import processes
from studio.jobs.states import why_not_write
from studio.store import holds, runs
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import keys
from trainer.contract.launch import kept, modules
from trainer.contract.run_folder import Process, RunFolder, boot_id, host_name, last_attempt

log = logging.getLogger(__name__)
HOLD_SECONDS = 30.0
NICENESS = 5
"""A worker on the processor steps back for the window; on another device it is fed at full speed."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A worker that this process started and has to collect, so that it leaves no zombie."""

    run_id: int
    attempt: int
    pid: int


def launch(workspace: Workspace, run: StoredRun, interpreter: str) -> Launched | None:
    """Start a queued run when its device is free; None when another studio was faster or the device is busy.

    Raises RunError when another writer may live in its folder, or the worker cannot be started.
    """
    name, me = f"launch:{run.device}@{run.host}", processes.identity()
    taken = workspace.database.run(lambda c: holds.take(c, name, me, seconds=HOLD_SECONDS, gone=processes.surely_dead))
    if not taken:
        return None
    try:
        return _launch_alone(workspace, run, interpreter)
    finally:
        workspace.database.run(lambda c: holds.release(c, name, me))


def claim_elsewhere(workspace: Workspace, run: StoredRun) -> int | None:
    """Take a run that a launch template starts: the number of its attempt; None when another studio was faster.

    Raises RunError when another writer may live in its folder.
    """
    folder = RunFolder(workspace.path / run.folder)
    why_not = why_not_write(folder)
    if why_not:
        raise RunError(f"run {run.name!r} cannot be started: {why_not}")
    if workspace.database.run(lambda c: runs.claim(c, run.id, before=lambda: _announce(folder))) is None:
        return None
    announced = folder.read_process()
    return 1 if announced is None else announced.attempt


def _launch_alone(workspace: Workspace, run: StoredRun, interpreter: str) -> Launched | None:
    folder = RunFolder(workspace.path / run.folder)
    why_not = why_not_write(folder)
    if why_not:
        raise RunError(f"run {run.name!r} cannot be started: {why_not}")
    attempt = workspace.database.run(lambda c: runs.claim(c, run.id, before=lambda: _announce(folder)))
    if attempt is None:
        return None
    try:
        child = start_worker(folder, interpreter, _path_of_trainer(workspace, interpreter), keys_for(folder))
        child.returncode = 0  # it outlives this object, which is told so; `reap` collects it by its number
        _name(folder, child.pid)
    except (OSError, psutil.Error) as error:
        message = f"{interpreter} could not be started: {error}; choose another interpreter in the preferences"
        workspace.database.run(lambda c: runs.settle(c, run.id, attempt, StoredState.FAILED, message=message))
        raise RunError(f"run {run.name!r}: {message}") from error
    if run.device == "cpu":
        _step_back(child.pid)
    return Launched(run.id, attempt, child.pid)


def keys_for(folder: RunFolder) -> dict[str, str]:
    """The keys that the run names and the keyring has; the worker looks for others in its environment."""
    found: dict[str, str] = {}
    for name in keys.names_in(folder.read_spec().parameters):
        try:
            key = secrets.get(name)
        except KeyringError as error:
            log.warning("%s", error)
            continue
        if key:
            found[name] = key
    return found


def start_worker(
    folder: RunFolder, interpreter: str, path: Path, handed: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """`INTERPRETER -m trainer RUN_DIR` in a session of its own, keys handed over on its stdin. Raises OSError."""
    environment = {name: value for name, value in os.environ.items() if name != keys.FROM_STDIN}
    if handed:
        environment[keys.FROM_STDIN] = "stdin"
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), environment.get("PYTHONPATH"))))
    environment["PYTHONUNBUFFERED"] = "1"
    with folder.log.open("ab") as out:
        child = subprocess.Popen(
            [interpreter, *modules(kept(folder.path), str(folder.path))],
            stdin=subprocess.PIPE if handed else subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder.path,
            env=environment,
        )
    if handed:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as stdin:  # one that has died already is seen elsewhere
            stdin.write(keys.pack(handed))
    return child


def _announce(folder: RunFolder) -> None:
    """Before the table says started: what was asked is forgotten, and an older last word no longer counts."""
    folder.clear_control()
    attempt = last_attempt(folder.events) + 1
    folder.write_process(Process(host=host_name(), boot=boot_id(), pid=0, created=time.time(), attempt=attempt))


def _name(folder: RunFolder, pid: int) -> None:
    """Name the process; the worker writes the same of itself."""
    announced = folder.read_process()
    if announced is not None and announced.pid == 0:
        created = psutil.Process(pid).create_time()
        folder.write_process(
            Process(host=host_name(), boot=boot_id(), pid=pid, created=created, attempt=announced.attempt)
        )


def _step_back(pid: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    except (ProcessLookupError, PermissionError) as error:
        log.info("worker %d keeps its priority: %s", pid, error)


def _path_of_trainer(workspace: Workspace, interpreter: str) -> Path:
    """A folder to import `trainer` from that brings no other package of ours into a foreign interpreter."""
    package = Path(trainer.__file__ or "").parent
    installed = Path(sysconfig.get_paths()["purelib"])
    if package.parent != installed or Path(interpreter) == Path(sys.executable):
        return package.parent
    folder = workspace.cache / "worker"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "trainer"
    if not link.is_symlink() or link.readlink() != package:
        aside = folder / f".trainer.{os.getpid()}"
        aside.unlink(missing_ok=True)
        aside.symlink_to(package)
        aside.replace(link)
    return folder


def reap(launched: list[Launched]) -> list[Launched]:
    """Collect the workers that have ended; those that live are returned."""
    return [each for each in launched if not _collected(each)]


def _collected(launched: Launched) -> bool:
    try:
        pid, status = os.waitpid(launched.pid, os.WNOHANG)
    except ChildProcessError:
        return True
    if pid:
        log.info("worker %d of run %d left with %d", pid, launched.run_id, os.waitstatus_to_exitcode(status))
    return bool(pid)
