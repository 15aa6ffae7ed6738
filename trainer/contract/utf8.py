"""What can be written as UTF-8: words from a command line or a damaged file may hold bytes that cannot."""

from __future__ import annotations


def is_utf8(text: str) -> bool:
    """Whether every character of a text can be stored; half characters (lone surrogates) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
