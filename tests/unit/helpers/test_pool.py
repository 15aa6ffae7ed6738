"""Helper processes: results, order, cancelling, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.helpers.pool import HelperError, HelperPool

WORK = "tests.unit.helpers.work"


@pytest.fixture
def pool() -> Iterator[HelperPool]:
    made = HelperPool(1, patience=120)
    yield made
    made.close()


def ask(pool: HelperPool, name: str, argument: object) -> object:
    """The result of a job, waited for."""
    came = threading.Event()
    box: list[object] = []
    pool.submit(f"{WORK}:{name}", argument, lambda result: (box.append(result), came.set()))
    assert came.wait(120)
    return box[0]


def until(holds: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_results_come_from_another_process(pool: HelperPool) -> None:
    assert ask(pool, "square", 12) == 144
    assert ask(pool, "own_pid", None) not in (None, os.getpid())


def test_an_exception_is_a_result(pool: HelperPool) -> None:
    error = ask(pool, "fail", "so it is")
    assert isinstance(error, ValueError)
    assert str(error) == "so it is"
    assert ask(pool, "square", 3) == 9


def test_a_helper_imports_and_calls_what_it_is_told_before_its_first_job() -> None:
    pool = HelperPool(1, preload=("tests.unit.helpers", f"{WORK}:prepare"), patience=120)
    try:
        assert ask(pool, "is_prepared", None) is True
    finally:
        pool.close()


def test_what_is_printed_does_not_disturb(pool: HelperPool) -> None:
    assert ask(pool, "chatter", "hello") == "hello"


def test_urgent_work_goes_first_and_cancelled_work_not_at_all(pool: HelperPool, tmp_path: Path) -> None:
    out = tmp_path / "order"
    done = threading.Event()
    ask(pool, "square", 1)
    go = tmp_path / "go"
    pool.submit(f"{WORK}:note_when", (str(out), "running", str(go)), lambda _: None)
    assert until(go.with_suffix(".begun").exists), "the first job is under way"
    pool.submit(f"{WORK}:note", (str(out), "prefetch", 0), lambda _: done.set(), urgent=False)
    cancel = pool.submit(f"{WORK}:note", (str(out), "cancelled", 0), lambda _: None)
    pool.submit(f"{WORK}:note", (str(out), "visible", 0), lambda _: None)
    cancel()
    go.touch()
    assert done.wait(120)
    assert out.read_text().split() == ["running", "visible", "prefetch"]


def test_a_helper_that_dies_is_replaced(pool: HelperPool) -> None:
    first = ask(pool, "own_pid", None)
    assert isinstance(ask(pool, "die", None), HelperError)
    second = ask(pool, "own_pid", None)
    assert isinstance(second, int)
    assert second != first


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pool = HelperPool(1, patience=2.0)
    try:
        assert isinstance(ask(pool, "note", (str(tmp_path / "x"), "late", 3_600)), HelperError)
        assert not (tmp_path / "x").exists()
    finally:
        pool.close()


def test_closing_ends_the_helpers() -> None:
    pool = HelperPool(1)
    pid = ask(pool, "own_pid", None)
    assert isinstance(pid, int)
    assert alive(pid)
    pool.close()
    assert until(lambda: not alive(pid))
    with pytest.raises(HelperError, match="closed"):
        pool.submit(f"{WORK}:square", 2, lambda _: None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_killed_parent_takes_its_helpers_along() -> None:
    program = (
        "import threading, time\n"
        "from studio.helpers.pool import HelperPool\n"
        "pool = HelperPool(1)\n"
        f"pool.submit('{WORK}:own_pid', None, lambda pid: print(pid, flush=True))\n"
        f"pool.submit('{WORK}:note', ('/dev/null', 'busy', 60), lambda _: None)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as said:
        pid = int(said.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert until(lambda: not alive(pid))
