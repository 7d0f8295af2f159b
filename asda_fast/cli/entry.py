"""What every command shares: options from dataclasses, mistakes in one line, exit codes.

The library names arguments (`batch_size: expected at least 1, got 0`); here they become flags (`--batch-size: ..`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin

from asda_fast.core.errors import UserError
from asda_fast.core.options import NUMBERS, CropSize, choices, field_types, optional, parse_size, size_text
from asda_fast.core.registry import Registry, nearest

Options = TypeVar("Options")
FLAG = re.compile(r"--[a-z][a-z0-9-]*")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a command; a `UserError` prints one line on stderr and exits with code 2, and so does what the operating
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
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def command(
    kind: type[Options], prog: str, action: Callable[[Options], None], args: Sequence[str] | None = None
) -> None:
    """Parse `kind` from the command line and do it; errors that name one of its fields name the flag instead."""
    options = parse(kind, prog, args)
    with flags_named(kind):
        action(options)


def subcommand(kinds: dict[str, type], prog: str, about: str, args: Sequence[str] | None = None) -> None:
    """`prog NAME ..`: the options of `kinds[NAME]`, whose `run` method is the command."""
    arguments = list(sys.argv[1:] if args is None else args)
    listed = ", ".join(kinds)
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, kinds))
        lines = [f"  {name:{width}}  {(kind.__doc__ or '').splitlines()[0]}" for name, kind in kinds.items()]
        print("\n".join([f"usage: {prog} {{{','.join(kinds)}}} [OPTIONS]", "", about, "", *lines]))
        return
    name = arguments[0]
    if name not in kinds:
        raise UserError(f"{prog}: expected one of {listed}, got {name!r}{nearest(name, list(kinds))}")
    kind = kinds[name]
    options: Any = parse(kind, f"{prog} {name}", arguments[1:])
    with flags_named(kind):
        options.run()


@contextlib.contextmanager
def flags_named(kind: type) -> Any:
    """A UserError that names a field of `kind` leaves this block naming the flag."""
    try:
        yield
    except UserError as error:
        raise UserError(with_flags(str(error), set(flag_names(kind)))) from error.__cause__


def with_flags(message: str, names: set[str]) -> str:
    """A message about arguments as one about flags: 'batch_size: expected ..' at its beginning, `lr` and
    on_bad_image='skip' anywhere become --batch-size, --lr and --on-bad-image skip, for names of options."""

    def flag(found: re.Match[str]) -> str:
        name, value = found["name"], found.groupdict().get("value")
        if name not in names:
            return found[0]
        return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")

    message = re.sub(r"^(?P<name>[a-z][a-z_]*)(?=[ :,])", flag, message)
    message = re.sub(r"`(?P<name>[a-z][a-z_]*)`", flag, message)
    return re.sub(r"\b(?P<name>[a-z][a-z_]*)='(?P<value>[^']*)'", flag, message)


def flag_names(kind: Any) -> list[str]:
    """The fields of a dataclass and of the groups in it."""
    names: list[str] = []
    for name, (hint, _) in field_types(kind).items():
        names += flag_names(hint) if dataclasses.is_dataclass(hint) else [name]
    return names


def parse(kind: type[Options], prog: str, args: Sequence[str] | None = None) -> Options:
    """The options of a command. A mistake is a UserError of one line that names the flag."""
    import tyro  # here: `doctor` says that it is missing

    arguments = list(sys.argv[1:] if args is None else args)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            shown = tyro.cli(
                cli_type(kind), prog=prog, args=arguments, description=inspect.cleandoc(kind.__doc__ or "")
            )
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise UserError(_one_line(said.getvalue(), arguments, flag_names(kind))) from None
    with flags_named(kind):
        return _made(kind, shown)


def _made(kind: type[Options], shown: Any) -> Options:
    """The record itself, which checks its fields, of what tyro made in its likeness."""
    values = {}
    for name, (hint, extras) in field_types(kind).items():
        value = getattr(shown, name)
        if any(isinstance(extra, CropSize) for extra in extras) and isinstance(value, str):
            value = parse_size(value, name)
        if _is_number(hint) and isinstance(value, str):
            value = _number(name, hint, value)
        values[name] = _made(hint, value) if dataclasses.is_dataclass(hint) else value  # type: ignore[arg-type]
    return kind(**values)


def _is_number(hint: Any) -> bool:
    """Whether a field is an optional number: a text for tyro, which else tells of its types."""
    return optional(hint) and any(kind in get_args(hint) for kind in (int, float))


def _number(name: str, hint: Any, text: str) -> int | float:
    kind = int if int in get_args(hint) else float
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{name}: expected {NUMBERS[kind][0]}, got {text!r}") from None


_LIKENESS: dict[Any, Any] = {}  # one class a record: tyro compares a default's type with its field's


def cli_type(kind: Any) -> Any:
    """`kind` in the likeness that tyro shows best: a subclass (tyro finds the help in the base) that checks nothing.

    Groups (fields that are dataclasses) are flat; optional fields show their type alone, without "{None}|" and
    "(default: None)"; a False flag has no --no- form; choices are texts here: the record says best what it wants.
    """
    if kind in _LIKENESS:
        return _LIKENESS[kind]
    hints: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        hint, extras = field_types(kind)[field.name]
        hints[field.name] = _shown(hint, extras, field)
        if dataclasses.is_dataclass(hint) and field.default_factory is not dataclasses.MISSING:
            values[field.name] = _like(hint, field.default_factory())
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = dataclasses.field(default_factory=field.default_factory)
        elif field.default is not dataclasses.MISSING:
            sized = field.default is not None and any(isinstance(extra, CropSize) for extra in extras)
            values[field.name] = size_text(field.default) if sized else field.default
    unchecked = {"__annotations__": hints, "__doc__": kind.__doc__, "__post_init__": lambda self: None}
    made_type = type(kind.__name__, (kind,), {**unchecked, **values})
    _LIKENESS[kind] = dataclasses.dataclass(frozen=True)(made_type)
    return _LIKENESS[kind]


def _like(kind: Any, record: Any) -> Any:
    """A default record in the likeness of its type, its groups too."""
    values = {name: getattr(record, name) for name in field_types(kind)}
    for name, (hint, _) in field_types(kind).items():
        if dataclasses.is_dataclass(hint):
            values[name] = _like(hint, values[name])
    return cli_type(kind)(**values)


def _shown(hint: Any, extras: tuple[Any, ...], field: dataclasses.Field[Any]) -> Any:
    import tyro

    if dataclasses.is_dataclass(hint):
        return Annotated[cli_type(hint), tyro.conf.arg(name="")]
    if hint is bool:
        return Annotated[hint, tyro.conf.FlagCreatePairsOff] if field.default is False else hint
    hidden: dict[str, Any] = {"help_behavior_hint": ""} if field.default in (None, ()) else {}
    if field.metadata.get("positional") and field.default is dataclasses.MISSING:  # said to be required by its place
        hidden = {"help_behavior_hint": ""}
    positional = [tyro.conf.Positional] if field.metadata.get("positional") else []
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if optional(hint) else [hint]
    words, plain = METAVARS.get(kinds[0]), hint
    for extra in extras:
        if isinstance(extra, Registry):
            words = "|".join(
                ["{" + ",".join(extra) + "}", *(f"{prefix}:NAME" for prefix in extra.families), "MODULE:OBJECT"]
            )
        if isinstance(extra, CropSize):
            words, plain = "HxW", str | None
    if _is_number(hint):
        plain = str | None
    allowed = choices(hint)
    if allowed is not None:
        words, plain = "{" + ",".join(map(str, allowed)) + "}", str | None if optional(hint) else str
        if get_origin(hint) is tuple:
            words, plain = f"{words} [{words} ...]", tuple[str, ...]
    told: dict[str, Any] = {"metavar": words, **hidden} if words else hidden
    return Annotated[(plain, *positional, tyro.conf.arg(**told))]


METAVARS: dict[Any, str] = {
    int: "INT", float: "FLOAT", str: "STR", Path: "PATH", tuple[int, ...]: "INT [INT ...]",
    tuple[str, ...]: "STR [STR ...]", tuple[Path, ...]: "PATH [PATH ...]",
}  # fmt: skip


def _one_line(box: str, arguments: Sequence[str], names: Sequence[str]) -> str:
    """What tyro says of a mistake, without its drawing. An unknown option is told from the arguments themselves."""
    flags = [f"--{name.replace('_', '-')}" for name in names]
    known = {*flags, *(f"--no-{flag[2:]}" for flag in flags), "--help"}
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known and FLAG.fullmatch(flag):
            close = nearest(flag, sorted(known)).replace("did you mean", "perhaps you meant").rstrip("?")
            return f"Unrecognized option: {flag}{close} (--help explains every option)"
    message: list[str] = []
    lines = box.splitlines()
    if len(lines) > 1 and lines[1].strip() and not lines[1].strip(" -"):  # drawn for a terminal of ASCII
        lines = lines[2:]
    for line in lines:
        text = line.strip("│╭╰╮╯| ").strip()
        if line.startswith(("╭", "+")) or not text:
            continue
        if not text.strip("─-"):  # below the rule stands the option's help
            break
        message.append(text)
    return f"{' '.join(message).rstrip('.')} (--help explains every option)"
