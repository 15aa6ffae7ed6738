"""Runs that launch templates start elsewhere: real workers in other folders, by stand-ins of ssh, Slurm and Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from studio.errors import RunError
from studio.jobs import remote, remotes, states, templates
from studio.jobs.prepare import create_run
from studio.jobs.service import Jobs
from studio.jobs.templates import SHIPPED
from studio.jobs.values import RunOrder, RunView
from studio.settings import Settings
from studio.store import runs
from tests.unit.jobs import stand_in
from tests.unit.jobs.making import House, interpreter_of_tiny_worker, stories, until
from trainer.contract.launch import Launch, Share, kept, modules
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder, read_events

replace = msgspec.structs.replace
DONE = (RunState.FINISHED, RunState.FAILED, RunState.CRASHED, RunState.CANCELLED)


class Farm(House):
    """A house of runs, and machines elsewhere."""

    root: Path

    def send(self, template: str, *, steps: int = 20, recipe: str = "prm", **how: object) -> int:
        """Queue a run for a template; returns its id."""
        model = self.workspace.models / "counter"
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text("{}")
        given: dict[str, object] = {"max_steps": steps} if recipe == "prm" else {"model": str(model)}
        how_to = msgspec.convert({"template": template, **how}, Launch)
        uid = create_run(self.workspace, RunOrder(recipe, given, launch=how_to))
        with self.workspace.database.read() as c:
            return runs.by_uid(c, uid).id

    def there(self, run_id: int) -> RunFolder:
        """Its folder on the other machine."""
        return RunFolder(self.root / "gpu4" / "steplens" / "runs" / self.view(run_id).uid)

    def copied(self) -> list[str]:
        """What rsync has copied since the last look."""
        log = self.root / "copied"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    root = tmp_path / "farm"
    (root / "gpu4").mkdir(parents=True)
    stand_in.install(tmp_path / "bin")
    monkeypatch.setenv("FARM", str(root))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(states, "LOST_SECONDS", 3.0)
    monkeypatch.setattr(remotes, "LOST_SECONDS", 3.0)
    monkeypatch.setattr(remotes, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(remotes, "SILENT_SECONDS", 1.0)
    tiny = interpreter_of_tiny_worker(tmp_path)
    own = {
        name: replace(SHIPPED[name], host="gpu4" if "{host}" in SHIPPED[name].shell else "", python=tiny, every=1.0)
        for name in SHIPPED
    }
    Settings.load().update(launch_templates=own)
    workspace = stories(tmp_path)
    made = Farm(workspace, Jobs(workspace, interpreter=tiny))
    made.root = root
    made.jobs.start()
    yield made
    for job in root.glob("job-*[0-9]"):
        stand_in.FARM = root
        stand_in._kill(job.name.removeprefix("job-"))
    made.close()


def test_over_ssh_the_same_folder_runs_elsewhere_and_what_it_made_comes_back(farm: Farm) -> None:
    first = farm.send("ssh", recipe="score")
    done = farm.wait(first, *DONE)
    assert (done.state, done.elsewhere) == (RunState.FINISHED, "gpu4"), done.message
    assert farm.wait_ingested(first).records == done.rows > 0
    here, there = farm.folder(first), farm.there(first)
    assert there.records.read_bytes() == here.records.read_bytes()
    assert there.spec.read_bytes() == here.spec.read_bytes()
    assert not (there.path / remote.FILE).exists()
    sent = farm.copied()
    assert sent.count("config.json") == 1
    assert "trainer/runtime/worker.py" in sent
    again = farm.send("ssh", recipe="score")
    assert farm.wait(again, *DONE).state is RunState.FINISHED
    sent = farm.copied()
    assert "spec.json" in sent
    assert "config.json" not in sent  # the model lies there already, and so does the program
    assert "trainer/runtime/worker.py" not in sent
    assert (farm.there(again).path / "inputs" / "model" / "config.json").read_text() == "{}"


def test_pause_travels_and_a_resume_goes_on_in_the_same_folder(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", '{"seconds": 0.5}')
    run = farm.send("ssh", steps=400)
    farm.wait(run, RunState.RUNNING)
    with pytest.raises(RunError, match=r"may still write .*fetch, cancel it"):
        farm.jobs.resume(run)
    farm.jobs.pause(run)
    assert farm.wait(run, RunState.PAUSED, *DONE).state is RunState.PAUSED
    reached = [event.step for event in read_events(farm.folder(run).events)[0]]
    monkeypatch.setenv("STEPLENS_TEST_WORKER", '{"seconds": 0}')
    farm.jobs.resume(run)
    assert farm.wait(run, *DONE).state is RunState.FINISHED
    attempts = {event.attempt for event in read_events(farm.folder(run).events)[0]}
    assert attempts == {1, 2}
    assert farm.there(run).events.read_bytes() == farm.folder(run).events.read_bytes()
    assert 0 < max(reached) < 400


def test_no_news_is_lost_contact_and_never_a_crash(farm: Farm) -> None:
    run = farm.send("ssh", steps=100_000)
    farm.wait(run, RunState.RUNNING)
    (farm.root / "cut").touch()
    lost = farm.wait(run, RunState.LOST)
    assert lost.silent_seconds is not None
    assert "on gpu4" in lost.message
    with pytest.raises(RunError, match=r"Connection timed out|connection unexpectedly closed"):
        farm.jobs.fetch(run)
    assert farm.view(run).state is RunState.LOST
    (farm.root / "cut").unlink()
    farm.jobs.fetch(run)
    farm.wait(run, RunState.RUNNING)
    farm.jobs.cancel(run)
    assert farm.wait(run, *DONE).state is RunState.CANCELLED


def test_a_silent_job_that_its_scheduler_still_has_is_lost_and_one_that_it_has_not_is_crashed(farm: Farm) -> None:
    run = farm.send("slurm", steps=100_000)
    farm.wait(run, RunState.RUNNING)
    process = farm.there(run).read_process()
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    lost = farm.wait(run, RunState.LOST)
    until(lambda: farm.view(run).scheduler == "RUNNING", "the scheduler's word")
    os.kill(process.pid, signal.SIGKILL)
    crashed = farm.wait(run, *DONE)
    assert crashed.state is RunState.CRASHED
    assert "gone without a last word (scheduler: GONE)" in crashed.message
    assert lost.state is RunState.LOST


def test_runs_that_are_handed_over_at_once_share_one_copy_of_the_program(tmp_path: Path) -> None:
    at_once = threading.Barrier(8)

    def ask(_number: int) -> Path:
        at_once.wait()
        return remote._program(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        (made,) = set(pool.map(ask, range(8)))
    assert [path.name for path in made.parent.iterdir()] == [made.name], "no half-made copy is left"
    here = Path(remote.__file__).parents[2] / "trainer"
    assert (made / "trainer" / "rl" / "losses.py").read_bytes() == (here / "rl" / "losses.py").read_bytes()


def test_what_python_compiles_meanwhile_is_no_part_of_the_program() -> None:
    before = remote._checksum_of_program()
    cache = Path(remote.__file__).parents[2] / "trainer" / "__pycache__"
    cache.mkdir(exist_ok=True)
    half = cache / "half.cpython-311.pyc.140"  # how an interpreter writes one
    half.write_bytes(b"x")
    try:
        assert remote._checksum_of_program() == before
    finally:
        half.unlink()


def test_slurm_several_jobs_wait_there_and_a_waiting_one_is_taken_back(farm: Farm) -> None:
    (farm.root / "hold").touch()
    one, two = farm.send("slurm"), farm.send("slurm")
    for run in (one, two):
        until(partial(waits, farm, run), "its place in Slurm's queue")
        assert farm.view(run).state is RunState.STARTING
    farm.jobs.cancel(two)
    assert farm.wait(two, *DONE).state is RunState.CANCELLED
    (farm.root / "hold").unlink()
    assert farm.wait(one, *DONE).state is RunState.FINISHED
    assert not farm.there(two).events.exists()


def waits(farm: Farm, run: int) -> bool:
    view = farm.view(run)
    assert view.state is not RunState.FAILED, view.message
    return view.scheduler == "PENDING"


def test_slurm_on_a_shared_disk_copies_nothing(farm: Farm) -> None:
    run = farm.send("slurm, shared disk")
    assert farm.wait(run, *DONE).state is RunState.FINISHED
    assert farm.copied() == []
    assert list((farm.root / "gpu4").iterdir()) == []


def test_a_path_that_a_scheduler_would_take_apart_is_refused(tmp_path: Path) -> None:
    for name, is_plain in (("plain", True), ("two words", False), ("a;b", False), ("it's", False)):
        folder = RunFolder(tmp_path / name)
        place = remote.Elsewhere(
            folder, "1", "x", SHIPPED["slurm, shared disk"], Launch(), "cpu", tmp_path, lambda: False
        )
        if is_plain:
            assert place.hand_over(print) == str(folder.path)
            continue
        with pytest.raises(RunError, match="move them, or choose a template that copies"):
            place.hand_over(print)


def test_the_ending_of_a_model_file_is_no_command(tmp_path: Path) -> None:
    odd = "prm.a b'; touch broken; '"
    (tmp_path / odd).write_text("weights")
    command = remote.link_command(f"{tmp_path}/{odd}", f"{tmp_path}/model.a b'")
    subprocess.run(["/bin/sh", "-c", command], check=True, cwd=tmp_path)
    assert (tmp_path / "model.a b'").read_text() == "weights"
    assert not (tmp_path / "broken").exists()


def test_ray(farm: Farm) -> None:
    run = farm.send("ray")
    assert farm.wait(run, *DONE).state is RunState.FINISHED
    job = msgspec.json.decode((farm.folder(run).path / remote.FILE).read_bytes())["job"]
    assert job == f"steplens-{farm.view(run).uid[:8]}-1"


def test_what_cannot_be_handed_over_fails_with_the_command_and_can_be_resumed(farm: Farm) -> None:
    run = farm.send("ssh", host="gpu5")
    failed = farm.wait(run, *DONE)
    assert failed.state is RunState.FAILED
    assert "Connection timed out" in failed.message
    assert "try by hand: ssh" in failed.message
    (farm.root / "gpu5").mkdir()
    farm.jobs.resume(run)
    assert farm.wait(run, RunState.FINISHED).elsewhere == "gpu5"


def test_a_start_that_is_not_answered_leaves_no_job_that_nobody_knows(farm: Farm) -> None:
    (farm.root / "unanswered").touch()
    heard = farm.send("ssh", recipe="score")
    assert farm.wait(heard, *DONE).state is RunState.FINISHED, farm.view(heard).message
    assert {event.attempt for event in read_events(farm.folder(heard).events)[0]} == {1}
    (farm.root / "unasked").touch()
    never = farm.send("ssh", recipe="score")
    failed = farm.wait(never, *DONE)
    assert (failed.state, "Broken pipe" in failed.message) == (RunState.FAILED, True)
    late = farm.there(never).path / f".begun-steplens-{failed.uid[:8]}-1.tmp"
    assert late.is_dir(), "a start that comes late finds that it may not"
    farm.jobs.resume(never)
    assert farm.wait(never, RunState.FINISHED).elsewhere == "gpu4"


def test_what_was_pruned_there_goes_here_too(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", '{"seconds": 0.5}')
    run = farm.send("ssh", steps=400)
    farm.wait(run, RunState.RUNNING)
    here, there = farm.folder(run), farm.there(run)
    for step in (1, 2, 3):
        (there.checkpoints / f"step-{step:08d}").mkdir(parents=True)
        (there.checkpoints / f"step-{step:08d}" / "state.json").write_text("{}")
    farm.jobs.fetch(run)
    shutil.rmtree(there.checkpoints / "step-00000001")
    (here.path / "rollouts").mkdir()
    (here.path / "rollouts" / "00000000.msgpack").touch()
    farm.jobs.fetch(run)
    assert [path.name for path in sorted(here.checkpoints.glob("step-*"))] == ["step-00000002", "step-00000003"]
    assert (here.path / "rollouts" / "00000000.msgpack").exists(), "where nothing is there, nothing is taken away"
    farm.jobs.cancel(run)
    assert farm.wait(run, *DONE).state is RunState.CANCELLED


def test_stop_ends_the_job_and_no_other_process_of_its_number(tmp_path: Path) -> None:
    for name in ("other", "run"):
        process = subprocess.Popen(["sh", "-c", "sleep 600; true", str(tmp_path / name)], start_new_session=True)
        script = templates.fill(SHIPPED["ssh"].stop, {"job": str(process.pid), "run_dir": str(tmp_path / "run")})
        try:
            subprocess.run(["sh", "-s"], input=script, text=True, check=True)
            if name == "run":
                assert process.wait(60) == -signal.SIGKILL
            else:
                assert process.poll() is None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_another_studio_takes_up_a_run_that_goes_on_elsewhere(farm: Farm) -> None:
    run = farm.send("ssh", steps=200)
    farm.wait(run, RunState.RUNNING)
    farm.jobs.stop()
    farm.jobs.start()  # as another would
    assert farm.wait(run, *DONE).state is RunState.FINISHED


# -- templates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_shipped_templates_are_in_order(name: str) -> None:
    assert templates.check(SHIPPED[name]) == ()
    assert bool(templates.speaks_to(SHIPPED[name])) == ("{host}" in SHIPPED[name].shell)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": ""}, "start is empty"),
        ({"start": "nohup {wroker} {worker} &"}, "start has {wroker}, which it does not know; it knows {host}"),
        ({"start": "nohup python -m trainer {run_dir} &"}, "start does not say {worker}"),
        ({"fetch": ""}, "both there or both empty"),
        ({"send": "sshpass -p x PASSWORD=hunter2 rsync {source} {target}"}, "seems to hold a password"),
        ({"start": "export HF_TOKEN=hf_abcdefghijklmnopqrst; {worker} &"}, "seems to hold a password"),
        ({"python": "python3; rm -rf ~"}, "may hold letters"),
        ({"folder": "a b"}, "may hold letters"),
        ({"every": 0.1}, "once a second"),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_the_reason(change: dict[str, object], said: str) -> None:
    assert any(said in problem for problem in templates.check(replace(SHIPPED["ssh"], **change)))


def test_a_host_that_is_an_option_and_more_machines_than_a_template_knows_are_refused() -> None:
    settings = Settings()
    with pytest.raises(RunError, match="is no name of a machine"):
        templates.find(settings, Launch(template="ssh", host="-oProxyCommand=x"))
    with pytest.raises(RunError, match="name the host"):
        templates.find(settings, Launch(template="ssh"))
    with pytest.raises(RunError, match="it starts on one machine"):
        templates.find(settings, Launch(template="ssh", host="gpu4", machines=2))
    assert templates.find(settings, Launch(template="slurm", host="login", machines=2)).host == "login"
    with pytest.raises(RunError, match="there is no launch template 'pbs'; there are: ssh, slurm"):
        templates.find(settings, Launch(template="pbs"))


def test_placeholders_are_quoted_once_and_a_shells_own_are_left() -> None:
    text = templates.fill("cd {run_dir}; echo ${HOME} {other} $(id -u)", {"run_dir": "/a b/it's"})
    assert text == "cd '/a b/it'\"'\"'s'; echo ${HOME} {other} $(id -u)"


def test_the_workers_command_of_several_machines_meets_at_the_first(tmp_path: Path) -> None:
    how = Launch(processes=4, machines=2, share=Share.SPREAD)
    command = remote.worker_command(how, "python3", "/code", "/runs/a")
    assert command.startswith("env PYTHONPATH=/code PYTHONUNBUFFERED=1 python3 -m accelerate.commands.launch")
    assert "--config_file /runs/a/accelerate.json --machine_rank ${MACHINE_RANK:-0}" in command
    assert command.endswith("-m trainer /runs/a")
    assert modules(Launch(), "/runs/a") == ["-m", "trainer", "/runs/a"]


def test_slurm_tells_each_machine_its_rank_and_where_all_meet(farm: Farm, tmp_path: Path) -> None:
    worker = "echo rank ${MACHINE_RANK:-0} meets at ${MAIN_IP:-nowhere} ${MAIN_PORT:-nowhere}"
    values = {"gpus": "0", "name": "two", "machines": "2", "run_dir": str(tmp_path), "worker": worker}
    script = templates.fill(SHIPPED["slurm"].start, values)
    said = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1000"
    log = tmp_path / "worker.log"
    until(lambda: log.read_text().count("\n") == 2, "both machines")
    assert sorted(log.read_text().splitlines()) == [
        "rank 0 meets at 127.0.0.1 21000",
        "rank 1 meets at 127.0.0.1 21000",
    ]


def test_a_run_here_is_as_before(house: House) -> None:
    run = house.order(steps=2)
    view: RunView = house.wait(run, RunState.FINISHED)
    assert (view.scheduler, view.elsewhere) == ("", "")
    assert kept(house.folder(run).path) == Launch()
