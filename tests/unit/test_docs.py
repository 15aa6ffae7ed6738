"""What README and docs say of commands, settings, keys, files and pictures, held against the program."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from PySide6.QtGui import QKeySequence

from bench.__main__ import ORDER
from studio import cli
from studio.ui.actions import ACTIONS, Page
from trainer.contract.spec import RECIPES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PICTURES = ROOT / "docs" / "pictures"
NUMBERS = {"TRACE": "1", "TEST": "1", "K": "2", "N": "3", "D": "0.5", "DAYS": "7", "P": "0.5"}
"""Values of the right kind for the names that stand for numbers."""
STRANGE = {"synchronous"}
"""Settings of others."""


def fenced(text: str) -> Iterator[str]:
    """The commands of the fenced blocks for a shell, one each, without their remarks."""
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                yield from (part for part in line.split("; ") if part.strip())


def within(text: str) -> Iterator[str]:
    """What stands between back quotes outside of blocks, and what is indented as a block."""
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", rest)
    yield from re.findall(r"^    (\S.*)$", rest, re.MULTILINE)


def commands(page: Path, program: str) -> list[list[str]]:
    """Every command of a program that the page shows, in words, without what it only hints at."""
    found = []
    text = page.read_text("utf-8")
    for line in [*fenced(text), *within(text)]:
        with contextlib.suppress(ValueError):  # an apostrophe in prose that was indented
            words = shlex.split(line, comments=True)
            if words[:1] == [program]:
                ends = words.index("|") if "|" in words else len(words)
                found.append([word.strip("[]") for word in words[:ends] if word != "..."])
    return found


@cache
def verbs() -> dict[str, argparse.ArgumentParser]:
    """The parsers of all verbs of `steplens`."""
    parser = cli.parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def everything(program: str) -> list[object]:
    return [
        pytest.param(words, id=f"{named(page)}: {' '.join(words)}")
        for page in PAGES
        for words in commands(page, program)
    ]


@pytest.mark.parametrize("words", everything("steplens"))
def test_a_shown_command_is_known(words: list[str]) -> None:
    if len(words) == 1 or words[1] == "RECIPE":
        return
    verb = verbs()[words[1]]
    known = {option for action in verb._actions for option in action.option_strings}
    assert {word for word in words[2:] if word.startswith("--")} <= known
    given = [NUMBERS.get(word, word.split("|")[0]) for word in words]
    if "--workspace" in known and "--workspace" not in words:
        given += ["--workspace", "DIR"]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            args = cli.parser().parse_args(given[1:])
    except SystemExit:  # a command named in a sentence may leave out what stands there in words
        assert re.search(r"required: ", told.getvalue()), told.getvalue()
        return
    if args.verb == "run" and args.recipe in RECIPES:
        fields = {field.name for field in dataclasses.fields(RECIPES[args.recipe])}
        assert {setting.partition("=")[0] for setting in args.settings} <= fields


def test_there_are_commands_to_check() -> None:
    shown = [words[1] for page in PAGES for words in commands(page, "steplens") if len(words) > 1]
    assert len(shown) > 40
    assert set(verbs()) - set(shown) == {"ingest"}, "a verb that no page shows"


@pytest.mark.parametrize("words", everything("steplens-trainer"))
def test_a_shown_command_of_the_worker_is_known(words: list[str]) -> None:
    source = (ROOT / "trainer" / "__main__.py").read_text()
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert all(f'"{option}"' in source for option in options)
    assert words[1] in ("serve", "serve-policy", "RUN_DIR")


def test_shown_measurements_exist() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for names in re.findall(r'make bench ARGS="?([\w ]+)"?', text):
            for name in names.split():
                assert name in ORDER, f"{named(page)}: make bench ARGS={name}"
        for name, rest in re.findall(r"python -m (?:bench\.)(\w+)([^`\n]*)", text):
            source = (ROOT / "bench" / f"{name}.py").read_text()
            for option in re.findall(r"--[\w-]+", rest):
                assert f'"{option}"' in source, f"{named(page)}: bench.{name} {option}"
            bare = re.findall(r"--(?:smollm|workdir|keep|out|picture)(?= --|\s*$)", rest)
            assert not bare, f"{named(page)}: bench.{name} needs a value for {bare}"
    assert not [name for name in ORDER if not (ROOT / "bench" / f"{name}.py").exists()]


def test_options_named_in_sentences_exist() -> None:
    known = {option for verb in verbs().values() for action in verb._actions for option in action.option_strings}
    for page in PAGES:
        for words in within(page.read_text("utf-8")):
            if words.startswith("--"):
                assert words.split()[0] in known, f"{named(page)}: {words}"


def test_settings_named_in_sentences_exist() -> None:
    known = {field.name for spec in RECIPES.values() for field in dataclasses.fields(spec)}
    found = 0
    for page in PAGES:
        if page.name == "grading.md":  # full of equations
            continue
        for words in within(page.read_text("utf-8")):
            setting = re.fullmatch(r"([a-z_]+)=[^=<]*", words)
            if setting and setting[1] not in STRANGE:
                found += 1
                assert setting[1] in known, f"{named(page)}: {words}"
    assert found > 5


def tracked() -> list[str]:
    """The files of the repository, or those that lie there where git is missing."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split("\0")[:-1]
    except (OSError, subprocess.CalledProcessError):
        return [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and ".venv" not in p.parts]


