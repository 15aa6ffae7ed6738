"""Which models a recipe uses, by role, and which kinds of models can play it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from studio.errors import RunError
from studio.jobs.values import RunOrder
from studio.store import models
from studio.workspace import Workspace
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import checksum_of
from trainer.contract.spec import RECIPES
from trainer.contract.specs.autolabel import LabelMethod
from trainer.contract.specs.generate import DifficultyBy
from trainer.contract.specs.route import RouteTask
from trainer.contract.specs.search import Strategy

TINY = "tiny"
JUDGE = "judge"
CLASSIFIER = "classifier"
REASONING = "reasoning"
MODEL, PRM = "model", "prm"  # fields of a recipe's dataclass that name a model; also the roles in the run folder
POLICIES = ("sft", "rl")
KIND_NAMES = {"prm": "a PRM", "orm": "an outcome reward model", "sft": "a policy", "rl": "a policy"}
KIND_NAMES |= {"monitor": "a monitor"}
KIND_NAMES |= {"route": "a router"}
_BY_FILE = {"monitor.json": "monitor", "router.json": "route"}  # what lies in a folder without a config.json
_STEP_HEADS = ("TokenClassification", "ForProcessRewardModel")


@dataclass(frozen=True, slots=True)
class Role:
    """A model that a recipe uses, and what can play it."""

    name: str
    wanted: str  # what to choose, for a person
    kinds: tuple[str, ...]  # of models made here, or of folders that say what they are
    scratch: bool = False  # "tiny" can, made from scratch
    hub: bool = True  # a hub id can
    required: bool = True


_BODY = "a model to begin with"
_ROLES = {
    ("prm", MODEL): Role(MODEL, _BODY, (*POLICIES, "prm", "orm"), scratch=True),
    ("orm", MODEL): Role(MODEL, _BODY, (*POLICIES, "prm", "orm"), scratch=True),
    ("sft", MODEL): Role(MODEL, _BODY, POLICIES, scratch=True),
    ("score", MODEL): Role(MODEL, "the PRM that scores", ("prm", "orm"), hub=False),
    ("rl", MODEL): Role(MODEL, "the policy to improve", POLICIES),
    ("rl", PRM): Role(PRM, "the PRM that scores steps", ("prm",), required=False),
    ("generate", MODEL): Role(MODEL, "the policy that writes", POLICIES),
    ("generate", "classifier"): Role("classifier", "who judges difficulty", ("route",), hub=False, required=False),
    ("evaluate", MODEL): Role(MODEL, "the policy that is measured", POLICIES, required=False),
    ("evaluate", PRM): Role(PRM, "the PRM that scores samples, or is measured", ("prm", "orm"), required=False),
    ("search", MODEL): Role(MODEL, "the policy that writes", POLICIES),
    ("search", PRM): Role(PRM, "the PRM that scores steps", ("prm", "orm"), required=False),
    ("generate", CLASSIFIER): Role(
        CLASSIFIER, "the router whose classifier judges difficulty", ("route",), hub=False, required=False
    ),
    ("autolabel", MODEL): Role(MODEL, "the policy that writes rollouts", POLICIES, required=False),
    ("monitor", MODEL): Role(MODEL, "the monitor that looks", ("monitor",), hub=False, required=False),
    ("monitor", JUDGE): Role(JUDGE, "the model that judges quotes", POLICIES, required=False),
    ("route", MODEL): Role(MODEL, "the fast model", POLICIES, required=False),
    ("route", REASONING): Role(REASONING, "the reasoning model", POLICIES, required=False),
    ("route", PRM): Role(PRM, "the PRM that scores the fast model", ("prm", "orm"), hub=False, required=False),
    ("route", "router"): Role("router", "the learned router", ("route",), hub=False, required=False),
    ("rubric", JUDGE): Role(JUDGE, "the model that judges quotes", POLICIES, required=False),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A model that lies on this machine: its role, where it is, under which name it is known, and its checksum."""

    role: str
    path: Path
    name: str
    checksum: str

    def reference(self) -> ModelRef:
        """How the run's spec names it."""
        suffix = "" if self.path.is_dir() else self.path.suffix
        return ModelRef(role=self.role, path=f"inputs/{self.role}{suffix}", checksum=self.checksum, name=self.name)


def roles_of(recipe: str) -> tuple[Role, ...]:
    """The models that a recipe's dataclass names, in its order."""
    names = [field.name for field in fields(RECIPES[recipe])]
    return tuple(_ROLES[recipe, name] for name in names if (recipe, name) in _ROLES)


def missing(order: RunOrder) -> tuple[str, ...]:
    """What must still be chosen, as sentences."""
    return tuple(
        f"choose {role.wanted}"
        for role in roles_of(order.recipe)
        if not named(order, role.name) and (role.required or _is_needed(order, role))
    )


def named(order: RunOrder, role: str) -> str:
    """What an order says of a role: a name, folder, hub id, or nothing."""
    return "" if _is_idle(order) else str(order.parameters.get(role, "")).strip()


