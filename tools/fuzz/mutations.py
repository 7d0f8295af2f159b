"""Changes that keep most of a file's structure: of JSON, of bytes, of safetensors, of PNG."""

from __future__ import annotations

import copy
import json
import zlib
from typing import Any

import numpy as np

Rng = np.random.Generator

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 256, 65536, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "1", "x", "a\0b", "a\nb", "\ud800", "../../x", "x" * 5000,
    [], {}, [[]], [{}], {"": None}, [0] * 4, [1.5, "x"], [None], ["a", "b"], {"size": [1, 1], "counts": "0"},
)  # fmt: skip
"""Values that readers do not expect."""

NUMBERS = (0, 1, -1, 2, 3, 127, 128, 255, 256, 16384, 16385, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63))


def change_bytes(rng: Rng, data: bytes, times: int = 4) -> bytes:
    """Some bytes overwritten, cut out, put in, repeated or cut off."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, times + 1))):
        at, length = int(rng.integers(len(out) + 1)), int(rng.integers(1, 17))
        match int(rng.integers(6)):
            case 0:
                out[at : at + 1] = bytes([rng.integers(256)])
            case 1:
                out[at : at + length] = rng.bytes(length)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = rng.bytes(length)
            case 4:
                out[at:at] = out[max(0, at - length * 8) : at]
            case _:
                if rng.random() < 0.3:
                    del out[at:]
                else:
                    out[at : at + 1] = bytes([out[at] ^ (1 << int(rng.integers(8)))] if at < len(out) else [0])
    return bytes(out)


def change_value(rng: Rng, root: Any, times: int = 3) -> Any:
    """A JSON value with some of its nodes replaced, dropped, repeated, moved or called otherwise."""
    root = copy.deepcopy(root)
    for _ in range(int(rng.integers(1, times + 1))):
        places = list(_places(root))
        if not places:
            return _odd(rng)
        holder, key = places[int(rng.integers(len(places)))]
        match int(rng.integers(9)):
            case 0 | 1 | 2:
                holder[key] = _odd(rng)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 4 | 5:
                other, its = places[int(rng.integers(len(places)))]
                if its in other if isinstance(other, dict) else its < len(other):
                    holder[key] = copy.deepcopy(other[its])
            case 6 if isinstance(holder, dict):
                holder[str(_odd(rng)) if rng.random() < 0.5 else key + "s"] = holder.pop(key)
            case 6 | 7:
                holder[key] = _near(rng, holder[key])
            case _ if rng.random() < 0.05:
                return _odd(rng)
            case _:
                for _ in range(int(rng.integers(1, 4))):
                    holder[key] = [holder[key]] if rng.random() < 0.5 else {"x": holder[key]}
    return root


def change_json(rng: Rng, data: bytes) -> bytes:
    """A JSON text: its value changed, or, now and then, its bytes."""
    if rng.random() < 0.15:
        return change_bytes(rng, data)
    if rng.random() < 0.01:
        return rng.choice([b"[", b'{"a":', b"-"]) * int(rng.integers(1, 200_000))
    return dump(change_value(rng, json.loads(data)))


def dump(value: Any) -> bytes:
    """JSON as Python writes it, NaN, numbers of hundreds of digits and lone surrogates included."""
    return json.dumps(value).encode()


def change_safetensors(rng: Rng, data: bytes) -> bytes:
    """The header's values, JSON within its metadata, numbers of the tensors, or any bytes."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    match int(rng.integers(4)):
        case 0:
            return change_bytes(rng, data)
        case 1:
            header = change_value(rng, header)
        case 2:
            meta = header.get("__metadata__", {})
            lists = [key for key, value in meta.items() if value[:1] in ("[", "{")]
            if lists:
                key = lists[int(rng.integers(len(lists)))]
                meta[key] = json.dumps(change_value(rng, json.loads(meta[key])))
        case _:
            wide = {"I64": "<i8", "I32": "<i4", "F32": "<f4", "F64": "<f8"}
            tensors = [t for name, t in header.items() if name != "__metadata__" and t["dtype"] in wide]
            for _ in range(int(rng.integers(1, 4))):
                tensor = tensors[int(rng.integers(len(tensors)))]
                begin, end = tensor["data_offsets"]
                kind = np.dtype(wide[tensor["dtype"]])
                if end - begin < kind.itemsize:
                    continue
                at = begin + kind.itemsize * int(rng.integers((end - begin) // kind.itemsize))
                odd = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-40, 1e38) if kind.kind == "f" else NUMBERS
                value = odd[int(rng.integers(len(odd)))]
                info = None if kind.kind == "f" else np.iinfo(kind)
                value = value if info is None else min(max(value, int(info.min)), int(info.max))
                body[at : at + kind.itemsize] = np.array(value, kind).tobytes()
    text = dump(header)
    if rng.random() < 0.9:
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body)


