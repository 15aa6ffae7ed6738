"""Which resident run fits a question: the same recipe, models, settings and device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from studio.jobs import prepare, roles
from studio.jobs.follower import Follower
from studio.jobs.values import RunOrder
from studio.store import models, runs
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract.run_folder import Control, RunFolder, host_name, sha256_of, sha256_of_folder
from trainer.contract.spec import Value

_UID = re.compile("[0-9a-f]{32}")
_Looks = tuple[tuple[str, int, int], ...]
_Key = tuple[tuple[object, ...], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A resident run that a request needs; `models` are names, uids or paths by role."""

    recipe: str
    models: dict[str, str]
    settings: dict[str, Value]
    device: str

    def order(self, name: str = "") -> RunOrder:
        """As a run is ordered."""
        return RunOrder(self.recipe, {**self.settings, **self.models, "resident": True}, name=name, device=self.device)


class Standing:
    """Finds resident runs. The one that answered the like a moment ago is found without the database."""

    def __init__(self, workspace: Workspace, follower: Follower) -> None:
        self._workspace, self._follower = workspace, follower
        self._before: dict[_Key, int] = {}
        self._checksums: dict[_Looks, str] = {}

    def find(self, wanted: Wanted) -> StoredRun | None:
        """A run that answers, or can be woken to answer. Raises SpecError."""
        return self._same_as_before(wanted) or self._stored(wanted)

    def remember(self, wanted: Wanted, run: StoredRun) -> None:
        """This run answers the like."""
        key = _key(wanted)
        if key is not None:
            self._before[key] = run.id

    def name_for(self, wanted: Wanted) -> str:
        """What a new run for these models is called."""
        with self._workspace.database.read() as c:
            known = [(models.find(c, given), given) for given in wanted.models.values() if given]
        names = [given.rstrip("/").rpartition("/")[2] if model is None else model.name for model, given in known]
        return f"{', '.join(names) or wanted.recipe} · on request"

    def _same_as_before(self, wanted: Wanted) -> StoredRun | None:
        """While it lives and nobody has asked it to stop."""
        key = _key(wanted)
        known = None if key is None else self._before.get(key)
        run = next((each for each in self._follower.stored() if each.id == known), None)
        if run is None or run.state is not StoredState.STARTED:
            return None
        return run if self._folder(run).asked() is None else None

    def _stored(self, wanted: Wanted) -> StoredRun | None:
        with self._workspace.database.read() as c:
            order = prepare.checked(wanted.order())
            played = {role.name: roles.named(order, role.name) for role in roles.roles_of(wanted.recipe)}
            here = {role: self._checksum(c, name) for role, name in played.items()}
            present = {role: checksum for role, checksum in here.items() if checksum}
            same = {name: order.parameters[name] for name in {*wanted.settings, *played} - set(present)}
            found = runs.residents(c, wanted.recipe, present, same, wanted.device, host_name())
        return next((run for run in found if not self._is_leaving(run)), None)

    def _is_leaving(self, run: StoredRun) -> bool:
        """Whether it is being cancelled, or was in this moment: it answers nothing any more."""
        return run.state is StoredState.STARTED and self._folder(run).asked() is Control.CANCEL

    def _folder(self, run: StoredRun) -> RunFolder:
        return RunFolder(self._workspace.path / run.folder)

    def _checksum(self, c: Connection, name: str) -> str:
        """Of a model that lies here; empty for none and for a hub id. A folder is read once while it stays as it is."""
        known = models.find(c, name) if name else None
        if known is not None or not name:
            return "" if known is None else known.checksum
        path = roles.where_is(self._workspace, c, name)
        if not path.exists():
            return ""
        looks = _looks(path)
        if looks not in self._checksums:
            self._checksums[looks] = sha256_of(path) if path.is_file() else sha256_of_folder(path)
        return self._checksums[looks]


def _key(wanted: Wanted) -> _Key | None:
    """What must be the same for the same run to fit; None where a name may come to mean another model."""
    said = (wanted.recipe, wanted.device, *sorted(wanted.models.items()), *sorted(wanted.settings.items()))
    means: list[object] = []
    for name in wanted.models.values():
        if name and not _UID.fullmatch(name) and not Path(name).is_absolute():
            return None
        means.append(_looks(Path(name)) if Path(name).is_absolute() else name)
    return said, tuple(means)


def _looks(path: Path) -> _Looks:
    """Names, sizes and times of a model's files."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)
