"""A user's own reward or verifier, FILE.py:function: read without running it, agreed to by its sha256, then copied."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from studio.errors import RunError
from studio.jobs.values import RunOrder
from trainer.contract.spec import CodeRef, SpecError, code_of, is_code
from trainer.reasoning.grader import GradeForm

ROLES = ("reward", "verifier")  # settings that may name a file; also the roles in the run folder
FORMS = ", ".join(GradeForm)


@dataclass(frozen=True, slots=True)
class UserCode:
    """A file as it was read: what would run is exactly `text`."""

    role: str
    path: Path
    function: str
    sha256: str
    text: str

    @property
    def copy(self) -> str:
        """Where it lies in the run folder."""
        return f"code/{self.role}.py"

    def reference(self) -> CodeRef:
        """How the run's spec names the copy that its user agreed to."""
        return CodeRef(role=self.role, path=self.copy, function=self.function, sha256=self.sha256, consented=True)


def codes_of(order: RunOrder) -> tuple[UserCode, ...]:
    """The user's files that an order names, as they are now. Raises RunError with what is wrong and what to do."""
    given = ((role, str(order.parameters.get(role, "")).strip()) for role in ROLES)
    return tuple(_read(role, name) for role, name in given if is_code(name))


def objections(order: RunOrder) -> tuple[str, ...]:
    """Why what an order says of rewards and verifiers cannot be; empty when it can."""
    found = []
    own = " or FILE.py:function" if order.recipe == "rl" else ""
    verifier, reward = str(order.parameters.get("verifier", "")), str(order.parameters.get("reward", ""))
    if "verifier" in order.parameters and not is_code(verifier) and verifier not in set(GradeForm):
        found.append(f"verifier = {verifier!r}: say {FORMS}{own}")
    if is_code(verifier) and order.recipe != "rl":
        found.append(f"{order.recipe} has no verifier of your own; say {FORMS}")
    if reward.strip() and not is_code(reward):
        found.append(f"reward = {reward!r} is not FILE.py:function")
    try:
        codes_of(order)
    except RunError as error:
        found.append(str(error))
    return tuple(found)


def agreed(order: RunOrder) -> tuple[UserCode, ...]:
    """The files of an order, each agreed to by the checksum it has now. Raises RunError for one that is not."""
    codes = codes_of(order)
    for code in codes:
        if code.sha256 not in order.consents:
            raise RunError(
                f"the {code.role} is your own code, {code.path} (sha256 {code.sha256[:12]}), and you have not agreed "
                "that it runs as it stands; read it, then say --trust-code, or agree in the form"
            )
    return codes


def copy_into(folder: Path, codes: Iterable[UserCode]) -> None:
    """Write what was read, not what may lie there by now, into a run folder."""
    for code in codes:
        target = folder / code.copy
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(code.text.encode())


def functions_in(path: Path) -> tuple[str, ...]:
    """What a Python file defines or names, in its order, without running it. Raises RunError."""
    try:
        return tuple(_bound(ast.parse(path.read_bytes())))
    except (OSError, ValueError, SyntaxError) as error:
        raise RunError(f"{path}: {error}") from error


def _read(role: str, given: str) -> UserCode:
    try:
        path, function = code_of(given)
        path = path.resolve()
        data = path.read_bytes()
        text = data.decode("utf-8")
        names = set(_bound(ast.parse(text)))
    except (SpecError, OSError, ValueError, SyntaxError) as error:
        raise RunError(f"{role} = {given}: {error}") from error
    if function not in names:
        have = ", ".join(sorted(name for name in names if not name.startswith("_"))) or "none"
        raise RunError(f"{role} = {given}: {path} has no function {function!r}; it has: {have}")
    return UserCode(role, path, function, hashlib.sha256(data).hexdigest(), text)


def _bound(module: ast.Module) -> Iterable[str]:
    """Names that the module's own lines bind, without running them."""
    for node in module.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (each.id for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
