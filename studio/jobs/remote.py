"""One run elsewhere: hand its folder over, start it, fetch what it writes, ask after it, pass on what it is asked.

What is known of it stands in `remote.json` of the run folder here, which never travels. Models and the worker's program
travel by checksum: what lies there already is not sent again.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

import trainer
from studio.errors import RunError
from studio.jobs import processes, templates
from studio.jobs.prepare import link
from studio.settings import LaunchTemplate
from trainer.contract import events, launch
from trainer.contract.launch import Launch
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import Control, RunFolder, RunFolderError, last_event, write_atomic

FILE = "remote.json"
ANSWER_SECONDS = 60.0  # a machine that takes longer to answer a question is not reached
COPY_SECONDS = 12 * 3600.0
OLD_SECONDS = 2 * 86_400.0  # a copy of the program that nobody has made anew since may go
STAYS = {FILE, "process.json", "control", "alive", "worker.log", ".lock"}
"""Files of a run folder that belong to one side."""
PRUNED = ("checkpoints", "rollouts")
"""Folders of a run folder of which a worker keeps the newest alone."""
NEVER = "NEVER-BEGUN"

Stop = Callable[[], bool]
Told = Callable[[str], None]


class Phase(StrEnum):
    """How far a run elsewhere is, as the studio's side knows."""

    SENDING = "sending"
    STARTED = "started"
    FETCHED = "fetched"  # it has ended, and all that it made is here


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """remote.json: where an attempt runs and what was last heard of it. Times are of the clock here, in Unix seconds.

    `sender` names the process that hands it over; `state` is the scheduler's word; `beat` is the mtime of `alive`.
    """

    host: str
    attempt: int
    phase: Phase = Phase.SENDING
    run_dir: str = ""
    job: str = ""
    sender: str = ""
    doing: str = ""
    state: str = ""
    state_at: float = 0.0
    heard_at: float = 0.0
    fetched_at: float = 0.0
    beat: float = 0.0
    problem: str = ""


