"""What the site shows of the code itself: every option of every command, the API, pictures of the conventions.

Options and their help are the fields of records and the text below them; nothing of it is written twice.
"""

from __future__ import annotations

import ast
import dataclasses
import html
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

from asda_fast.cli.main import COMMANDS
from asda_fast.cli.records import records
from asda_fast.core.options import CropSize, choices, field_types, optional, size_text
from asda_fast.core.registry import Registry

# What others build on, by room. The rest is read in the code.
MODULES = {
    "Pieces": ["ops.paste", "augment.module", "adversary.component", "pipelines.loader", "parts.pool"],
    "Data": ["core.batch", "core.skeleton", "data.people", "data.dataset", "data.custom", "data.plan", "data.crop"],
    "Parts": ["parts.build", "parts.scheme", "parts.types", "parts.pool_file"],
    "Augmentation": ["augment.base", "augment.sampling", "augment.placement", "augment.sda", "augment.asda",
                     "augment.cutout", "augment.ror", "augment.objects"],
    "Adversaries": ["adversary.base", "adversary.scene", "adversary.selection", "adversary.critic",
                    "adversary.hardness"],
    "Networks": ["models.factory", "models.network", "models.weights", "models.generator", "models.coding",
                 "models.heatmaps", "models.loss", "models.onnx"],
    "Metrics": ["metrics.pck", "metrics.oks", "metrics.coco", "metrics.mpii", "metrics.lsp", "metrics.prediction_files",
                "metrics.result"],
    "Training": ["train.recipe", "train.adversarial", "train.run", "train.ablation", "evaluate.network"],
}  # fmt: skip


