"""The training packages: whether an interpreter has them, and installing them as a job with a log and Cancel."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

import studio
from studio.errors import RunError

ROOT = Path(studio.__file__ or "").parent.parent
NEEDED = ("torch", "transformers", "accelerate", "safetensors", "peft", "sklearn", "gguf", "numpy", "msgspec", "psutil")
CHECK_SECONDS = 60
_ASK = """
import importlib.util, json, sys
names = sys.argv[1].split(",")
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3],
                  "missing": [name for name in names if importlib.util.find_spec(name) is None]}))
"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an interpreter has; `problem` says why it cannot run at all."""

    interpreter: str
    version: str = ""
    missing: tuple[str, ...] = ()
    problem: str = ""

    @property
    def ready(self) -> bool:
        """Whether a worker can start with it."""
        return not self.problem and not self.missing


def check(interpreter: str | None = None) -> Runtime:
    """Ask an interpreter what it could import, without importing it. Up to a second; a background thread's work."""
    program = interpreter or sys.executable
    try:
        done = subprocess.run(
            [program, "-c", _ASK, ",".join(NEEDED)],
            capture_output=True,
            timeout=CHECK_SECONDS,
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Runtime(program, problem=f"{program} cannot be asked: {error}; choose another interpreter")
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace").strip()[-500:]
        return Runtime(program, problem=f"{program} is no working Python: {text}")
    said = msgspec.json.decode(done.stdout)
    return Runtime(program, str(said["version"]), tuple(said["missing"]))


def requirements() -> tuple[str, ...]:
    """The training packages as pip wants them: from pyproject.toml of a checkout, else from the installed package."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return tuple(tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]["train"])
    found = importlib.metadata.requires("steplens") or []
    return tuple(each.partition(";")[0].strip() for each in found if re.search(r"extra\s*==\s*['\"]train['\"]", each))


def constraints() -> Path | None:
    """Versions that are known to work together; only a source checkout has the file."""
    file = ROOT / "packaging" / "constraints.txt"
    return file if file.is_file() else None


class InstallState(StrEnum):
    """Where an installation stands."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InstallView:
    """What to show: the newest line of pip, how many packages it has turned to, and where the log lies."""

    state: InstallState
    line: str
    packages: int
    log: Path


class Installation:
    """`pip install` of the training packages in a child process; listeners are called in its thread."""

    def __init__(self, log: Path, listener: Callable[[InstallView], None], interpreter: str | None = None) -> None:
        self.log = log
        self.interpreter = interpreter or sys.executable
        self._listener = listener
        self._asked_to_stop = False
        self._view = InstallView(InstallState.RUNNING, "starting pip", 0, log)
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="install", daemon=True)

    @property
    def view(self) -> InstallView:
        """Where it stands now."""
        return self._view

    def start(self) -> None:
        """Start pip. Raises RunError when it cannot be started."""
        command = [self.interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        versions = constraints()
        if versions is not None:
            command += ["-c", str(versions)]
        try:
            self._child = subprocess.Popen(
                [*command, *requirements()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=os.sep,
            )
        except OSError as error:
            raise RunError(f"{self.interpreter} could not be started: {error}; choose another interpreter") from error
        self._thread.start()

    def cancel(self) -> None:
        """Stop pip and what it started; packages that it has installed already stay."""
        self._asked_to_stop = True
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> InstallView:
        """Wait for the end; where it stands then."""
        self._thread.join(seconds)
        return self._view

    def _run(self) -> None:
        child = self._child
        assert child is not None
        assert child.stdout is not None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        packages, last = 0, ""
        with child, self.log.open("ab") as log:
            for raw in child.stdout:
                log.write(raw)
                log.flush()
                last = raw.decode("utf-8", "replace").strip() or last
                packages += last.startswith("Collecting ")
                self._tell(InstallView(InstallState.RUNNING, last, packages, self.log))
        if child.returncode == 0:
            self._tell(InstallView(InstallState.DONE, "training packages are installed", packages, self.log))
        elif self._asked_to_stop:
            self._tell(InstallView(InstallState.CANCELLED, "cancelled", packages, self.log))
        else:
            text = f"pip left with code {child.returncode}: {last}; see {self.log}"
            self._tell(InstallView(InstallState.FAILED, text, packages, self.log))

    def _tell(self, view: InstallView) -> None:
        self._view = view
        self._listener(view)
