"""Stand-ins for ssh, rsync, Slurm and Ray: they do on folders and processes of this machine what those do on others.

`FARM` holds a folder a machine. While `FARM/cut` is there nothing is reached; while `FARM/hold` is there jobs are
pending. `FARM/unasked` and `FARM/unanswered` break the line of ssh once before, or after, a job is started there. What
rsync copied stands in `FARM/copied`, a line a file.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

NAMES = ("ssh", "rsync", "sbatch", "squeue", "scancel", "scontrol", "srun", "ray")
FARM = Path(os.environ.get("FARM", "/nonexistent"))


def install(folder: Path) -> None:
    """Write the commands into a folder for PATH."""
    folder.mkdir(parents=True)
    for name in NAMES:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        script.chmod(0o755)


def ssh(args: list[str]) -> int:
    """ssh -o OPTION... HOST COMMAND: the command in the folder of that machine."""
    while args[0] == "-o":
        args = args[2:]
    host, command = args[0], " ".join(args[1:])
    if (FARM / "cut").exists() or not (FARM / host).is_dir():
        sys.stderr.write(f"ssh: connect to host {host} port 22: Connection timed out\n")
        return 255
    script = sys.stdin.read()
    lost = next((FARM / name for name in ("unasked", "unanswered") if (FARM / name).exists()), None)
    if lost is None or "nohup setsid" not in script:
        return subprocess.run(["sh", "-c", command], cwd=FARM / host, input=script, text=True).returncode
    if lost.name == "unanswered":
        subprocess.run(["sh", "-c", command], cwd=FARM / host, input=script, text=True, stdout=subprocess.DEVNULL)
    lost.unlink()
    sys.stderr.write("client_loop: send disconnect: Broken pipe\n")
    return 255


def rsync(args: list[str]) -> int:
    """rsync -a --exclude=... FROM/ TO/: what is new or changed, each file whole or not at all."""
    if (FARM / "cut").exists():
        sys.stderr.write("rsync: connection unexpectedly closed\n")
        return 255
    excluded = [arg.partition("=")[2] for arg in args if arg.startswith("--exclude=")]
    source, target = (Path(arg.rpartition(":")[2]) for arg in args if not arg.startswith("-"))
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source).as_posix()
        if not file.is_file() or any(_excludes(pattern, name) for pattern in excluded):
            continue
        to = target / name
        kept = to.stat() if to.exists() else None
        now = file.stat()
        if kept is None or (kept.st_size, kept.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            to.parent.mkdir(parents=True, exist_ok=True)
            aside = to.with_name(f".{to.name}.rsync.tmp")
            shutil.copy2(file, aside)
            aside.replace(to)
            with (FARM / "copied").open("a") as log:
                log.write(f"{name}\n")
    return 0


def _excludes(pattern: str, name: str) -> bool:
    if pattern.startswith("/"):
        return f"/{name}/".startswith(f"{pattern}/")
    return any(fnmatch.fnmatch(part, pattern) for part in name.split("/"))


def sbatch(args: list[str]) -> int:
    """sbatch --parsable ... < SCRIPT: a process that runs it; the number of the job."""
    options = dict(arg[2:].partition("=")[::2] for arg in args)
    job = next(str(number) for number in itertools.count(1000) if _is_mine(number))
    environment = {"SLURM_JOB_NODELIST": "127.0.0.1", "SLURM_NNODES": options["nodes"], "SLURM_JOB_ID": job}
    _start(job, ["sh", "-c", sys.stdin.read()], Path(options["output"]), environment)
    print(f"{job};farm")
    return 0


def _is_mine(number: int) -> bool:
    """Take a number that no other sbatch has, also none at the same moment."""
    with suppress(FileExistsError):
        (FARM / f"number-{number}").mkdir()
        return True
    return False


def squeue(args: list[str]) -> int:
    """squeue --jobs=N: its state, or the error of a job that is forgotten."""
    job = next(arg.partition("=")[2] for arg in args if arg.startswith("--jobs="))
    state = _state(job)
    if state == "OVER":
        sys.stderr.write("slurm_load_jobs error: Invalid job id specified\n")
        return 1
    print(state)
    return 0


def scancel(args: list[str]) -> int:
    """scancel N."""
    _kill(args[0])
    return 0


def scontrol(args: list[str]) -> int:
    """scontrol show hostnames LIST."""
    print(args[-1])
    return 0


def srun(args: list[str]) -> int:
    """srun --kill-on-bad-exit=1 COMMAND: once on each node, which are all this machine; one that fails ends all."""
    nodes = [
        subprocess.Popen(args[1:], env={**os.environ, "SLURM_NODEID": str(number)})
        for number in range(int(os.environ["SLURM_NNODES"]))
    ]
    while any(node.poll() is None for node in nodes) and not any(node.poll() for node in nodes):
        time.sleep(0.05)
    for node in nodes:
        node.terminate()
    return max(abs(node.wait()) for node in nodes)


def ray(args: list[str]) -> int:
    """ray job submit | status | stop, in the words of Ray's own."""
    verb = args[1]
    if verb == "submit":
        job = args[args.index("--submission-id") + 1]
        entry = subprocess.list2cmdline(args[args.index("--") + 1 :])
        _start(job, ["sh", "-c", f"{entry}; echo $? > '{FARM}/job-{job}.code'"], FARM / "ray.log", {})
        print(f"Job '{job}' submitted successfully")
        return 0
    job = args[-1]
    if verb == "stop":
        (FARM / f"job-{job}.stopped").touch()
        _kill(job)
        return 0
    state = _state(job)
    code = FARM / f"job-{job}.code"
    if state != "OVER":
        print(f"Status for job '{job}': {state}")
    elif (FARM / f"job-{job}.stopped").exists():
        print(f"Job '{job}' was stopped")
    else:
        print(f"Job '{job}' {'succeeded' if code.exists() and code.read_text().strip() == '0' else 'failed'}")
    return 0


def _start(job: str, command: list[str], output: Path, environment: dict[str, str]) -> None:
    waits = ["sh", "-c", 'while [ -e "$FARM/hold" ]; do sleep 0.05; done; exec "$@"', "job", *command]
    with output.open("ab") as out:
        child = subprocess.Popen(
            waits,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    (FARM / f"job-{job}").write_text(f"{child.pid} {psutil.Process(child.pid).create_time()}")
    child.returncode = 0  # it outlives this command


def _state(job: str) -> str:
    pid, created = (FARM / f"job-{job}").read_text().split()
    try:
        process = psutil.Process(int(pid))
        lives = process.create_time() == float(created) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        lives = False
    if not lives:
        return "OVER"
    return "PENDING" if (FARM / "hold").exists() else "RUNNING"


def _kill(job: str) -> None:
    try:
        os.killpg(int((FARM / f"job-{job}").read_text().split()[0]), signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended by itself


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](sys.argv[2:]))
