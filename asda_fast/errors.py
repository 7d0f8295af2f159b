"""A user's mistake is one clear line, never a stack trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """Something the user can mend: a wrong path, option or file. The message is one line that names the file or
    argument, what was expected and what came."""


def run_cli(main: Callable[[], None]) -> NoReturn:
    """Run an entry point; a `UserError` prints one line on stderr and exits with code 2, Ctrl-C exits with 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
