"""Keys of servers: a spec names one, it never holds one.

A setting whose name ends in `_key` holds the name of a key. The studio looks the name up in the keyring and hands the
key to the worker over stdin; a worker that was given none takes the environment variable of that name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

ENDING = "_key"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
LONGEST_WORD = 20
FROM_STDIN = "STEPLENS_KEYS"
"""The environment variable that tells a worker to read its keys from stdin: one line of JSON, name to key."""


class KeyMissing(LookupError):
    """A key that was named and is nowhere; the message says what to do."""


def is_name(text: str) -> bool:
    """Whether this may name a key: as an environment variable is called, and as no key of a provider looks.

    Some keys (hf_..., ghp_...) are letters, digits and underscores too, but no word of a name is as long as theirs.
    """
    return NAME.fullmatch(text) is not None and all(len(word) <= LONGEST_WORD for word in text.split("_"))


def is_bare_address(text: str) -> bool:
    """Whether an address is no more than one: a name, password or query in it may be a key, and would be stored."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return True  # whoever asks it says what is wrong
    return "@" not in parts.netloc and not parts.query and not parts.fragment


def names_in(parameters: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the keys that a run needs."""
    found = (str(value) for name, value in parameters.items() if name.endswith(ENDING) and value)
    return tuple(dict.fromkeys(found))


def pack(keys: Mapping[str, str]) -> bytes:
    """The line that hands keys over."""
    return msgspec.json.encode(dict(keys)) + b"\n"


class Keys:
    """The keys of one process. Neither its repr nor a message of it shows one."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = dict(given or {})

    @classmethod
    def handed(cls, stream: BinaryIO, environment: Mapping[str, str] = os.environ) -> Keys:
        """Those that the launcher handed over, where it says that it did."""
        if environment.get(FROM_STDIN) != "stdin":
            return cls()
        return cls(msgspec.json.decode(stream.readline() or b"{}", type=dict[str, str]))

    def of(self, name: str, environment: Mapping[str, str] = os.environ) -> str:
        """The key of a name; "" for no name. Raises KeyMissing."""
        if not name:
            return ""
        key = self._given.get(name) or environment.get(name, "")
        if not key:
            raise KeyMissing(
                f"there is no key {name!r}: store it with `steplens key set {name}`, or set the environment variable "
                f"{name} before the worker starts"
            )
        return key

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self._given))})"