def test_named_files_exist() -> None:
    rooms = "studio|trainer|tests|bench|docs|packaging|resources|changelog.d"
    for page in PAGES:
        text = page.read_text("utf-8")
        for path in re.findall(rf"(?<![\w./{{-])((?:{rooms})/[\w./-]+\.(?:py|md|jsonl|png|svg|toml|sh))", text):
            assert (ROOT / path).exists(), f"{named(page)}: {path}"
        for path in re.findall(rf"`((?:{rooms})/[\w/]+)`", text):
            assert (ROOT / path).exists(), f"{named(page)}: {path}"
        for name in re.findall(r"trainer(?:\.\w+)+", text):
            path = ROOT / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists() or (path.parent.with_suffix(".py")).exists(), name


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they are linked to."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_links_lead_somewhere_and_every_picture_is_shown() -> None:
    shown = set()
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            if link.startswith(("http:", "https:")):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{named(page)}: {link}"
            if anchor:
                assert anchor in anchors(target), f"{named(page)}: {link}"
            shown.add(target)
    assert {p for p in PICTURES.iterdir() if p not in shown} == set()


def test_the_file_map_is_whole() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    lines = text.partition("## File map\n\n```\n")[2].partition("\n```")[0].splitlines()
    rooms, inside = {}, ""
    for line in lines:
        # a name ends where its remark begins, two spaces further on or at the next name that is no path
        names = re.findall(r"[\w.]+(?:/|\.py)", re.split(r" {2,}(?=\S)", line.strip(), maxsplit=1)[0])
        if not line.startswith(" "):
            inside = names[0]
            rooms[inside] = set(names[1:])
        elif line.startswith("  ") and not line.startswith("   "):
            rooms[inside] |= set(names)
    files = tracked()
    folders = {file.split("/")[0] + "/" for file in files if "/" in file}
    assert set(rooms) == folders - {".ci/", "changelog.d/"}
    for room, named_there in rooms.items():
        for name in named_there:
            assert (ROOT / room / name).exists() or list((ROOT / room).glob(f"*/{name}")), f"{room}{name}"
    for room in ("studio/", "trainer/"):
        there = {file.split("/")[1] + "/" for file in files if file.startswith(room) and file.count("/") > 1}
        missing = {name for name in there if not re.search(rf"(?<![\w/]){re.escape(name)}", "\n".join(lines))}
        assert not missing, f"the file map does not tell of {missing} in {room}"


BOUND = {QKeySequence(key).toString() for action in ACTIONS for key in action.keys}
FIXED = {"Ctrl+C"}
"""Keys that no table holds: of a terminal."""


def test_named_keys_are_bound() -> None:
    found = 0
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for key in re.findall(r"\b((?:Ctrl|Shift|Alt)\+(?:(?:Shift|Alt)\+)?\w+)", prose):
            found += 1
            assert QKeySequence(key).toString() in BOUND | FIXED, f"{named(page)}: {key}"
    assert found > 15


def test_keys_named_on_a_page_are_bound_there() -> None:
    told = {
        Page.INSPECT: r"(?:Key|key) ([A-Z])\b|\b([A-Z]) (?:on|within) Inspect\b|On Inspect, ([A-Z])\b",
        Page.LABEL: r"\b([A-Z]) on Label\b",
    }
    pages = [ROOT / "README.md", ROOT / "docs" / "inspect.md", ROOT / "docs" / "reason.md"]
    found = 0
    for page, pattern in told.items():
        keys = {key for action in ACTIONS if action.page in (page, Page.ANY) for key in action.keys}
        for doc in pages:
            for groups in re.findall(pattern, doc.read_text("utf-8")):
                key = "".join(groups)
                found += 1
                assert key in keys, f"{named(doc)}: {key} on {page.value}"
    assert found > 6


def test_the_recipes_are_all_listed() -> None:
    text = (ROOT / "README.md").read_text("utf-8").partition("## The recipes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(RECIPES)


def test_nothing_names_the_machine_it_was_made_on() -> None:
    """No path of a home or work folder and no private package index, in any file."""
    strange = re.compile(
        rb"/work/(?:main|shared|scratch)|/home/\w+/|/Users/\w+/|PIP_INDEX_URL|index-url", re.IGNORECASE
    )
    told = []
    for name in tracked():
        path = ROOT / name
        if path.suffix in (".png", ".safetensors", ".zst", ".ttf", ".eval") or path == Path(__file__):
            continue
        if path.is_file() and not name.startswith("tests/fixtures/") and strange.search(path.read_bytes()):
            told.append(name)
    assert told == []
