"""Keys of servers: kept in the system's keyring, here alone; `steplens key set NAME` puts one there.

A key is handed to the worker that needs it over stdin, never in a file, an argument or a log.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from studio.errors import KeyringError
from trainer.contract import keys

SERVICE = "steplens"


def put(name: str, key: str) -> None:
    """Keep a key under a name, in the place of an older one. Raises KeyringError."""
    _need_name(name)
    if not key or key != key.strip() or not key.isprintable():
        raise KeyringError(f"the key {name!r} is empty or has white space around it; give it again")
    import keyring
    import keyring.errors

    try:
        keyring.set_password(SERVICE, name, key)
    except keyring.errors.KeyringError as error:
        raise _no_keyring(name, error) from error


def get(name: str) -> str | None:
    """The key of a name, None where there is none. Raises KeyringError."""
    _need_name(name)
    import keyring
    import keyring.errors

    try:
        found: str | None = keyring.get_password(SERVICE, name)
    except keyring.errors.KeyringError as error:
        raise _no_keyring(name, error) from error
    return found


def forget(name: str) -> bool:
    """Remove a key; whether there was one. Raises KeyringError."""
    if get(name) is None:
        return False
    import keyring
    import keyring.errors

    try:
        keyring.delete_password(SERVICE, name)
    except keyring.errors.KeyringError as error:
        raise _no_keyring(name, error) from error
    return True


def verb(args: argparse.Namespace) -> int:
    """`steplens key set|forget|check NAME`; exit code 1 when there is no such key."""
    name = args.name
    if args.what == "set":
        put(name, getpass.getpass(f"Key {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n"))
        said, code = f"the key {name} is in the keyring", 0
    elif args.what == "forget":
        was = forget(name)
        said, code = (f"the key {name} is forgotten", 0) if was else (f"there was no key {name}", 1)
    else:
        is_there = get(name) is not None
        said, code = (f"the key {name} is in the keyring", 0) if is_there else (f"there is no key {name}", 1)
    sys.stdout.write(f"{said}\n")
    return code


def _need_name(name: str) -> None:
    if not keys.is_name(name):
        raise KeyringError(
            f"{name[:4]}... is no name of a key: at most 40 letters, digits and underscores in words of at most "
            f"{keys.LONGEST_WORD}, such as MY_SERVER_KEY"
        )  # not shown whole: it may be the key itself


def _no_keyring(name: str, error: Exception) -> KeyringError:
    return KeyringError(
        f"the keyring cannot be used for {name!r} ({type(error).__name__}: {error}); unlock it, or set the environment "
        f"variable {name} before Steplens starts"
    )