def find_models(workspace: Workspace, c: Connection, order: RunOrder) -> tuple[Source, ...]:
    """The models of an order as they lie here; none for "tiny" and hub ids. Raises RunError for one that cannot be."""
    found = (find_model(workspace, c, named(order, role.name), role) for role in roles_of(order.recipe))
    return tuple(source for source in found if source is not None)


def where_is(workspace: Workspace, c: Connection, name: str) -> Path:
    """Where a model of this name or path would lie; nothing may be there."""
    known = models.find(c, name)
    return workspace.path / known.folder if known is not None else Path(name).expanduser()


def find_model(workspace: Workspace, c: Connection, name: str, role: Role) -> Source | None:
    """The model of a name or path, for a role; None for nothing, "tiny" and hub ids. Raises RunError."""
    if not name:
        return None
    if name == TINY:
        if not role.scratch:
            raise RunError(f"“tiny” is made from scratch and cannot be {role.wanted}; teach one with sft first")
        return None
    known, path = models.find(c, name), where_is(workspace, c, name)
    if not path.exists():
        if known is not None or not role.hub or path.is_absolute():
            have = ", ".join(model.name for model in models.all_models(c) if model.kind in role.kinds) or "none yet"
            kinds = " or ".join(role.kinds)
            raise RunError(
                f"there is no model {name!r} (looked at {path}); of the kind {kinds} this workspace has: {have}"
            )
        return None  # a hub id: the worker fetches it
    kind = known.kind if known is not None else kind_of_folder(path)
    _check_kind(role, name if known is None else known.name, kind)
    checksum = checksum_of(path)
    if known is not None and known.checksum != checksum:
        raise RunError(
            f"model {known.name!r} in {path} is not what its run made: its checksum has "
            "changed; put its files back, or use the folder's path to take them as another model"
        )
    return Source(role.name, path.resolve(), known.name if known is not None else path.name, checksum)


def _check_kind(role: Role, name: str, kind: str) -> None:
    if not kind or kind in role.kinds:
        return
    is_kind = KIND_NAMES.get(kind, f"of the kind {kind}")
    raise RunError(f"{name} is {is_kind}, which cannot be {role.wanted}; choose {_names(role.kinds)}")


def _names(kinds: Collection[str]) -> str:
    return " or ".join(dict.fromkeys(KIND_NAMES[kind] for kind in kinds))


def kind_of_folder(path: Path) -> str:
    """The kind of a model that lies in a folder, by its config.json; empty for one that does not say."""
    config = path / "config.json"
    if not config.is_file():
        return next((kind for file, kind in _BY_FILE.items() if (path / file).is_file()), "")
    try:
        said = msgspec.json.decode(config.read_bytes())
    except msgspec.DecodeError as error:
        raise RunError(f"{config} cannot be read: {error}; choose another folder") from error
    if not isinstance(said, dict):
        raise RunError(f"{config} holds no settings of a model; choose another folder")
    kept = said.get("steplens")
    if isinstance(kept, dict) and "judged" in kept:
        return "orm" if kept["judged"] == "outcome" else "prm"
    if isinstance(kept, dict) and "prompt" in kept:
        return "sft"
    heads = [name for name in said.get("architectures") or () if name.endswith(_STEP_HEADS)]
    return "prm" if heads else ""


def _is_idle(order: RunOrder) -> bool:
    """Whether the recipe will not use its models: labels by the rule need no policy."""
    return order.recipe == "autolabel" and not _writes_rollouts(order)


def _is_needed(order: RunOrder, role: Role) -> bool:
    """Whether the settings make a role that is not always played necessary."""
    return _writes_rollouts(order) or any(asks(order, role) for asks in (_is_led_by, _is_routed_to, _is_judged_by))


def _is_judged_by(order: RunOrder, role: Role) -> bool:
    """Whether difficulty is judged by a classifier."""
    if role.name != CLASSIFIER:
        return False
    return DifficultyBy(str(order.parameters.get("difficulty_by", DifficultyBy.HAND))) is DifficultyBy.CLASSIFIER


def _is_led_by(order: RunOrder, role: Role) -> bool:
    """Whether a search cannot go on without the PRM."""
    if order.recipe != "search" or role.name != PRM:
        return False
    return Strategy(str(order.parameters.get("strategy", Strategy.BEST_OF_N))).needs_prm


def _is_routed_to(order: RunOrder, role: Role) -> bool:
    """Whether a router needs this model because no address stands in its place."""
    given = order.parameters
    if order.recipe != "route":
        return False
    if role.name == MODEL:
        return not given.get("fast_url")
    learns = str(given.get("task", "")) == RouteTask.LEARN
    return role.name == REASONING and learns and not given.get("reasoning_url")


def _writes_rollouts(order: RunOrder) -> bool:
    if order.recipe != "autolabel":
        return False
    return LabelMethod(str(order.parameters.get("method", LabelMethod.RULE))).uses_policy
