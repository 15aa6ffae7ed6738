"""The command line as a person and as the window's child process meet it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from studio import cli
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.workspace import Workspace
from tests.unit.exchange.records import Generator, exact

TRAPS = Path(__file__).parent / "exchange" / "traps.jsonl"
HEAVY = ("torch", "transformers", "accelerate", "PySide6", "sqlalchemy", "alembic", "pyqtgraph", "ziamath", "sympy")


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studio", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_reading_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys; from studio import cli; cli.parser(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in HEAVY if f"'{name}'" in done.stdout] == []


def test_without_a_verb_the_window_opens() -> None:
    args = cli.parser().parse_args(["--workspace", "here"])
    assert (args.handler, args.workspace) == ("studio.start:window", Path("here"))


def test_ctrl_c_while_libraries_are_read_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(_name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_handler", interrupted)
    assert cli.main(["ask", "2 + 2?", "--workspace", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "steplens: cancelled\n"


@pytest.mark.parametrize(
    "words",
    [
        ("fork", "1", "--step", "1", "--model", "m", "--text", "\udcff"),
        ("never-again", "1", "--step", "1", "--name", "a\udc80"),
        ("run", "generate", "--set", "model=\udcff"),
        ("ask", "2 \udcff"),
    ],
)
def test_words_that_are_no_text_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert cli.main([*words, "--workspace", str(tmp_path / "none")]) == 1
    assert "holds bytes that are no UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_tour_that_cannot_leave_pictures_says_so_before_it_begins(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("no folder")
    assert cli.main(["tour", "--screenshots", str(tmp_path / "file" / "tour")]) == 1
    assert "name another folder with --screenshots" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "handler"),
    [
        ("import a.jsonl --workspace w", "studio.filling:import_"),
        ("export o.jsonl --workspace w --format prm800k", "studio.exchange.transfer:export"),
        ("run prm --workspace w --set epochs=1 --set seed=2 --wait", "studio.jobs.headless:run"),
        ("runs --workspace w --json", "studio.jobs.headless:runs"),
        ("traces --workspace w --json", "studio.exchange.listing:traces_"),
        ("runs --workspace w --export d --format tensorboard --run a b", "studio.jobs.headless:runs"),
        ("compare --workspace w a b --json", "studio.jobs.compare:verb"),
        ("lineage --workspace w MODEL --json", "studio.jobs.lineage:verb"),
        ("contamination --workspace w --project p --against f.jsonl", "studio.jobs.contamination:verb"),
        ("tour --screenshots s", "studio.tour.verb:tour"),
        ("ingest UID --workspace w", "studio.jobs.headless:ingest"),
    ],
)
def test_every_verb_has_a_handler(words: str, handler: str) -> None:
    assert cli.parser().parse_args(words.split()).handler == handler


def test_ingest_is_not_shown_to_people() -> None:
    verbs = cli.parser().format_help()
    assert "import" in verbs
    assert "ingest" not in verbs


def test_import_list_export(tmp_path: Path) -> None:
    workspace, out = tmp_path / "w", tmp_path / "out.jsonl"
    dry = run("import", TRAPS, "--workspace", workspace, "--dry-run")
    assert (dry.returncode, workspace.exists()) == (0, False), dry.stderr
    assert "28 would be imported into 'traps'" in dry.stdout
    done = run("import", TRAPS, "--workspace", workspace, "--project", "Traps", "--progress", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])["report"]
    assert (report["imported"], report["broken"], report["project"]) == (28, 0, "Traps")
    listed = run("traces", "--workspace", workspace, "--json", "--project", "Traps")
    rows = json.loads(listed.stdout)
    assert len(rows) == report["traces"]
    assert rows[0] | {"uid": ""} == {
        "id": 1,
        "uid": "",
        "title": "What is $1+1$?",
        "steps": 3,
        "reference": "2",
        "annotations": rows[0]["annotations"],
        "first_error": 1,
        "low_score": None,
        "project_ids": [1],
        "log": "",
        "sample": "",
        "epoch": None,
        "model": rows[0]["model"],
        "outcome": rows[0]["outcome"],
        "tokens": None,
        "ended": "",
    }
    assert len(run("traces", "--workspace", workspace).stdout.splitlines()) == len(rows)
    saved = run("export", out, "--workspace", workspace, "--format", "prm800k", "--project", "Traps")
    assert saved.returncode == 0, saved.stderr
    source = [exact(json.loads(line)) for line in TRAPS.read_bytes().splitlines()]
    assert [exact(json.loads(line)) for line in out.read_bytes().splitlines()] == source


def test_broken_rows_end_with_exit_code_1_and_a_report(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(TRAPS.read_bytes().splitlines()[0] + b"\n{broken\n")
    done = run("import", path, "--workspace", tmp_path / "w")
    assert done.returncode == 1
    assert "1 imported" in done.stdout
    assert re.search(r"rows\.jsonl:2: not JSON", done.stdout)


def test_errors_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    for words in (
        ("export", tmp_path / "o", "--workspace", tmp_path / "none", "--format", "prm800k"),
        ("import", tmp_path / "none.jsonl", "--workspace", tmp_path / "w"),
        ("traces", "--workspace", tmp_path / "none"),
    ):
        done = run(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("steplens: ")
        assert "Traceback" not in done.stderr
    assert run("import").returncode == 2


def test_sigterm_cancels_an_import_and_leaves_nothing(tmp_path: Path) -> None:
    source, workspace = tmp_path / "rows.jsonl", tmp_path / "w"
    generator = Generator(9)
    with source.open("w") as stream:
        for record in generator.records(400):
            stream.write(json.dumps(record) + "\n")
    lines = source.read_bytes()
    source.write_bytes(lines * 40)
    command = [
        sys.executable,
        "-m",
        "studio",
        "import",
        str(source),
        "--workspace",
        str(workspace),
        "--progress",
        "json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            told = json.loads(line)
            if told.get("phase") == "import" and told["done"] > 0.05 * told["total"]:
                os.kill(child.pid, signal.SIGTERM)
                break
        rest, said = child.communicate(timeout=600)
    assert child.returncode == 130, said
    assert "report" not in rest
    assert "nothing of" in said
    with Workspace.open(workspace) as opened, opened.database.read() as c:
        for table in (s.project, s.batch, s.problem, s.trace, s.annotation, s.rating, i.raw_record):
            assert c.scalar(select(func.count()).select_from(table)) == 0, table.name


def test_a_reader_that_has_read_enough_ends_a_list_without_a_word(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with Workspace.open(tmp_path / "w", create=True):
        pass
    command = [sys.executable, "-m", "studio", "runs", "--workspace", str(tmp_path / "w"), "--json"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=600)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (cli.ENOUGH_READ, "")
