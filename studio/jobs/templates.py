"""Launch templates: the texts that run a run folder elsewhere, the shipped ones, how they are filled and checked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import msgspec

from studio.errors import RunError
from studio.settings import LaunchTemplate, Settings
from trainer.contract.launch import Launch

PLACEHOLDERS: Mapping[str, str] = {
    "host": "the machine that is spoken to, as ssh knows it",
    "python": "the interpreter there that has the training packages",
    "run_dir": "the run folder there, whole",
    "local_dir": "the run folder here",
    "source": "a folder here to send",
    "target": "where it goes there",
    "worker": "the whole command of the worker: the environment, the interpreter, accelerate launch where it is needed",
    "code": "the folder there with the worker's program, which travels along",
    "name": "a name for the job, new for every attempt",
    "job": "what the last line of start said",
    "gpus": "GPUs of each machine: its processes, or 0 on a processor",
    "processes": "processes of each machine",
    "machines": "machines",
}
_RUN = ("host", "python", "run_dir", "worker", "code", "name", "gpus", "processes", "machines")
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "shell": ("host",),
    "send": ("host", "source", "target"),
    "fetch": ("host", "run_dir", "local_dir"),
    "start": _RUN,
    "state": (*_RUN, "job"),
    "stop": (*_RUN, "job"),
}
"""Which placeholders each text knows."""
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "send": ("source", "target"),
    "fetch": ("run_dir", "local_dir"),
    "start": ("worker",),
    "state": ("job",),
    "stop": ("job",),
}
_PLACE = re.compile(r"(?<!\$)\{([a-z_]+)\}")  # ${name} is the shell's own
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./~-]+")
_SECRET = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|token|secret|api[_-]?key)\s*[=:]\s*[\"']?(?![$\"'{\s])\S{3,}|\b(?:hf|sk|ghp)[_-]\w{16,}"
)

_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 {host} sh -s"
_SEND = "rsync -a --partial {source}/ {host}:{target}/"
_FETCH = """rsync -a --partial --exclude=/inputs --exclude=/control --exclude=/.lock --exclude=.*.tmp \\
  {host}:{run_dir}/ {local_dir}/ || [ $? -eq 24 ]"""  # 24: a checkpoint was pruned meanwhile
_SBATCH = """gpus={gpus}
[ "$gpus" -gt 0 ] && ask="--gpus-per-node=$gpus"
sbatch --parsable --job-name={name} --nodes={machines} --ntasks-per-node=1 --time=24:00:00 $ask \\
  --output={run_dir}/worker.log --open-mode=append <<'JOB' | cut -d';' -f1
#!/bin/sh
export MAIN_IP="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
export MAIN_PORT=$((20000 + SLURM_JOB_ID % 20000))
srun --kill-on-bad-exit=1 sh -c 'export MACHINE_RANK=$SLURM_NODEID; exec {worker}'
JOB"""
_SQUEUE = """if said=$(squeue --noheader --jobs={job} --format=%T 2>&1); then echo "${said:-GONE}"
else case $said in *"Invalid job id"*) echo GONE;; *) echo "$said" >&2; exit 1;; esac; fi"""

SHIPPED: Mapping[str, LaunchTemplate] = {
    "ssh": LaunchTemplate(
        about="A machine that ssh reaches without a password; rsync on both sides.",
        shell=_SSH,
        send=_SEND,
        fetch=_FETCH,
        start="nohup setsid {worker} >> {run_dir}/worker.log 2>&1 < /dev/null &\necho $!",
        state='case "$(ps -ww -o args= -p {job})" in *{run_dir}*) echo RUNNING;; *) echo GONE;; esac',
        stop='case "$(ps -ww -o args= -p {job})" in *{run_dir}*) kill -s KILL -- -{job};; esac',  # not another's number
    ),
    "slurm": LaunchTemplate(
        about="Slurm, by way of its login node; several machines meet at the first of them.",
        queues=True,
        every=20.0,
        shell=_SSH,
        send=_SEND,
        fetch=_FETCH,
        start=_SBATCH,
        state=_SQUEUE,
        stop="scancel {job}",
    ),
    "slurm, shared disk": LaunchTemplate(
        about="Slurm from its login node: the nodes see this workspace's disk, so nothing is copied.",
        queues=True,
        every=10.0,
        shell="sh -s",
        start=_SBATCH,
        state=_SQUEUE,
        stop="scancel {job}",
    ),
    "ray": LaunchTemplate(
        about="A Ray cluster, by way of its head node; on a cluster of several nodes the folder lies on a shared disk.",
        queues=True,
        every=20.0,
        shell=_SSH,
        send=_SEND,
        fetch=_FETCH,
        start="ray job submit --no-wait --submission-id {name} --entrypoint-num-gpus {gpus} -- \\\n"
        "  sh -c '{worker} >> {run_dir}/worker.log 2>&1' >&2 && echo {name}",
        state='case "$(ray job status {job} 2>&1)" in\n*RUNNING*) echo RUNNING;; *PENDING*) echo PENDING;;\n'
        '*"\' succeeded"*) echo SUCCEEDED;; *"\' was stopped"*) echo STOPPED;; *"\' failed"*) echo FAILED;;\n'
        '*"does not exist"*) echo GONE;; *) exit 1;; esac',
        stop="ray job stop --no-wait {job}",
    ),
}
ALIVE = ("RUNNING", "PENDING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "STAGE_OUT")
OVER = (
    "GONE", "SUCCEEDED", "STOPPED", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED",
    "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",
)  # fmt: skip


def known(settings: Settings) -> dict[str, LaunchTemplate]:
    """The user's templates, and the shipped ones that they do not replace."""
    return {**SHIPPED, **settings.launch_templates}


