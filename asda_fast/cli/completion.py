"""asda-fast completion: a script for the shell, made from the records of options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asda_fast.cli import entry
from asda_fast.cli.records import RECORDS, records
from asda_fast.core.options import choices, field_types
from asda_fast.core.registry import Registry

HEAD = """\
# eval "$(asda-fast completion)"
[ -z "${ZSH_VERSION:-}" ] || { autoload -Uz compinit bashcompinit && compinit -u && bashcompinit; }
_asda_fast() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=""
    local command=${COMP_WORDS[1]}"""
TAIL = """\
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _asda_fast asda-fast
"""


@dataclass(frozen=True)
class CompletionOptions:
    """Print what completes commands, options and their choices in bash and zsh: eval "$(asda-fast completion)"."""


def flags(kind: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each flag of a record, with the words that may follow it; () where they are not known, or none follows."""
    for field in dataclasses.fields(kind):
        hint, extras = field_types(kind)[field.name]
        flag = f"--{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(hint):
            yield from flags(hint)
        elif hint is bool:
            yield (flag, ())
            if field.default is True:
                yield (f"--no-{flag[2:]}", ())
        elif not field.metadata.get("positional"):
            names = tuple(name for extra in extras if isinstance(extra, Registry) for name in extra)
            yield (flag, tuple(map(str, choices(hint) or ())) or names)


def script() -> str:
    """What bash evaluates; zsh through its bashcompinit. Where no word fits, the shell completes files."""
    kinds = records()
    groups = {command: [name.split()[1] for name in kinds if name.startswith(f"{command} ")] for command in RECORDS}
    lines = [HEAD, f'    [ "$COMP_CWORD" != 1 ] || words="{" ".join(RECORDS)}"']
    for command, subs in groups.items():
        if subs:
            lines.append(f'    [ "$COMP_CWORD $command" != "2 {command}" ] || words="{" ".join(subs)}"')
            lines.append(f'    [ "$command" != {command} ] || command="{command} ${{COMP_WORDS[2]}}"')
    lines.append('    case "$command $before" in')
    for name, kind in kinds.items():
        for flag, values in flags(kind):
            if values:
                lines.append(f'        "{name} {flag}") words="{" ".join(values)}" ;;')
    lines += ["    esac", '    case "$current" in -*) case "$command" in']
    for name, kind in kinds.items():
        lines.append(f'        "{name}") words="{" ".join([*(flag for flag, _ in flags(kind)), "--help"])}" ;;')
    return "\n".join([*lines, "    esac ;; esac", TAIL])


def main(prog: str = "asda-fast completion") -> None:
    entry.command(CompletionOptions, prog, lambda options: print(script(), end=""))