def write(folder: Path) -> None:
    """Write all pages and pictures; a file is touched only where its content changes."""
    folder.mkdir(exist_ok=True)
    pages = dict(option_pages()) | dict(api_pages())
    pages["options.md"] = _index(
        "Options", "Every option of every command.", [p for p in pages if p.startswith("options-")]
    )
    pages["api.md"] = _index("API", "From the docstrings.", [p for p in pages if p.startswith("api-")])
    for stale in set(folder.glob("*.md")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        _put(folder / name, text.encode())
    _put(folder / "pixels.svg", pixels().encode())
    _put(folder / "theta.png", theta())


def _put(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def _index(title: str, about: str, pages: list[str]) -> str:
    listed = "\n".join(page.removesuffix(".md") for page in pages)
    return f"# {title}\n\n{about}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def option_pages() -> Iterator[tuple[str, str]]:
    """A page a command, a table of its flags."""
    for name, kind in records().items():
        command = f"asda-fast {name}"
        about = COMMANDS.get(name.split()[0], "")
        lines = [f"# {command}", "", plain(inspect.cleandoc(kind.__doc__ or about)), ""]
        rows = [row for row in flags(kind)]
        if rows:
            lines += ["| option | takes | default | |", "|---|---|---|---|"]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        yield f"options-{name.replace(' ', '-')}.md", "\n".join([*lines, ""])


def flags(kind: Any) -> Iterator[tuple[str, str, str, str]]:
    """flag, what it takes, default, help of each field of a record, groups in their place."""
    told = field_docs(kind)
    for field in dataclasses.fields(kind):
        hint, extras = field_types(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            yield from flags(hint)
            continue
        positional = field.metadata.get("positional")
        flag = field.name.upper() if positional else f"--{field.name.replace('_', '-')}"
        if hint is bool and field.default is True:
            flag = f"--no-{flag[2:]}"
        yield f"`{flag}`", takes(hint, extras), default(field, extras), plain(told.get(field.name, ""))


def takes(hint: Any, extras: tuple[Any, ...]) -> str:
    for extra in extras:
        if isinstance(extra, Registry):
            return ", ".join(f"`{name}`" for name in extra) + ", `MODULE:OBJECT`"
        if isinstance(extra, CropSize):
            return "HxW"
    if allowed := choices(hint):
        return ", ".join(f"`{value}`" for value in allowed) + ", several" * (get_origin(hint) is tuple)
    if hint is bool:
        return ""
    text = str(hint if not optional(hint) else next(a for a in hint.__args__ if a is not type(None)))
    words = {"int": "whole number", "float": "number", "str": "text", "Path": "path"}
    for name, word in words.items():
        if re.search(rf"\b{name}\b", text):
            return f"{word}s" if "tuple" in text else word
    return text


def default(field: dataclasses.Field[Any], extras: tuple[Any, ...]) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        return ""
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == () or isinstance(value, bool):
        return ""
    if any(isinstance(extra, CropSize) for extra in extras):
        return size_text(value)
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def field_docs(kind: Any) -> dict[str, str]:
    """The text below each field, of a dataclass and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:]):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            told = ast.unparse(text) if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else ""
            if named and (help_text := ast.literal_eval(told or "''")):
                found[field.target.id] = " ".join(help_text.split())
    return found


def plain(text: str) -> str:
    """Text as Markdown that says the same: no HTML, no emphasis; code in backticks stays."""
    text = re.sub(r"(?<![`\w-])(--[a-z][a-z0-9-]+)", r"`\1`", text) if "`" not in text else text
    pieces = re.split(r"(`[^`\n]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", p) for p in pieces)


def markdown(docstring: str) -> str:
    """A docstring: paragraphs; `name: what it is` as a list; what is indented below a colon or a gap as it stands."""
    lines: list[str] = []
    fenced = listed = False
    before = ""
    for line in _sections(inspect.cleandoc(docstring).splitlines()):
        indented = line.startswith("    ")
        if indented and not fenced and before.strip() and (listed or not before.rstrip().endswith(":")):
            lines[-1] += " " + plain(line.strip())  # what a line goes on with
            continue
        inside = indented or (fenced and not line.strip())
        if inside != fenced:
            lines += ["", "```text"] if inside else ["```", ""]
            fenced = inside
        if inside:
            lines.append(line)
        elif lines and (named := re.match(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.*)", line)):
            lines += [""] * (not listed) + [f"- `{named[1]}`: {plain(named[2])}"]
        else:
            lines += [""] * (listed and bool(line.strip())) + [re.sub(r"^(#+)", r"\\\1", plain(line))]
        listed = not inside and (bool(re.match(r"- `", lines[-1])))
        before = line
    return "\n".join([*lines, "```"] if fenced else lines)


def _sections(lines: list[str]) -> Iterator[str]:
    """Args: and its kin stand at the level of the text."""
    within = False
    for line in lines:
        if line in ("Args:", "Returns:", "Raises:"):
            within = True
            yield from ("", {"Args:": "Arguments", "Returns:": "Returns", "Raises:": "Raises"}[line] + ":", "")
        elif within and line.startswith("    "):
            yield line[4:]
        else:
            within = within and not line.strip()
            yield line


def api_pages() -> Iterator[tuple[str, str]]:
    """A page a room, its modules one after the other."""
    for room, names in MODULES.items():
        lines = [f"# {room}", ""]
        for name in names:
            module = importlib.import_module(f"asda_fast.{name}")
            lines += [f"## asda_fast.{name}", "", markdown(module.__doc__ or ""), ""]
            for key, value in vars(module).items():
                if not key.startswith("_") and getattr(value, "__module__", "") == module.__name__:
                    lines += entry(key, value)
        yield f"api-{room.lower()}.md", "\n".join(lines)


def entry(name: str, value: Any) -> list[str]:
    """A function with its signature; a class with its public methods."""
    if inspect.isclass(value):
        lines = [f"### {name}", "", "```python", f"class {name}{bases(value)}", "```", "", markdown(own_doc(value)), ""]
        if dataclasses.is_dataclass(value):
            lines += ["```python", *fields_of(value), "```", ""]
        elif "__init__" in vars(value):
            lines += ["```python", f"{name}{signature(value.__init__, skip_first=True)}", "```", ""]
        for key, method in vars(value).items():
            function = getattr(method, "__func__", getattr(method, "fget", method))
            if (not key.startswith("_") or key == "__call__") and inspect.isfunction(function) and function.__doc__:
                shown = key if isinstance(method, property) else f"{key}{signature(function)}"
                lines += ["```python", f".{shown}", "```", "", markdown(function.__doc__), ""]
        return lines
    if callable(value) and hasattr(value, "__doc__") and value.__doc__:
        return [f"### {name}", "", "```python", f"{name}{signature(value)}", "```", "", markdown(value.__doc__), ""]
    return []


def own_doc(kind: type) -> str:
    text = kind.__doc__ or ""
    return "" if text.startswith(f"{kind.__name__}(") else text  # a dataclass's generated one


def bases(kind: type) -> str:
    named = [base.__name__ for base in kind.__bases__ if base is not object]
    return f"({', '.join(named)})" if named else ""


def fields_of(kind: Any) -> list[str]:
    lines = []
    for field in dataclasses.fields(kind):
        value = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        lines.append(f"{field.name}: {field.type}{value}" if len(value) < 60 else f"{field.name}: {field.type}")
    return lines


def signature(function: Any, skip_first: bool = False) -> str:
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return "(..)"
    parameters = [p for p in found.parameters.values() if p.name != "self"]
    text = str(found.replace(parameters=parameters)).replace("'", "")
    if len(text) < 90:
        return text
    told = "".join(f"    {one!s},\n".replace("'", "") for one in parameters)
    returns = "" if found.return_annotation is inspect.Signature.empty else f" -> {found.return_annotation}"
    return f"(\n{told}){returns}"


def pixels() -> str:
    """Continuous coordinates: pixel i covers [i, i + 1)."""
    cell, left, top = 60, 40, 30
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 440 200" width="440" '
        'font-family="sans-serif" font-size="13">'
    ]
    parts.append('<rect width="440" height="200" fill="#fff"/>')
    for r in range(2):
        for c in range(4):
            x, y = left + c * cell, top + r * cell
            fill = "#ffe0b8" if (r, c) == (1, 2) else "#eef3f8"
            parts.append(f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{fill}" stroke="#555"/>')
            parts.append(f'<circle cx="{x + 30}" cy="{y + 30}" r="2.5" fill="#333"/>')
    for c in range(5):
        parts.append(f'<text x="{left + c * cell}" y="{top - 8}" text-anchor="middle">{c}</text>')
    for r in range(3):
        parts.append(f'<text x="{left - 8}" y="{top + r * cell + 4}" text-anchor="end">{r}</text>')
    told = "pixel (2, 1) covers x 2 to 3, y 1 to 2; its centre is (2.5, 1.5)"
    parts.append(f'<text x="8" y="{top + 2 * cell + 32}">{html.escape(told)}</text></svg>')
    return "".join(parts)


def theta() -> bytes:
    """A part at (s, r, tx, ty) = (1, 0, 0, 0), and with each of them changed, on the first validation person."""
    import cv2
    import numpy as np
    import torch

    import asda_fast
    from asda_fast.augment.placement import matrices
    from asda_fast.viz import draw

    size = (192, 160)
    few = asda_fast.data.load("demo", split="val").select(np.array([1]))
    with asda_fast.make_loader(few, size=size, batch_size=1, pipeline="native", train=False) as loader:
        batch = next(iter(loader))
    patch = np.zeros((60, 40, 4), np.uint8)  # a house: which way is up is seen
    cv2.fillPoly(patch, [np.array([[20, 0], [39, 22], [39, 59], [0, 59], [0, 22]])], (225, 60, 120, 255))
    cv2.rectangle(patch, (6, 36), (14, 59), (255, 235, 160, 255), -1)
    pool = asda_fast.PartPool.from_patches([patch])
    shown = {"(1, 0, 0, 0)": (1, 0, 0, 0), "s 1.5": (1.5, 0, 0, 0), "r +30 deg": (1, np.pi / 6, 0, 0),
             "tx +0.4": (1, 0, 0.4, 0), "ty +0.4": (1, 0, 0, 0.4)}  # fmt: skip
    row = []
    for values in shown.values():
        place = matrices(
            torch.tensor([[values]], dtype=torch.float32), torch.tensor([[[60.0, 40.0]]]),
            torch.tensor([[[100.0, 150.0]]]), batch.box, size,
        )  # fmt: skip
        out = asda_fast.paste(batch.image, pool, torch.zeros(1, 1, dtype=torch.int64), place, out_dtype=torch.uint8)
        row.append(out[0].permute(1, 2, 0).numpy())
    sheet = draw.sheet([row], [list(shown)], cell=192)
    return cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1].tobytes()