def find(settings: Settings, launch: Launch) -> LaunchTemplate:
    """The template of a launch, spoken to its host. Raises RunError with what is wrong with it."""
    found = known(settings).get(launch.template)
    if found is None:
        raise RunError(
            f"there is no launch template {launch.template!r}; there are: {', '.join(known(settings))}. Make one in "
            "the form of a new run, or in the preferences file"
        )
    if launch.host:
        found = with_host(found, launch.host)
    problems = check(found) + speaks_to(found) + fits(found, launch)
    if problems:
        raise RunError(f"launch template {launch.template!r}: {'; '.join(problems)}")
    return found


def with_host(template: LaunchTemplate, host: str) -> LaunchTemplate:
    """The template, speaking to another host."""
    return msgspec.structs.replace(template, host=host)


def check(template: LaunchTemplate) -> tuple[str, ...]:
    """What is wrong with the texts of a template, as sentences; empty when it can be used."""
    found = []
    for name in ("shell", "start", "state", "stop"):
        if not getattr(template, name).strip():
            found.append(f"{name} is empty")
    if bool(template.send.strip()) != bool(template.fetch.strip()):
        found.append("send and fetch are either both there or both empty (one disk on both sides)")
    for name, allowed in ALLOWED.items():
        found += _of_text(name, getattr(template, name), allowed)
    for name in ("folder", "python"):
        if not _PLAIN.fullmatch(getattr(template, name)):
            found.append(f"{name} = {getattr(template, name)!r} may hold letters, digits and ._/~+- alone")
    if template.every < 1:
        found.append("fetching more often than once a second is of no use")
    return tuple(found)


def speaks_to(template: LaunchTemplate) -> tuple[str, ...]:
    """What is wrong with the host, where a text asks for one."""
    asks = any("{host}" in getattr(template, name) for name in ALLOWED)
    if asks and not template.host.strip():
        return ("name the host",)
    if asks and (not _PLAIN.fullmatch(template.host) or template.host.startswith("-")):
        return (f"host = {template.host!r} is no name of a machine",)
    return ()


def fits(template: LaunchTemplate, launch: Launch) -> tuple[str, ...]:
    """What the template cannot do that the launch wants."""
    if launch.machines > 1 and "{machines}" not in template.start:
        return ("start names no {machines}, so it starts on one machine; set machines to 1 or choose slurm",)
    return ()


def copies(template: LaunchTemplate) -> bool:
    """Whether run folders travel; else both sides see one disk."""
    return bool(template.send.strip())


def place_of(launch: Launch, template: LaunchTemplate, uid: str) -> str:
    """What the queue calls the place: one run at a time on a machine; where a scheduler queues, a place of its own."""
    if template.queues:
        return f"{launch.template} {uid[:6]}"
    return f"{launch.template} {template.host}".strip()


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in, quoted for the shell where they have to be; {worker} is a command."""

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            return found[0]
        plain = name == "worker" or _PLAIN.fullmatch(values[name])
        return values[name] if plain else shlex.quote(values[name])

    return _PLACE.sub(filled, text)


def is_plain(text: str) -> bool:
    """Whether a path needs no quotes in any shell."""
    return bool(_PLAIN.fullmatch(text))


def is_over(said: str) -> bool:
    """Whether a scheduler's word means that the job runs no more."""
    return _first_word(said) in OVER


def is_alive(said: str) -> bool:
    """Whether a scheduler's word means that the job runs or will."""
    return _first_word(said) in ALIVE


def _first_word(said: str) -> str:
    return re.split(r"[\s+]", said.strip().upper(), maxsplit=1)[0]


def _of_text(name: str, text: str, allowed: tuple[str, ...]) -> list[str]:
    found = []
    for place in dict.fromkeys(_PLACE.findall(text)):
        if place not in allowed:
            there = ", ".join(f"{{{each}}}" for each in allowed)
            found.append(f"{name} has {{{place}}}, which it does not know; it knows {there} (a shell's own: ${{NAME}})")
    for needed in _NEEDED.get(name, ()):
        if text.strip() and f"{{{needed}}}" not in text:
            found.append(f"{name} does not say {{{needed}}}")
    if _SECRET.search(text):
        found.append(f"{name} seems to hold a password or key; keep it there, in the environment or an ssh agent")
    return found