def change_png(rng: Rng, data: bytes) -> bytes:
    """Chunks dropped, repeated, moved, or with other content; their checksums are right unless bytes are changed."""
    if rng.random() < 0.25:
        return change_bytes(rng, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(int(rng.integers(1, 3))):
        i = int(rng.integers(len(chunks)))
        kind, content = chunks[i]
        match int(rng.integers(6)):
            case 0 if len(chunks) > 1:
                del chunks[i]
            case 1:
                chunks.insert(i, chunks[int(rng.integers(len(chunks)))])
            case 2:
                chunks[i] = (rng.choice([b"PLTE", b"tRNS", b"IDAT", b"gAMA", b"abcd", b"acTL"]), content)
            case 3:
                chunks[i] = (kind, change_bytes(rng, content or b"\0"))
            case 4 if kind == b"IDAT":
                try:
                    rows = change_bytes(rng, zlib.decompress(content))
                    chunks[i] = (kind, zlib.compress(rows))
                except zlib.error:
                    pass
            case _:
                header = bytearray(chunks[0][1])
                if len(header) >= 13:
                    spot = int(rng.integers(13))
                    header[spot] = int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 64, 127, 255]))
                    chunks[0] = (chunks[0][0], bytes(header))
    out = data[:8]
    for kind, content in chunks:
        out += len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return out


def change_text(rng: Rng, data: bytes) -> bytes:
    """Lines dropped, repeated, joined or replaced; or any bytes."""
    if rng.random() < 0.3:
        return change_bytes(rng, data)
    lines = data.split(b"\n")
    for _ in range(int(rng.integers(1, 5))):
        i = int(rng.integers(len(lines)))
        match int(rng.integers(5)):
            case 0 if len(lines) > 1:
                del lines[i]
            case 1:
                lines.insert(i, lines[i])
            case 2:
                lines[i] = lines[i] + lines[int(rng.integers(len(lines)))]
            case 3:
                lines[i] = str(_odd(rng)).encode(errors="surrogatepass")
            case _:
                lines[i] = change_bytes(rng, lines[i] or b"x", 1)
    return rng.choice([b"\n", b"\r\n", b"\n", b"\r"]).join(lines)


def _odd(rng: Rng) -> Any:
    return copy.deepcopy(ODD[int(rng.integers(len(ODD)))])


def _near(rng: Rng, value: Any) -> Any:
    """A value of the same kind, or its twin of another kind."""
    if isinstance(value, bool) or value is None:
        return not value
    others: list[Any]
    if isinstance(value, int):
        others = [value + 1, -value, str(value), float(value) if abs(value) < 1e300 else 0, value * 1000]
    elif isinstance(value, float):
        others = [value * 1e6, -value, str(value), value / 1e3, [value]]
    elif isinstance(value, str):
        others = [value.upper(), value + " ", value[:-1], "/" + value, [value]]
    elif isinstance(value, (list, tuple)):
        items = list(value)
        others = [items[:-1], items + items, items[::-1], {str(i): item for i, item in enumerate(items)}]
    else:
        others = [[list(item) for item in value.items()], list(value.values())]
    return others[int(rng.integers(len(others)))]


def _places(root: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of every node below `root`; of long lists some."""
    found = []
    if isinstance(root, (dict, list)):
        keys = list(root) if isinstance(root, dict) else list(range(min(len(root), 50)))
        for key in keys:
            found.append((root, key))
            found += _places(root[key])
    return found