def read(folder: Path) -> Remote | None:
    """What is known of a run elsewhere; None for one that never was. Raises RunFolderError."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Remote)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise RunFolderError(f"{folder / FILE}: {error}; delete it if the run has ended there") from None


def write(folder: Path, remote: Remote) -> None:
    """Keep what is known."""
    write_atomic(folder / FILE, msgspec.json.format(msgspec.json.encode(remote), indent=1))


def may_write(remote: Remote) -> str:
    """Why a worker elsewhere may still write its folder; empty when none can."""
    if remote.phase is Phase.FETCHED:
        return ""
    if remote.phase is Phase.SENDING:
        gone = processes.surely_dead(remote.sender)
        return "" if gone else f"it is being handed over to {remote.host}"
    said = f"the scheduler there says {remote.state}" if remote.state else "nobody there has said that it ended"
    heard = f"last heard of {time.time() - remote.heard_at:.0f} s ago" if remote.heard_at else "never heard of"
    return (
        f"its job {remote.job} on {remote.host} may still write ({heard}; {said}); fetch, cancel it, or make sure that "
        f"it has ended, delete {FILE} in the run folder, then resume"
    )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The commands of one run's template, filled in. Every method may take as long as a network does."""

    folder: RunFolder
    uid: str
    name: str
    template: LaunchTemplate
    how: Launch
    device: str
    cache: Path
    stopped: Stop

    def hand_over(self, tell: Told) -> str:
        """Copy what is not there yet; the run folder there. Raises RunError."""
        if not templates.copies(self.template):
            for path in (self.folder.path, Path(trainer.__file__ or "").parent.parent):
                need_plain(path)
            return str(self.folder.path)
        own, needs = _program(self.cache), {each.checksum: self.folder.path / each.path for each in self._models()}
        base, have = self._look(own.name, tuple(needs))
        run_dir = f"{base}/runs/{self.uid}"
        if own.name not in have:
            tell(f"copying the worker's program to {self._host}")
            self._send_whole(own, f"{base}/code/{own.name}")
        for checksum, path in needs.items():
            if checksum not in have:
                tell(f"copying the model {path.name}, {_size(path) / 1e6:,.0f} MB, to {self._host}")
                self._send_whole(path, f"{base}/models/{checksum}")
        tell(f"copying the run folder to {self._host}")
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="send-") as made:
            self._stage(Path(made))
            stale = " ".join(f"{run_dir}/{name}" for name in ("control", "process.json", "alive"))
            self._shell(f"mkdir -p {run_dir}/inputs {run_dir}/checkpoints && rm -f {stale}")
            self._send(Path(made), run_dir)
        for each in self._models():
            inner = "" if (self.folder.path / each.path).is_dir() else f"/{Path(each.path).name}"
            self._shell(link_command(f"{base}/models/{each.checksum}{inner}", f"{run_dir}/{each.path}"))
        return run_dir

    def start(self, run_dir: str) -> str:
        """Start the worker; the job's name as the template's last line says it. Raises RunError.

        An attempt starts once, and what it was answered is kept there: see `started`.
        """
        begun, answer = self._marks(run_dir)
        said = self._shell(
            f"mkdir {begun} || exit 1\n(\n{self._filled(self.template.start, run_dir)}\n) > {answer}.part\ncode=$?\n"
            f'[ "$code" -eq 0 ] || {{ rmdir {begun}; exit "$code"; }}\nmv {answer}.part {answer}\ncat {answer}'
        )
        return self._named(said)

    def started(self, run_dir: str) -> str | None:
        """The job of a start that was not answered; None when it never began, and now never will. Raises RunError."""
        begun, answer = self._marks(run_dir)
        said = self._shell(f"mkdir {begun} 2>/dev/null && echo {NEVER} && exit 0\ncat {answer}")
        return None if said.strip() == NEVER else self._named(said)

    def _marks(self, run_dir: str) -> tuple[str, str]:
        """What is there once this attempt's start has begun, and what it answered; neither travels."""
        return f"{run_dir}/.begun-{self.name}.tmp", f"{run_dir}/.job-{self.name}.tmp"

    def _named(self, said: str) -> str:
        lines = said.strip().splitlines()
        if not lines or not lines[-1].strip():
            raise RunError(f"start of the template {self.how.template!r} named no job; its last line must")
        return lines[-1].strip()

    def fetch(self, run_dir: str) -> None:
        """Bring what is new there into the run folder here, and let go of what was pruned there. Raises RunError."""
        if templates.copies(self.template):
            values = {"host": self.template.host, "run_dir": run_dir, "local_dir": str(self.folder.path)}
            self._command(templates.fill(self.template.fetch, values), "fetch", seconds=COPY_SECONDS)
            self._let_go(run_dir)

    def _let_go(self, run_dir: str) -> None:
        """Remove what the worker has pruned since; where it has nothing at all, everything stays here."""
        looks = "\n".join(
            f'(cd {run_dir}/{name} 2>/dev/null && for f in *; do [ -e "$f" ] && echo "{name}/$f"; done)'
            for name in PRUNED
        )
        there = set(self._shell(f"{looks}\ntrue").splitlines())
        for name in PRUNED:
            if not any(each.startswith(f"{name}/") for each in there):
                continue
            for path in (self.folder.path / name).glob("[!.]*"):
                if f"{name}/{path.name}" not in there:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def state(self, run_dir: str, job: str) -> str:
        """The scheduler's word. Raises RunError when it cannot be asked or does not know."""
        said = self._shell(self._filled(self.template.state, run_dir, job)).strip()
        if not said:
            raise RunError(f"state of the template {self.how.template!r} said nothing of job {job}")
        return said.splitlines()[-1].strip()

    def ask(self, run_dir: str, control: Control) -> None:
        """Pass on what the run is asked. Raises RunError."""
        if templates.copies(self.template):
            self._shell(
                f"printf %s {control.value} > {run_dir}/.control.tmp && mv {run_dir}/.control.tmp {run_dir}/control"
            )

    def stop(self, run_dir: str, job: str) -> None:
        """End the job at once. Raises RunError."""
        self._shell(self._filled(self.template.stop, run_dir, job))

    @property
    def _host(self) -> str:
        return self.template.host or self.how.template

    def _models(self) -> tuple[ModelRef, ...]:
        return self.folder.read_spec().models

    def _filled(self, text: str, run_dir: str, job: str = "") -> str:
        base = run_dir.rpartition("/runs/")[0]
        here = not templates.copies(self.template)
        code = str(Path(trainer.__file__ or "").parent.parent) if here else f"{base}/code/{_checksum_of_program()}"
        gpus = self.how.processes if self.device.startswith("cuda") else 0
        values = {
            "host": self.template.host,
            "python": self.template.python,
            "run_dir": run_dir,
            "code": code,
            "name": self.name,
            "job": job,
            "gpus": str(gpus),
            "processes": str(self.how.processes),
            "machines": str(self.how.machines),
            "worker": worker_command(self.how, self.template.python, code, run_dir),
        }
        return templates.fill(text, values)

    def _look(self, program: str, checksums: Sequence[str]) -> tuple[str, frozenset[str]]:
        """The folder there, whole, and which of what is needed lies in it."""
        asks = "\n".join(f"[ -d models/{c} ] && echo {c}" for c in checksums)
        base = self.template.folder
        said = self._shell(
            f"mkdir -p {base}/models {base}/code {base}/runs && cd {base} || exit 1\npwd\n"
            f"[ -d code/{program} ] && echo {program}\n{asks}\ntrue"
        ).splitlines()
        if not said or not said[0].startswith("/") or not templates.is_plain(said[0]):
            raise RunError(f"the folder {base!r} on {self._host} cannot be used: it answered {said[:1]}")
        return said[0], frozenset(said[1:])

    def _send_whole(self, source: Path, target: str) -> None:
        """A folder, or a file in a folder of its own, that is there whole or not at all; other runs may send it too."""
        aside = f"{target}.{self.uid}.part"
        self._shell(f"mkdir -p {aside}")
        if source.is_dir():
            self._send(source, aside)
        else:
            with tempfile.TemporaryDirectory(dir=self.cache, prefix="send-") as made:
                link(source, Path(made) / source.name)
                self._send(Path(made), aside)
        self._shell(f"mv -T {aside} {target} 2>/dev/null || {{ rm -rf {aside} && [ -d {target} ]; }}")

    def _send(self, source: Path, target: str) -> None:
        values = {"host": self.template.host, "source": str(source), "target": target}
        self._command(templates.fill(self.template.send, values), "send", seconds=COPY_SECONDS)

    def _stage(self, aside: Path) -> None:
        """What of the run folder travels with it, as links."""
        models = {each.path for each in self._models()}
        for file in sorted(self.folder.path.rglob("*")):
            name = file.relative_to(self.folder.path).as_posix()
            if file.is_file() and name not in STAYS and not any(f"{name}/".startswith(f"{m}/") for m in models):
                link(file, aside / name)

    def _shell(self, script: str) -> str:
        values = {"host": self.template.host}
        return self._command(templates.fill(self.template.shell, values), "shell", script=script)

    def _command(self, text: str, what: str, *, script: str = "", seconds: float = ANSWER_SECONDS) -> str:
        """Run a command here until it ends, the time is over or nobody waits; what it said."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
            given.write(script.encode() + b"\n")
            given.seek(0)
            child = subprocess.Popen(
                ["/bin/sh", "-c", text], stdin=given, stdout=out, stderr=errors, start_new_session=True, cwd=os.sep
            )
            code = self._wait(child, time.monotonic() + seconds)
            out.seek(0)
            errors.seek(0)
            said, wrong = out.read().decode("utf-8", "replace"), errors.read().decode("utf-8", "replace").strip()
        if code == 0:
            return said
        if code is None and self.stopped():
            raise RunError(f"{what} was broken off")
        why = "took too long" if code is None else f"left with {code}: {wrong[-400:] or 'no word'}"
        raise RunError(
            f"{what} of the launch template {self.how.template!r} {why}; try by hand: {text.splitlines()[0]}"
        )

    def _wait(self, child: subprocess.Popen[bytes], deadline: float) -> int | None:
        while time.monotonic() < deadline and not self.stopped():
            with suppress(subprocess.TimeoutExpired):
                return child.wait(0.2)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, 15)
        child.wait()
        return None


def need_plain(path: Path) -> None:
    """Refuse a path that a shell would take apart, where the worker's command names it as it is. Raises RunError."""
    if not templates.is_plain(str(path)):
        raise RunError(
            f"{path} cannot stand in the command of a scheduler, which takes it apart; where nothing is copied, the "
            "workspace and the program need a path of letters, digits and ._/+- alone: move them, or choose a "
            "template that copies"
        )


