"""Typed preferences of one user: one TOML file in the user's configuration folder."""

from __future__ import annotations

import logging
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

log = logging.getLogger(__name__)
RECENT = 12


class Theme(StrEnum):
    """How the window is coloured."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"
    HIGH_CONTRAST = "high contrast"


class FormulaSizes(msgspec.Struct, frozen=True):
    """How large formulas are drawn, in quarters of a device pixel an em; as on an unscaled screen of 96 dpi."""

    step: int = 67
    problem: int = 67
    title: int = 58


class LaunchTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """Texts that run a run folder elsewhere; what may stand in braces is in `studio.jobs.templates`.

    `shell` is run here and runs a script, given on its standard input, there; so are `start` (whose last line names
    the job), `state` and `stop`. `send` and `fetch` are run here; both empty: both sides see one disk.
    `queues`: a scheduler there keeps the order, so any number of runs is handed over. `every` is in seconds.
    """

    about: str = ""
    host: str = ""
    folder: str = "steplens"
    python: str = "python3"
    queues: bool = False
    every: float = 10.0
    shell: str = ""
    send: str = ""
    fetch: str = ""
    start: str = ""
    state: str = ""
    stop: str = ""


class Settings(msgspec.Struct, kw_only=True):
    """What a user prefers. Change by `update`, which writes the file at once."""

    annotator_uid: str = ""
    annotator_name: str = ""
    theme: Theme = Theme.SYSTEM
    scale: float = 1.0
    last_workspace: str = ""
    last_project: int = 0
    last_page: str = ""
    interpreter: str = ""  # Python that has the training packages; empty = the studio's own
    shortcuts: dict[str, list[str]] = {}  # action id -> key sequences that replace the built-in ones
    recent: list[str] = []  # workspaces and files, newest first
    launch_templates: dict[str, LaunchTemplate] = {}  # by name; these replace the shipped ones of the same name
    formula_sizes: FormulaSizes = FormulaSizes()  # of the window that was last open
    steps_by: str = ""  # of imports: how traces without steps are cut, "ideas" or "lines"; empty: by idea
    traces_as: str = ""  # of Inspect: "tree", "list"; empty: a tree where there are logs
    never_again: bool = True  # whether every policy made here is run on the regression tests
    otlp_receiver: bool = False  # whether the window takes spans on 127.0.0.1
    otlp_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 4318
    window: str = ""  # Qt's geometry and state, base64

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """The user's settings; defaults when there are none. A broken file is moved aside, and the log says so."""
        path = path or settings_path()
        try:
            return msgspec.convert(tomllib.loads(path.read_text("utf-8")), cls)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, not TOML, a value of a wrong type
            log.warning("%s: %s; it is kept as %s.broken, and defaults are used", path, error, path.name)
            path.replace(path.with_name(f"{path.name}.broken"))
            return cls()

    def save(self, path: Path | None = None) -> None:
        """Write the file in one piece; keys of other versions of this program are kept."""
        import tomli_w  # here, as starting only reads

        from trainer.contract.run_folder import write_atomic

        path = path or settings_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, tomli_w.dumps(_document(path) | msgspec.to_builtins(self)).encode())

    def update(self, path: Path | None = None, **changes: Any) -> None:  # noqa: ANN401 - checked against the fields
        """Set fields and save. Raises msgspec.ValidationError (a ValueError) for an unknown field or a wrong type."""
        unknown = sorted(set(changes) - set(self.__struct_fields__))
        if unknown:
            raise msgspec.ValidationError(f"no setting {', '.join(unknown)}; there are: {self.__struct_fields__}")
        checked = msgspec.convert(msgspec.to_builtins(self) | msgspec.to_builtins(changes), Settings)
        for name in changes:
            setattr(self, name, getattr(checked, name))
        self.save(path)

    def remember(self, opened: Path | str, path: Path | None = None) -> None:
        """Put a workspace or file first in the recent list."""
        name = str(opened)
        self.update(path, recent=[name, *(other for other in self.recent if other != name)][:RECENT])


def settings_path() -> Path:
    """Where this user's settings lie."""
    import platformdirs

    return Path(platformdirs.user_config_dir("steplens", appauthor=False)) / "settings.toml"


def default_workspace() -> Path:
    """Where the first workspace is made: the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("steplens", appauthor=False)) / "workspace"


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # absent, or `load` has already said that it is broken
        return {}
