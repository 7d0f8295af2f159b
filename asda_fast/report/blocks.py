"""The blocks of the page: each says in words what it counts."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.report.charts import Series, chart, density, small
from asda_fast.report.look import Looked, Person
from asda_fast.train.recipe import Recipe

LEAST = 12  # parts of a type; fewer make no map
NO_NUMBERS = ("protocol", "pck_per_joint")  # of an epoch's row: a word, an object
QUALITY = 85  # of the pictures' JPEGs


def last_look(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The last epoch that ended with a look at the validation people (--validate-every), else the last."""
    return next((row for row in reversed(history) if row.get("pck") is not None), history[-1])


def tiles(history: list[dict[str, Any]], config: dict[str, Any]) -> str:
    """The numbers that one looks for first."""
    last, best = last_look(history), max(history, key=lambda row: row.get("pck") or -1)
    protocol = last.get("protocol", "PCK")
    told = [(f"{len(history)} of {config['epochs']}" if config.get("epochs") else str(len(history)), "epochs ended")]
    if best.get("pck") is not None:
        told.append((f"{best['pck']:.2f}", f"best {protocol}, validation, epoch {best['epoch']}"))
        told.append((f"{last['pck']:.2f}" if last.get("pck") is not None else "-", f"last {protocol}, validation"))
    if last.get("hardness") is not None and last.get("hardness_se") is not None:
        told.append((f"{last['hardness']:.2f} ± {last['hardness_se']:.2f}", "hardness of the places, last epoch"))
    seconds = sum(row.get("seconds") or 0 for row in history)
    told.append(
        (f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.1f} min", "training, without validation")
    )
    each = "".join(f'<div class="tile"><b>{html.escape(a)}</b>{html.escape(b)}</div>' for a, b in told)
    return f'<div class="tiles">{each}</div>'


def curves(history: list[dict[str, Any]]) -> list[str]:
    """A chart per measure; those without a number are left out."""
    x = [row["epoch"] for row in history]

    def of(name: str) -> list[float | None]:
        return [row.get(name) for row in history]

    protocol = last_look(history).get("protocol", "PCK")
    found = [
        chart(
            "The network's loss, L_D",
            "mean squared difference of heatmaps, training people as pasted, mean of an epoch",
            [Series("L_D", x, of("loss_d"))],
        ),
        chart("The generator's loss, L_G", "what it minimises, mean of an epoch", [Series("L_G", x, of("loss_g"))]),
        chart(
            "Hardness of the chosen places",
            "(L_chosen - L_random) / (L_worst of 32 - L_random) over validation people; band: standard error",
            [Series("hardness", x, of("hardness"), of("hardness_se"))],
            levels=[(0, "random places"), (1, "worst of 32 random places")],
        ),
        chart(
            "Joints found, %",
            f"validation: {protocol}, flip test; training: within 1/20 of the crop, as pasted",
            [Series(f"validation, {protocol}", x, of("pck")), Series("training", x, of("pck_train"))],
            whole=True,
        ),
        chart("Learning rate", "of the network", [Series("lr", x, of("lr"))]),
        chart("Speed", "training images per second", [Series("images/s", x, of("images_per_second"))]),
    ]
    return [one for one in found if one]


def joints(history: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in history for name in row.get("pck_per_joint") or {}))
    if not names:
        return ""
    x = [row["epoch"] for row in history]
    each = "".join(small(name, x, [(row.get("pck_per_joint") or {}).get(name) for row in history]) for name in names)
    protocol = html.escape(str(last_look(history).get("protocol", "PCK")))
    words = f"{protocol} of validation people over the epochs, 0 to 100 %; bold: the last epoch."
    return f'<h2>By joint</h2><p>{words}</p><div class="smalls">{each}</div>'


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """The first, the last and evenly spaced ones between, at most `most`."""
    if most <= 0 or not paths:
        return []
    if most == 1:
        return [paths[-1]]
    return [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))]


def contact_sheets(folder: Path, most: int) -> list[str]:
    found = [path for path in (folder / "sheets").glob("epoch-*") if path.suffix in (".jpg", ".png")]
    found.sort(key=lambda path: (len(path.stem), path.name))  # epoch-1000 after epoch-999
    chosen = spread(found, most)
    if not chosen:
        return []
    parts = [
        "<h2>The same people through the epochs</h2><p>Each row: annotated; found without a paste; what was pasted; "
        "found with it. The sheets say what each line means.</p>"
    ]
    for path in chosen:
        image = cv2.imread(str(path))
        if image is None:
            continue
        opened = " open" if path == chosen[-1] else ""
        name = html.escape(path.stem.replace("epoch-", "Epoch ").replace(" 0", " ").replace(" 0", " "))
        shown = f'<img src="{jpeg(image)}" alt="Contact sheet of {name.lower()}" width="{image.shape[1]}">'
        inside = f'<summary>{name}</summary><div class="wide">{shown}</div>'
        parts.append(f"<details{opened}>{inside}</details>")
    return parts


