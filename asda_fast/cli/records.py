"""The options of every command, for what is made from all of them: the completion of a shell, the page of options."""

from __future__ import annotations

from asda_fast.core.registry import load_object

# Command -> its record of options, or the dictionary of its sub-commands' records.
RECORDS = {
    "train": "asda_fast.cli.train:Train",
    "evaluate": "asda_fast.cli.evaluate:Evaluate",
    "predict": "asda_fast.evaluate.options:PredictOptions",
    "ablate": "asda_fast.train.ablation:AblateOptions",
    "score": "asda_fast.train.score:ScoreOptions",
    "report": "asda_fast.report.options:ReportOptions",
    "preview": "asda_fast.viz.options:PreviewOptions",
    "data": "asda_fast.cli.data:COMMANDS",
    "parts": "asda_fast.cli.parts:COMMANDS",
    "doctor": "asda_fast.cli.doctor:DoctorOptions",
    "networks": "asda_fast.cli.networks:Networks",
    "completion": "asda_fast.cli.completion:CompletionOptions",
}


def records() -> dict[str, type]:
    """ "train" and "parts build" -> the dataclass of its options."""
    found: dict[str, type] = {}
    for command, reference in RECORDS.items():
        kinds = load_object(reference, "command")
        if isinstance(kinds, dict):
            found |= {f"{command} {name}": kind for name, kind in kinds.items()}
        else:
            found[command] = kinds
    return found
