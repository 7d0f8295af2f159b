"""A user's mistake is one clear line, never a stack trace."""

from __future__ import annotations

from typing import Any


class UserError(ValueError):
    """Something the user can mend: a wrong path, option or file. The message is one line that names the file or
    argument, what was expected and what came."""


def first_line(error: BaseException) -> str:
    """Of what a library or a driver says in many; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def short(value: Any) -> str:
    """A value for a message: its repr, in one line, cut."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        text = f"a number of {value.bit_length()} bits"
    if "\n" in text:  # an array's
        text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def named(name: object) -> str:
    """A file's or folder's name for a message: as it is, or cut where it is long or does not print in a line."""
    text = str(name)
    return text if len(text) < 200 and text.isprintable() else short(text)
