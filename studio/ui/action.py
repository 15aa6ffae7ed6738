"""What a command is, and which page it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Page(StrEnum):
    """Where a command lives; ANY is everywhere."""

    ANY = ""
    LABEL = "label"
    INSPECT = "inspect"
    TRAIN = "train"
    PLAY = "play"
    EVALUATE = "evaluate"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Action:
    """One command. `keys` are portable key sequences; the first is shown on buttons and in menus.

    `physical` commands are rated by position on the keyboard: their page reads the key itself, so no shortcut is
    registered with the window and a text field never triggers them.
    """

    id: str
    text: str
    keys: tuple[str, ...] = ()
    icon: str = ""
    page: Page = Page.ANY
    menu: str = ""
    tip: str = ""
    physical: bool = False
    checkable: bool = False

    @property
    def name(self) -> str:
        """The text without its mnemonic mark and ellipsis."""
        return self.text.replace("&", "").rstrip("…")
