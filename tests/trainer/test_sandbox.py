"""The sandbox under attack: files, network, processes, memory, time and output, behind each wall alone and both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import psutil
import pytest

from trainer.suites import sandbox
from trainer.suites.sandbox import Limits, Ran, SandboxError, Wall, run_program

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def stands(wall: Wall) -> bool:
    """Whether this machine has the wall."""
    try:
        return wall in sandbox.standing()
    except SandboxError:
        return False


each_wall = pytest.mark.parametrize(
    "walls",
    [
        pytest.param({wall}, id=wall.value, marks=pytest.mark.skipif(not stands(wall), reason=f"no {wall.value} here"))
        for wall in Wall
    ],
)
pytestmark = pytest.mark.skipif(not any(map(stands, Wall)), reason="this machine can hold no program")


def attack(program: str, walls: set[Wall] | None = None, **limits: float) -> Ran:
    """Run a program that tells in JSON what each of its attempts brought."""
    tries = """
        import json, os, sys
        told = {}
        def attempt(name, act):
            try:
                told[name] = repr(act())
            except BaseException as error:
                told[name] = type(error).__name__
    """
    source = textwrap.dedent(tries) + textwrap.dedent(program) + "\nprint(json.dumps(told))\n"
    return run_program(source, limits=Limits(**({"seconds": 20.0} | limits)), walls=walls)  # type: ignore[arg-type]


def told(ran: Ran) -> dict[str, str]:
    """What the attempts brought."""
    assert ran.finished, f"{ran.why}\n{ran.stderr}"
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def test_a_program_computes_reads_its_input_and_writes_into_its_folder() -> None:
    ran = run_program(
        "import heapq, math, re, collections, threading\n"
        "open('a.txt', 'w').write('kept')\n"
        "worker = threading.Thread(target=print, args=('from a thread',)); worker.start(); worker.join()\n"
        "print(int(input()) + 1, open('a.txt').read(), os_free := math.comb(5, 2))\n",
        "41\n",
    )
    assert (ran.finished, ran.why, ran.stdout) == (True, "", "from a thread\n42 kept 10\n")


@each_wall
def test_files_outside_its_folder_are_neither_read_nor_changed(walls: set[Wall], tmp_path: Path) -> None:
    home, victim = Path.home(), tmp_path / "victim.txt"
    victim.write_text("the secret")
    secret = home / f".steplens-test-{os.getpid()}"
    secret.write_text("the key")
    try:
        found = told(
            attack(
                f"""
                attempt("read", lambda: open({str(victim)!r}).read())
                attempt("home", lambda: open({str(secret)!r}).read())
                attempt("list", lambda: os.listdir({str(home)!r}))
                attempt("write", lambda: open({str(victim)!r}, "w").write("x"))
                attempt("truncate", lambda: os.truncate({str(victim)!r}, 0))
                attempt("remove", lambda: os.remove({str(victim)!r}))
                attempt("chmod", lambda: os.chmod({str(victim)!r}, 0o777))
                attempt("rename", lambda: os.rename({str(victim)!r}, "mine"))
                attempt("link", lambda: (os.symlink({str(victim)!r}, "link"), open("link").read()))
                attempt("above", lambda: open("../../escaped", "w").write("x"))
                attempt("environ", lambda: open("/proc/{os.getpid()}/environ", "rb").read())
                attempt("etc", lambda: open("/etc/passwd").read())
                attempt("tmp", lambda: open("/tmp/steplens-escaped", "w").write("x"))
                attempt("library", lambda: open(os.__file__, "a").write("x"))
                """,
                walls,
            )
        )
    finally:
        secret.unlink()
    refused = {"PermissionError", "FileNotFoundError", "OSError", "NotADirectoryError"}
    assert secret.name not in found.pop("list")  # the way to Python's library may be seen, if it lies there
    assert {name: what for name, what in found.items() if what not in refused} == {}
    assert victim.read_text() == "the secret"
    assert victim.stat().st_mode & 0o777 != 0o777
    assert not Path("/tmp/steplens-escaped").exists()


@each_wall
def test_no_way_into_the_network(walls: set[Wall]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        heard: list[object] = []
        server.settimeout(0.2)
        found = told(
            attack(
                f"""
                import socket, ctypes
                attempt("tcp", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
                attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                attempt("unix", lambda: socket.socket(socket.AF_UNIX))
                attempt("pair", lambda: socket.socketpair())
                attempt("raw", lambda: ctypes.CDLL(None).socket(2, 1, 0))
                attempt("ring", lambda: ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(256)))
                """,
                walls,
            )
        )
        with pytest.raises(TimeoutError):
            heard.append(server.accept())
    assert heard == []
    assert found == dict.fromkeys(("tcp", "udp", "unix", "pair"), "PermissionError") | {"raw": "-1", "ring": "-1"}


@each_wall
def test_a_fork_bomb_has_no_second_process_and_touches_no_other(walls: set[Wall]) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = told(
            attack(
                f"""
                import ctypes, signal, subprocess
                for _ in range(100):
                    attempt("fork", os.fork)
                libc = ctypes.CDLL(None)
                attempt("vfork", lambda: libc.syscall(58) if os.uname().machine == "x86_64" else -1)
                attempt("run", lambda: subprocess.run(["/bin/sh", "-c", "true"]))
                attempt("exec", lambda: os.execv(sys.executable, [sys.executable]))
                attempt("kill", lambda: os.kill({bystander.pid}, signal.SIGKILL))
                attempt("kill all", lambda: os.kill(-1, signal.SIGKILL))
                attempt("group", lambda: os.kill(0, signal.SIGKILL))
                attempt("leave", os.setsid)
                attempt("ptrace", lambda: libc.ptrace(16, {bystander.pid}, 0, 0))
                import resource
                attempt("limits", lambda: resource.prlimit({bystander.pid}, resource.RLIMIT_NOFILE, (1, 1)))
                attempt("user", lambda: os.setuid(1))
                attempt("root", lambda: os.chroot("."))
                attempt("mount", lambda: libc.unshare(0x20000))
                import fcntl, struct
                ear, mouth = os.pipe()
                attempt("owner", lambda: fcntl.fcntl(ear, 8, {bystander.pid}))  # F_SETOWN: who gets the signals of
                attempt("owners", lambda: fcntl.fcntl(ear, 15, struct.pack("ii", 1, {bystander.pid})))  # a pipe,
                attempt("which", lambda: fcntl.fcntl(ear, 10, signal.SIGKILL))  # and which one
                fcntl.fcntl(ear, fcntl.F_SETFL, os.O_ASYNC)
                os.write(mouth, b"x")
                attempt("outlive", lambda: libc.prctl(1, 0, 0, 0, 0))
                attempt("open up", lambda: libc.prctl(4, 1, 0, 0, 0))
                """,
                walls,
            )
        )
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")
    refused = dict.fromkeys(
        ("fork", "run", "kill", "kill all", "group", "leave", "limits", "user", "root", "owner", "owners", "which"),
        "PermissionError",
    ) | dict.fromkeys(("vfork", "ptrace", "mount", "outlive", "open up"), "-1")
    assert found == refused | {"exec": found["exec"]}
    assert found["exec"] in ("PermissionError", "FileNotFoundError")


@each_wall
def test_memory_files_and_output_are_bounded(walls: set[Wall]) -> None:
    small = {"memory": 128, "file": 1, "folder": 4, "output": 1}
    found = told(
        attack(
            """
            import mmap, ctypes, threading, resource
            attempt("heap", lambda: len(bytearray(1 << 30)))
            attempt("map", lambda: mmap.mmap(-1, 1 << 30))
            attempt("hidden", lambda: ctypes.CDLL(None).syscall(319, b"x", 0) if os.uname().machine == "x86_64" else -1)
            attempt("file", lambda: open("big", "wb").write(b"x" * (1 << 21)))
            attempt("raise", lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)))
            attempt("open", lambda: [open("f%d" % i, "w") for i in range(200)])
            """,
            walls,
            **small,
        )
    )
    assert found == {
        "heap": "MemoryError",
        "map": "OSError",
        "hidden": "-1",
        "file": "OSError",
        "raise": "ValueError",
        "open": "OSError",
    }
    ran = attack("for i in range(10**6): open(str(i), 'wb').write(b'x' * 900_000)", walls, **small)
    assert (ran.finished, ran.why) == (False, "kept more than 4 MiB in files")
    ran = attack("while True: print('x' * 1000)", walls, **small)
    assert (ran.finished, ran.why) == (False, "wrote more than 1 MiB")


FLOOD = """
import itertools, os
def flood(pipe):
    while True:
        os.write(pipe, b"x" * 65536)
