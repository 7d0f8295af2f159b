"""A user's mistake is one clear line, never a stack trace."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

Options = TypeVar("Options")


class UserError(ValueError):
    """Something the user can mend: a wrong path, option or file. The message is one line that names the file or
    argument, what was expected and what came."""


def short(value: Any) -> str:
    """A value for a message: its repr, in one line, cut."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        text = f"a number of {value.bit_length()} bits"
    return text if len(text) <= 60 else text[:57] + "..."


def run_cli(main: Callable[[], None]) -> NoReturn:
    """Run an entry point; a `UserError` prints one line on stderr and exits with code 2, and so does what the operating
    system refuses (a full disk, a file where a folder should be). Ctrl-C and SIGTERM exit with 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us lets us clean up
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def parse_cli(parse: Callable[[], Options]) -> Options:
    """What `parse`, a call of tyro, returns. What tyro says of a mistake becomes one line (UserError), not a box."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise UserError(_without_box(said.getvalue())) from None


def _without_box(box: str) -> str:
    sections: list[list[str]] = [[]]
    for line in box.splitlines()[1:-1] if box.startswith("╭") else [box]:
        text = line.strip("│ ")
        if set(text) == {"─"}:
            sections.append([])
        elif not text or not line.startswith("│" + " " * 8):  # so far to the right stands an option's help
            sections[-1].append(text)
    message, *others = sections
    line = " ".join(message[: message.index("")] if "" in message else message)
    for other in others:
        if other[:1] == ["Perhaps you meant:"]:
            line += f"; perhaps you meant {' or '.join(other[1:])}"
    return f"{line.rstrip('.')} (--help explains every option)"
