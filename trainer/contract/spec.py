"""spec.json, and the parsing of parameters into the dataclass of a recipe (`contract/specs`, one file a recipe)."""

from __future__ import annotations

import dataclasses
import typing
from enum import StrEnum
from pathlib import Path

import msgspec

from trainer.contract import keys
from trainer.contract.records import CONTRACT_VERSION, ModelRef
from trainer.contract.specs import eval_sets
from trainer.contract.specs.autolabel import AutolabelSpec
from trainer.contract.specs.evaluate import EvaluateSpec
from trainer.contract.specs.generate import GenerateSpec
from trainer.contract.specs.monitor import MonitorSpec
from trainer.contract.specs.orm import OrmSpec
from trainer.contract.specs.prm import AfterError, NeutralPolicy, PrmSpec, RewardSpec
from trainer.contract.specs.rl import RlSpec
from trainer.contract.specs.route import RouteSpec
from trainer.contract.specs.rubric import RubricSpec
from trainer.contract.specs.score import ScoreSpec
from trainer.contract.specs.search import SearchSpec
from trainer.contract.specs.setting import Adapt, Precision, SpecError, Value
from trainer.contract.specs.sft import PromptForm, SftSpec
from trainer.contract.utf8 import is_utf8

__all__ = [
    "RECIPES",
    "Adapt",
    "AfterError",
    "AutolabelSpec",
    "CodeRef",
    "EvaluateSpec",
    "GenerateSpec",
    "MonitorSpec",
    "NeutralPolicy",
    "OrmSpec",
    "Precision",
    "PrmSpec",
    "PromptForm",
    "RecipeSpec",
    "RlSpec",
    "RouteSpec",
    "RubricSpec",
    "RunSpec",
    "ScoreSpec",
    "SearchSpec",
    "SftSpec",
    "SpecError",
    "Value",
    "build",
    "code_of",
    "is_code",
    "parameters",
]

RecipeSpec = (
    PrmSpec
    | OrmSpec
    | ScoreSpec
    | SftSpec
    | RlSpec
    | AutolabelSpec
    | MonitorSpec
    | RubricSpec
    | GenerateSpec
    | SearchSpec
    | EvaluateSpec
    | RouteSpec
)
RECIPES: dict[str, type[RecipeSpec]] = {
    "prm": PrmSpec,
    "orm": OrmSpec,
    "score": ScoreSpec,
    "sft": SftSpec,
    "rl": RlSpec,
    "autolabel": AutolabelSpec,
    "monitor": MonitorSpec,
    "generate": GenerateSpec,
    "search": SearchSpec,
    "evaluate": EvaluateSpec,
    "route": RouteSpec,
    "rubric": RubricSpec,
}


class CodeRef(msgspec.Struct, frozen=True, kw_only=True):
    """A user's own function: its role, the copy in the run folder, and whether the user agreed to run that copy."""

    role: str
    path: str
    function: str
    sha256: str
    consented: bool = False


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """spec.json: the frozen job. `parameters` are those of the recipe's dataclass, every one of them.

    `group` is the same for all runs of one grid, empty for a run of its own.
    """

    contract: int = CONTRACT_VERSION
    run: str
    name: str
    recipe: str
    parameters: dict[str, Value]
    device: str = "cpu"
    input_sha256: str = ""
    input_rows: int = 0
    models: tuple[ModelRef, ...] = ()
    code: tuple[CodeRef, ...] = ()
    selection: dict[str, typing.Any] = {}
    left_out: dict[str, int] = {}
    group: str = ""
    created_at: str = ""

    def typed(self) -> RecipeSpec:
        """The parameters as the recipe's dataclass. Raises SpecError."""
        return build(self.recipe, dict(self.parameters))


def build(recipe: str, given: dict[str, typing.Any]) -> RecipeSpec:
    """Parse and check parameters (strings from a command line are converted). Raises SpecError."""
    if recipe not in RECIPES:
        raise SpecError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    cls = RECIPES[recipe]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise SpecError(f"{recipe} has no parameter {', '.join(unknown)}; it has: {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    values: dict[str, typing.Any] = {
        name: _convert(recipe, fields[name], hints[name], raw) for name, raw in given.items()
    }
    return cls(**values)


def is_code(given: str) -> bool:
    """Whether a setting names a user's function, FILE.py:function, rather than something built in."""
    return ".py:" in given


def code_of(given: str) -> tuple[Path, str]:
    """File and function of "FILE.py:function". Raises SpecError."""
    name, colon, function = given.rpartition(":")
    if not colon or not name.endswith(".py") or not function.isidentifier():
        raise SpecError(f"{given!r} is not FILE.py:function")
    return Path(name).expanduser(), function


def parameters(spec: RecipeSpec | RewardSpec) -> dict[str, Value]:
    """Every parameter of a recipe's dataclass, plain, as RunSpec keeps them."""
    return {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}


def _convert(recipe: str, f: dataclasses.Field[typing.Any], kind: type, raw: object) -> Value:
    where = f"{recipe}.{f.name}"
    if isinstance(raw, str) and not is_utf8(raw):
        raise SpecError(f"{where} = {raw!r} holds bytes that are no UTF-8; write it in UTF-8")
    try:
        value: Value = msgspec.convert(raw, kind, strict=False)
        if f.name == "eval_sets":
            eval_sets.parse(str(value))
    except msgspec.ValidationError as error:
        allowed = [m.value for m in kind] if issubclass(kind, StrEnum) else kind.__name__
        raise SpecError(f"{where} = {raw!r} is not valid ({error}); allowed: {allowed}") from None
    if f.name.endswith(keys.ENDING) and value and not keys.is_name(str(value)):
        raise SpecError(f"{where} is no name of a key; store the key with `steplens key set NAME` and give that name")
    if (f.name.endswith("_url") or f.name == "server") and not keys.is_bare_address(str(value)):
        raise SpecError(
            f"{where} holds a name, a password or a query beside the address, and would be stored; give the bare "
            "address, and a key by its name (`steplens key set NAME`)"
        )
    low, high = f.metadata["low"], f.metadata["high"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value:
            raise SpecError(f"{where} is not a number")
        if (low is not None and value < low) or (high is not None and value > high):
            raise SpecError(f"{where} = {value} is outside {low} to {high}")
    return value