for pipe in range(3, 30):
    try:
        flood(pipe)
    except OSError:
        pass
"""
NEST = """
import itertools, os
for n in itertools.count():
    os.mkdir("deep"); os.chdir("deep")
"""
CROWD = """
import os
for n in range(100_000):
    os.mkdir(str(n)); os.symlink("/etc/passwd", str(n) + "l")
import time; time.sleep(60)
"""
GONE = """
import os
held = []
while True:
    held.append(open("a", "wb", buffering=0)); os.remove("a"); held[-1].write(b"x" * (1 << 20))
"""
RENAMED = """
import os
open("a", "wb"); open("b", "wb"); os.replace("a", "b")
"""
NAMELESS = """
import os
os.open(".", os.O_TMPFILE | os.O_WRONLY)
"""
THREADS = """
import ctypes, time
libc, stack = ctypes.CDLL(None), ctypes.create_string_buffer(4096 * 2001)
for n in range(1, 2000):  # far smaller than those of threading: all fit into the memory that it may have
    libc.clone(libc.pause, ctypes.c_void_p(ctypes.addressof(stack) + 4096 * n & ~15), 0x10F00, None)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("program", "why"),
    [
        pytest.param(GONE, "PermissionError: [Errno 1] Operation not permitted: 'a'", id="files removed while open"),
        pytest.param(RENAMED, "PermissionError: [Errno 1] Operation not permitted: 'a' -> 'b'", id="files replaced"),
        pytest.param(NAMELESS, "PermissionError: [Errno 1] Operation not permitted: '.'", id="files without a name"),
        pytest.param(THREADS, "started more than 64 threads", id="threads"),
        pytest.param(FLOOD, "wrote more than 1 MiB", id="the pipe of its walls"),
        pytest.param(NEST, "made folders more than 64 deep", id="folders in folders"),
        pytest.param(CROWD, "kept more than 4 MiB in files", id="empty folders and links"),
    ],
)
def test_what_no_file_shows_is_bounded_too(
    program: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = run_program(program, limits=Limits(seconds=20, folder=4))
    assert (ran.finished, ran.why) == (False, why)
    assert list(tmp_path.iterdir()) == [], "nothing is left of it"


def test_time_is_bounded_and_nothing_is_left() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for program in ("while True: pass", "import time; time.sleep(600)", "import os; [os.close(n) for n in (0, 1, 2)]"):
        ran = run_program(program + "\nwhile True: pass", limits=Limits(seconds=0.6))
        assert (ran.finished, ran.why) == (False, "took longer than 0.6 s")
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_it_ends_when_the_asker_no_longer_wants_it() -> None:
    class Cancelled(Exception):
        pass

    def check() -> None:
        raise Cancelled

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(Cancelled):
        run_program("while True: pass", check=check)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(0)", "left before its last line"),
        ("import os; os._exit(0)", "left before its last line"),
        ("import sys; sys.exit('no')", "exit status 1"),
        ("assert 1 == 2", "AssertionError"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("import os; os.abort()", "killed by SIGABRT"),
        ("import os; os.write(int(max(os.listdir('.'))[:0] or 3), b'x')", "OSError: [Errno 9] Bad file descriptor"),
    ],
)
def test_only_a_program_that_ran_to_its_end_has_finished(program: str, why: str) -> None:
    ran = run_program(program)
    assert (ran.finished, ran.why) == (False, why)


