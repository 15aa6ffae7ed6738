"""A reward or verifier that the user wrote: FILE.py:function, copied into the run folder and hashed in the spec.

It is imported in the worker alone, and only if the spec says that the user consented to running this very file.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trainer.contract.run_folder import RunFolderError, sha256_of
from trainer.contract.spec import CodeRef, RunSpec


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's function is given of one trace."""

    problem: str
    reference: str | None
    text: str
    thinking: str
    answer: str | None
    steps: tuple[str, ...]
    scores: tuple[float, ...]


UserFunction = Callable[[Judgement], float]
UserSteps = Callable[[str, tuple[str, ...]], Sequence[float]]


def load_function(folder: Path, spec: RunSpec, role: str) -> UserFunction:
    """The user's function of this role ("reward" or "verifier"), checked on every call. Raises RunFolderError."""
    path, code = _agreed(folder, spec, role)
    function = _function(path, code)
    return lambda judgement: _finite(function, judgement, path, code)


def load_step_scorer(folder: Path, spec: RunSpec, role: str) -> UserSteps:
    """The user's function(problem, steps) -> scores in [0, 1], checked on every call. Raises RunFolderError."""
    path, code = _agreed(folder, spec, role)
    function = _function(path, code)
    return lambda problem, steps: _scores(function, problem, steps, path, code)


def _agreed(folder: Path, spec: RunSpec, role: str) -> tuple[Path, CodeRef]:
    """The file of a role, which the user agreed to run and which has not changed. Raises RunFolderError."""
    code = next((ref for ref in spec.code if ref.role == role), None)
    if code is None:
        raise RunFolderError(f"{folder / 'spec.json'} names no code for the {role}; create the run again")
    path = folder / code.path
    if not code.consented:
        raise RunFolderError(
            f"{path}: you have not agreed that this file may run here; create the run again and agree to it"
        )
    if not path.is_file():
        raise RunFolderError(f"{path} is missing; create the run again")
    if (found := sha256_of(path)) != code.sha256:
        raise RunFolderError(f"{path}: sha256 {found[:12]} is not {code.sha256[:12]} of the spec; the file has changed")
    return path, code


def _function(path: Path, code: CodeRef) -> Callable[..., Any]:
    name = f"steplens_user_{code.role}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None, "a .py file has a loader"
    assert found.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise RunFolderError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, code.function, None)
    if not callable(function):
        have = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise RunFolderError(f"{path} has no function {code.function!r}; it has: {', '.join(have) or 'none'}")
    return function


def _finite(function: Callable[..., Any], judgement: Judgement, path: Path, code: CodeRef) -> float:
    """One call. Raises RunFolderError when it fails or returns no finite number."""
    try:
        value = float(function(judgement))
    except Exception as error:
        raise RunFolderError(
            f"{path}: {code.function} failed on {judgement.problem[:60]!r}: {type(error).__name__}: {error}"
        ) from error
    if value - value != 0:
        raise RunFolderError(f"{path}: {code.function} returned {value} on {judgement.problem[:60]!r}; return a number")
    return value


def _scores(
    function: Callable[..., Any], problem: str, steps: tuple[str, ...], path: Path, code: CodeRef
) -> tuple[float, ...]:
    """One call. Raises RunFolderError when it fails or does not score every step."""
    try:
        values = tuple(float(value) for value in function(problem, steps))
    except Exception as error:
        raise RunFolderError(
            f"{path}: {code.function} failed on {problem[:60]!r}: {type(error).__name__}: {error}"
        ) from error
    if len(values) != len(steps) or not all(0 <= value <= 1 for value in values):
        raise RunFolderError(f"{path}: {code.function} returned {values} for {len(steps)} steps; score each in [0, 1]")
    return values