def link_command(there: str, as_path: str) -> str:
    """The shell's command that puts a model where the spec names it; a model file's ending may be anything."""
    return f"ln -sfn {shlex.quote(there)} {shlex.quote(as_path)}"


def worker_command(how: Launch, python: str, code: str, run_dir: str) -> str:
    """The worker's whole command for a shell; MACHINE_RANK, MAIN_IP and MAIN_PORT of the template join machines."""
    words = ["env", f"PYTHONPATH={code}", "PYTHONUNBUFFERED=1", python, *launch.modules(how, run_dir)]
    text = " ".join(words)
    if how.machines == 1:
        return text
    joined = "--machine_rank ${MACHINE_RANK:-0} --main_process_ip ${MAIN_IP:-127.0.0.1} "
    joined += f"--main_process_port ${{MAIN_PORT:-{launch.PORT}}}"
    return text.replace(" -m trainer ", f" {joined} -m trainer ", 1)


def has_last_word(folder: RunFolder, attempt: int) -> bool:
    """Whether this attempt's `ended` is here."""
    last = last_event(folder.events)
    return isinstance(last, events.Ended) and last.attempt >= attempt


def _checksum_of_program() -> str:
    digest = hashlib.sha256()
    for file in _program_files():
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _program_files() -> list[Path]:
    package = Path(trainer.__file__ or "").parent
    return sorted(file for file in package.rglob("*") if "__pycache__" not in file.parts and file.is_file())


def _program(cache: Path) -> Path:
    """The worker's program as it is now, in a folder named by its checksum. Several runs may ask at once."""
    made = cache / "program" / _checksum_of_program()
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    for old in made.parent.iterdir():
        if time.time() - old.stat().st_mtime > OLD_SECONDS:  # nobody sends it any more
            shutil.rmtree(old, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=".", dir=made.parent))
    package = Path(trainer.__file__ or "").parent
    for file in _program_files():
        target = aside / package.name / file.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)  # no link: a checkout may be edited later
    aside.chmod(0o755)
    try:
        aside.rename(made)
    except OSError:
        shutil.rmtree(aside)
        if not made.is_dir():  # else another run was faster
            raise
    return made


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
