"""The house style, counted: file and function length, docstrings, words, the walls between the packages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for room in ("studio", "trainer") for p in (ROOT / room).rglob("*.py"))
LONGEST_FILE = 450  # "about 400"
LONGEST_FUNCTION = 50  # "about 40"
MAIN_WINDOW = 300
GENERATED = {"0001_first.py"}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_there_is_something_to_count():
    assert len(SOURCES) > 40


def test_files_are_short():
    lengths = {p.relative_to(ROOT): len(p.read_text().splitlines()) for p in SOURCES if p.name not in GENERATED}
    worst = {str(p): n for p, n in lengths.items() if n > LONGEST_FILE}
    assert not worst, f"files over {LONGEST_FILE} lines: {worst}"
    window = ROOT / "studio" / "ui" / "main_window.py"
    assert len(window.read_text().splitlines()) <= MAIN_WINDOW


def test_functions_are_short():
    worst = {}
    for path in SOURCES:
        if path.name in GENERATED:
            continue
        for function in functions(ast.parse(path.read_text())):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > LONGEST_FUNCTION:
                worst[f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"] = length
    assert not worst, f"functions over {LONGEST_FUNCTION} lines: {worst}"


def test_modules_and_public_classes_say_what_they_are():
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        if ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(ROOT)))
        silent += [
            f"{path.relative_to(ROOT)} {node.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and ast.get_docstring(node) is None
        ]
    assert not silent, f"no docstring: {silent}"


def test_no_silent_except():
    silent = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
            )
            if broad and all(isinstance(statement, ast.Pass) for statement in node.body):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not silent, f"errors swallowed at {silent}"


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("studio", {"torch", "transformers", "accelerate", "sklearn", "peft"}),
        ("trainer", {"PySide6", "sqlalchemy", "alembic", "pyqtgraph", "studio"}),
    ],
)
def test_the_wall_between_studio_and_trainer(room: str, forbidden: set[str]):
    crossings = []
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            crossings += [f"{path.relative_to(ROOT)}:{node.lineno} {n}" for n in names if n.split(".")[0] in forbidden]
    assert not crossings, f"imports across the wall: {crossings}"


def test_the_studio_knows_only_contract_and_reasoning():
    strangers = []
    for path in (ROOT / "studio").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trainer"):
                room = ".".join(node.module.split(".")[:2])
                if room not in {"trainer.contract", "trainer.reasoning"}:
                    strangers.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.module}")
    assert not strangers, f"the studio looks into other rooms: {strangers}"