def jpeg(bgr: np.ndarray) -> str:
    """A data URL."""
    _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode()


def maps(looked: Looked) -> str:
    """Where the middles of each type's parts lie, chosen beside random; the most frequent types first."""
    first = looked.chosen or looked.random
    names = sorted((name for name in first if first[name].sum() >= LEAST), key=lambda name: -first[name].sum())
    if not names:
        few = f"<h2>Where parts lie, by type</h2><p>Fewer than {LEAST} parts of any type among {looked.people} people: "
        return f"{few}look at more with <code>--people</code> and <code>--draws</code>.</p>" if first else ""
    figures = []
    for name in names:
        pair = []
        kinds = [("chosen", looked.chosen), ("random", looked.random)] if looked.chosen else [("random", looked.random)]
        most = max(float(grids[name].max()) for _, grids in kinds if name in grids)
        for word, grids in kinds:
            if name in grids:
                label = f"{name}, {word}: {int(grids[name].sum())} parts"
                pair.append(
                    f"<div>{word}{density(grids[name], max(most, 1), looked.bones, looked.aspect, label)}</div>"
                )
        total = int(first[name].sum())
        caption = f"<figcaption><b>{html.escape(name)}</b> {total} parts</figcaption>"
        figures.append(f'<figure>{caption}<div class="pair">{"".join(pair)}</div></figure>')
    words = (
        f"Middles of the pasted parts in the crops of {looked.people} validation people, the same parts where the "
        "adversary put them and where chance did; stronger colour: more of them (by the square root). Lines: the mean "
        "person. Middles beyond the crop are not counted."
    )
    return f'<h2>Where parts lie, by type</h2><p>{words}</p><div class="maps">{"".join(figures)}</div>'


def worst(looked: Looked) -> str:
    """The people with the smallest share of joints found."""

    def figure(person: Person) -> str:
        picture = np.ascontiguousarray(person.picture[..., ::-1])
        told = f"{person.found} of {person.joints} found"
        return f'<figure><img src="{jpeg(picture)}" alt="{told}"><figcaption>{told}</figcaption></figure>'

    each = "".join(map(figure, looked.worst))
    share = 100 * looked.found / max(looked.joints, 1)
    words = (
        f"Of {looked.people} validation people, without a paste and without the flip test, {looked.found} of "
        f"{looked.joints} joints ({share:.1f} %) were found, within 1/20 of the crop's longer side. These have the "
        "smallest shares. Dashed and square: predicted; a line leads from a miss to the joint."
    )
    return f'<h2>The worst people</h2><p>{words}</p><div class="people">{each}</div>'


def made_with(config: dict[str, Any], versions: dict[str, str] | None) -> str:
    """Options, those that differ from what is usual first; versions as the run's checkpoint keeps them."""
    usual = _usual(config.get("dataset"))
    rows = []
    for name, value in sorted(config.items(), key=lambda pair: (pair[1] == usual.get(pair[0]), pair[0])):
        if name == "options":  # model_options once more
            continue
        shown = html.escape(str(value))
        rows.append(
            f"<tr><td>{html.escape(name)}</td><td>{shown if value == usual.get(name) else f'<b>{shown}</b>'}</td></tr>"
        )
    told = ", ".join(f"{html.escape(k)} {html.escape(str(v))}" for k, v in (versions or {}).items())
    told = told or "Versions: not recorded by this run."
    rows_of = f'<div class="columns"><table>{"".join(rows)}</table></div>'
    return f"<h2>Options and versions</h2><p>{told}</p><p>Bold: not the default.</p>{rows_of}"


def _usual(dataset: Any) -> dict[str, Any]:
    """The options of a run on a dataset unless told otherwise; of one that is not in reach here, those of the demo."""
    try:
        return Recipe(dataset=str(dataset or "demo")).to_dict()
    except UserError:
        return Recipe().to_dict()


def table(history: list[dict[str, Any]]) -> str:
    """Every number of every epoch."""
    names = [name for name in dict.fromkeys(k for row in history for k in row) if name not in NO_NUMBERS]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = []
    for row in history:
        cells = (row.get(name) for name in names)
        lines.append("<tr>" + "".join(f"<td>{'' if v is None else f'{v:.6g}'}</td>" for v in cells) + "</tr>")
    return (
        f'<details><summary>Every epoch in numbers</summary><div class="wide"><table><tr>{head}</tr>{"".join(lines)}'
        "</table></div></details>"
    )