def test_what_it_is_not_given_it_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLENS_SECRET", "the key")
    ran = run_program("import os, sys; print(sorted(os.environ), sys.argv, [p for p in sys.path if 'site' in p])")
    assert ran.stdout == "['HOME', 'LANG', 'LC_CTYPE', 'PYTHONHASHSEED'] ['program.py'] []\n" or ran.stdout == (
        "['HOME', 'LANG', 'PYTHONHASHSEED'] ['program.py'] []\n"
    )


def test_programs_run_beside_each_other() -> None:
    outs: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: outs.update({n: run_program(f"print({n})").stdout})) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs == {n: f"{n}\n" for n in range(4)}


def test_without_walls_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(SandboxError, match="no wall"):
        run_program(f"open({str(mark)!r}, 'w')", walls=())
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="evaluate code on Linux"):
        run_program("print(1)")
    assert not mark.exists()


def test_a_machine_that_has_neither_wall_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Ran:
        raise SandboxError("this kernel has no Landlock")

    monkeypatch.setattr(sandbox, "run_program", refused)
    with pytest.raises(SandboxError, match=r"no Landlock.*use Linux 5.13 or newer"):
        sandbox.standing.__wrapped__()


def runs_as_nobody(python: str) -> bool:
    """Whether another user can start this Python and import the sandbox with it."""
    script = f"import os; os.setuid({NOBODY}); from trainer.suites import sandbox, syscalls"
    return (
        Path(python).exists() and not subprocess.run([python, "-c", script], capture_output=True, cwd=ROOT).returncode
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@each_wall
def test_it_holds_for_an_ordinary_user_too(walls: set[Wall], tmp_path: Path) -> None:
    python = next((one for one in (sys.executable, "/usr/bin/python3") if runs_as_nobody(one)), None)
    if python is None:
        pytest.skip("another user can read neither this checkout nor a Python")
    names = ", ".join(f"Wall({wall.value!r})" for wall in walls)
    mine = Path(tempfile.mkdtemp(prefix="steplens-test-"))  # tmp_path lies where only its owner may go
    mine.chmod(0o777)
    script = f"""
import os, sys, tempfile
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.path.insert(0, {str(ROOT)!r})
from trainer.suites.sandbox import Wall, run_program
tempfile.tempdir = {str(mine)!r}
hides = "import os, time; os.mkdir('h', 0o300); os.mkdir('h/i', 0); open('h/a', 'w').write('x'); time.sleep(60)"
attacks = [hides, "open('/etc/passwd')", "__import__('os').fork()", "__import__('socket').socket()", "open('a', 'w')"]
print([run_program(one, walls={{{names}}}).why.partition(':')[0] for one in attacks])
"""
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    mine.rmdir()  # empty: what cannot be looked into is removed all the same
    missing = "FileNotFoundError" if walls == {Wall.NAMESPACES} else "PermissionError"
    assert done.stdout.strip() == str(
        ["made a folder that cannot be looked into", missing, "PermissionError", "PermissionError", ""]
    )
