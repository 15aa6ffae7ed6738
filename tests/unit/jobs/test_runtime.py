"""Whether an interpreter can train, and pip as a job."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from studio.jobs import runtime
from studio.jobs.runtime import Installation, InstallState, InstallView


def test_this_interpreter_is_asked_without_importing() -> None:
    found = runtime.check(sys.executable)
    assert found.problem == ""
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert "msgspec" not in found.missing


def test_an_interpreter_without_the_packages(tmp_path: Path) -> None:
    script = tmp_path / "bare"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    script.chmod(0o755)
    found = runtime.check(str(script))
    assert set(found.missing) == set(runtime.NEEDED)
    assert not found.ready
    assert "cannot be asked" in runtime.check(str(tmp_path / "nothing")).problem


def test_the_requirements_are_those_of_the_train_extra() -> None:
    document = tomllib.loads((runtime.ROOT / "pyproject.toml").read_text("utf-8"))
    assert list(runtime.requirements()) == document["project"]["optional-dependencies"]["train"]
    assert runtime.constraints() == runtime.ROOT / "packaging" / "constraints.txt"


def fake_pip(folder: Path, body: str) -> str:
    script = folder / "python"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return str(script)


def test_an_installation_tells_its_lines_and_keeps_a_log(tmp_path: Path) -> None:
    heard: list[InstallView] = []
    program = fake_pip(tmp_path, 'echo "Collecting torch"; echo "Collecting peft"; echo "got $*"')
    job = Installation(tmp_path / "log" / "install.log", heard.append, program)
    job.start()
    assert job.wait(120).state is InstallState.DONE
    assert [view.packages for view in heard] == [1, 2, 2, 2]
    assert "-m pip install" in (tmp_path / "log" / "install.log").read_text()


def test_cancel_and_failure_are_told_apart(tmp_path: Path) -> None:
    sleeping = Installation(tmp_path / "a.log", lambda _: None, fake_pip(tmp_path, "sleep 3600"))
    sleeping.start()
    sleeping.cancel()
    assert sleeping.wait(120).state is InstallState.CANCELLED
    failing = Installation(tmp_path / "b.log", lambda _: None, fake_pip(tmp_path, "echo no network; exit 3"))
    failing.start()
    view = failing.wait(120)
    assert view.state is InstallState.FAILED
    assert "code 3: no network" in view.line
