"""What a person wears and looks like, and how that colours and labels the body's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.demo_set.fabric import Fabric, colour
from tools.demo_set.noise import fractal, smooth

# LIP-20
HAT, HAIR, GLOVE, GLASSES, UPPER, DRESS, COAT, SOCKS, PANTS, JUMPSUIT, SCARF, SKIRT, FACE = range(1, 14)
LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG, LEFT_SHOE, RIGHT_SHOE = range(14, 20)

SKINS = (
    (0.95, 0.8, 0.71),
    (0.92, 0.74, 0.62),
    (0.85, 0.65, 0.5),
    (0.74, 0.53, 0.38),
    (0.58, 0.39, 0.27),
    (0.42, 0.27, 0.18),
    (0.3, 0.19, 0.13),
)
HAIRS = (
    (0.06, 0.05, 0.05),
    (0.13, 0.08, 0.06),
    (0.26, 0.16, 0.09),
    (0.45, 0.28, 0.14),
    (0.72, 0.55, 0.3),
    (0.86, 0.74, 0.5),
    (0.5, 0.2, 0.09),
    (0.62, 0.62, 0.63),
)
FIELDS = ("x", "y", "z", "a", "l", "t", "armL", "armR", "legL", "legR", "handL", "handR", "head", "neck", "foot")


@dataclass
class Outfit:
    female: bool
    child: bool
    skin: np.ndarray
    hair: np.ndarray
    style: str  # bald short medium afro long bun tail
    upper: Fabric
    upper_label: int  # UPPER, DRESS, JUMPSUIT, COAT
    sleeve: float  # arm coordinate where it ends
    hem: float  # torso coordinate where it ends
    neckline: float
    lower: Fabric
    lower_label: int  # PANTS, JUMPSUIT or 0 under a dress or skirt
    lower_end: float  # leg coordinate
    loft: str  # "", skirt, dress, coat
    loft_end: float  # leg coordinate
    flare: float
    sock: Fabric | None
    sock_from: float
    shoe: np.ndarray
    sole: np.ndarray
    shoe_from: float
    glove: np.ndarray | None
    hat: Fabric | None
    hat_style: str  # cap beanie brim
    glasses: bool
    scarf: Fabric | None
    beard: bool
    thick: tuple[float, float]  # upper, lower cloth: metres above the skin
    trim: str  # "", buttons, zip, print, tie
    sides: tuple[np.ndarray, np.ndarray] | None = None  # two-coloured left and right: breaks the symmetric case


def sample(random: np.random.Generator, female: bool, child: bool) -> Outfit:
    """A random outfit. About one in three wears one colour throughout: left and right look alike."""
    kind = str(random.choice(["two", "two", "two", "two", "skirt", "dress", "jumpsuit", "coat", "sport"]))
    if kind in ("skirt", "dress") and not female:
        kind = "two"
    mood = "any"
    upper = Fabric.sample(random, mood=mood)
    lower = Fabric.sample(random, ("plain", "plain", "denim", "denim", "pinstripe", "checks", "camo"), "any")
    sleeve = float(
        random.choice([-0.2, 0.45, 0.5, 0.62, 1.2, 1.86, 1.9, 1.92], p=[0.1, 0.12, 0.15, 0.1, 0.08, 0.15, 0.15, 0.15])
    )
    lower_end = float(random.choice([0.42, 0.75, 1.35, 1.88, 1.93, 1.96], p=[0.12, 0.15, 0.08, 0.25, 0.25, 0.15]))
    label, lower_label, loft, loft_end, hem = UPPER, PANTS, "", 0.0, float(random.uniform(0.02, 0.17))
    thick = (float(random.uniform(0.006, 0.02)), float(random.uniform(0.006, 0.018)))
    trim = str(random.choice(["", "", "buttons", "zip", "print", "print", "tie"]))
    flare = float(random.uniform(0.02, 0.12))
    if kind == "skirt":
        lower_label, loft, loft_end = 0, "skirt", float(random.choice([0.5, 0.75, 1.0, 1.5]))
        hem = 0.2
    elif kind == "dress":
        label, lower_label, loft, loft_end, hem = DRESS, 0, "dress", float(random.choice([0.55, 0.85, 1.05, 1.6])), 0.0
    elif kind == "jumpsuit":
        label, lower_label, lower, hem = JUMPSUIT, JUMPSUIT, upper, 0.1
        lower_end = float(random.choice([0.5, 1.9, 1.93]))
    elif kind == "coat":
        label, loft, loft_end, sleeve, hem = COAT, "coat", float(random.choice([0.35, 0.6, 0.95])), 1.95, 0.0
        thick, trim, flare = (0.024, thick[1]), str(random.choice(["buttons", "zip"])), 0.04
        lower_end = max(lower_end, 1.35)
    elif kind == "sport":
        sleeve, lower_end, trim = float(random.choice([-0.2, 0.45])), 0.45, "print"
        lower = Fabric.sample(random, ("plain",), "any")
    sock = None
    if random.random() < 0.75:
        sock = Fabric.sample(random, ("plain", "stripes"), str(random.choice(["neutral", "any"])))
    boots = random.random() < 0.2
    skin = np.array(SKINS[random.integers(len(SKINS))]) * random.uniform(0.82, 0.96)
    hair = np.array(HAIRS[random.integers(len(HAIRS))])
    if skin.mean() < 0.42 and random.random() < 0.85:
        hair = np.array(HAIRS[random.integers(2)])
    long = ["long", "long", "long", "tail", "bun", "medium", "afro"]
    style = str(random.choice(long if female else ["short", "short", "short", "medium", "afro", "bald", "long"]))
    hat = Fabric.sample(random, ("plain", "plain", "stripes", "checks")) if random.random() < 0.3 else None
    cold = sleeve > 1.5 and random.random() < 0.4
    sides = None
    if random.random() < 0.12 and kind in ("two", "sport", "jumpsuit"):
        sides = (colour(random), colour(random))
    wrapped = cold and random.random() < 0.8
    return Outfit(
        female=female,
        child=child,
        skin=skin,
        hair=hair,
        style=style,
        upper=upper,
        upper_label=label,
        sleeve=sleeve,
        hem=hem,
        neckline=float(random.uniform(0.9, 1.03)),
        lower=lower,
        lower_label=lower_label,
        lower_end=lower_end,
        loft=loft,
        loft_end=loft_end,
        flare=flare,
        sock=sock,
        sock_from=float(random.choice([1.15, 1.5, 1.7, 1.85])),
        shoe=colour(random, str(random.choice(["leather", "neutral", "any"]))),
        sole=colour(random, "neutral"),
        shoe_from=1.45 if boots else 1.9,
        glove=colour(random) if cold else None,
        hat=hat,
        hat_style=str(random.choice(["cap", "beanie", "brim"])),
        glasses=bool(random.random() < 0.2),
        scarf=Fabric.sample(random) if wrapped or random.random() < 0.06 else None,
        beard=bool(not female and not child and random.random() < 0.35),
        thick=thick,
        trim=trim,
        sides=sides,
    )


def hairline(x: np.ndarray, y: np.ndarray, z: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Signed height (m, on the average head) above the line where hair begins."""
    back = y - eye[1]
    line = np.interp(
        back, [-0.03, 0.02, 0.055, 0.075, 0.11, 0.15, 0.24], [0.078, 0.07, 0.03, 0.012, 0.0, -0.055, -0.085]
    )
    return z - eye[2] - line


def coverage(o: Outfit, f: dict[str, np.ndarray], eye: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean masks of what each garment covers, from the body coordinates of FIELDS. Later ones lie on top."""
    arm, hand = f["armL"] + f["armR"] > 0.5, f["handL"] + f["handR"] > 0.5
    head, foot = f["head"] > 0.5, (f["foot"] > 0.5) | (f["l"] > 1.97)
    torso = ~arm & ~head
    dip = np.clip(1 - np.abs(f["x"]) / 0.07, 0, 1) * np.where(f["y"] < -0.03, 0.12, 0.03)
    upper = torso & (f["t"] > o.hem) & (f["t"] < o.neckline + 0.03 - dip) & (f["neck"] < 0.6)
    upper |= arm & (f["a"] < o.sleeve) & ~hand
    if o.sleeve < 0:
        upper &= ~((f["t"] > 0.55) & (np.abs(f["x"]) > 0.135)) & (f["t"] < 0.98)
    waist = 0.24 if o.lower_label != JUMPSUIT else 0.5
    lower = torso & (f["t"] < waist) & (f["l"] < o.lower_end) & ~foot if o.lower_label else np.zeros_like(arm)
    if not o.lower_label:  # underwear under a skirt counts as the skirt
        lower = torso & (f["t"] < 0.3) & (f["l"] < 0.25)
    line = hairline(f["x"], f["y"], f["z"], eye)
    cap = f["z"] - eye[2] - np.interp(f["y"] - eye[1], [-0.03, 0.1, 0.24], [0.055, 0.04, 0.0])
    return {
        "sock": (f["l"] > o.sock_from) & ~arm & (f["t"] < 0) & ~head if o.sock else np.zeros_like(arm),
        "lower": lower,
        "upper": upper,
        "shoe": foot | ((f["l"] > o.shoe_from) & ~arm & (f["t"] < 0)),
        "glove": hand if o.glove is not None else np.zeros_like(arm),
        "hair": head & (line > 0) if o.style != "bald" else np.zeros_like(arm),
        "hat": head & (cap > 0) if o.hat is not None else np.zeros_like(arm),
    }


def paint(o: Outfit, f: dict[str, np.ndarray], eye: np.ndarray, nose: np.ndarray):
    """Label [P], sRGB [P, 3], fold strength [P], gloss [P] of body pixels at interpolated body coordinates."""
    left = f["x"] > 0
    arm = f["armL"] + f["armR"] > 0.5
    head = (f["head"] > 0.5) | (f["neck"] > 0.5)
    leg = f["t"] < 0.05
    label = np.full(arm.shape, FACE, np.uint8)
    label[leg] = np.where(left, LEFT_LEG, RIGHT_LEG)[leg]
    label[arm] = np.where(left, LEFT_ARM, RIGHT_ARM)[arm]
    rgb = np.broadcast_to(o.skin, (*arm.shape, 3)).astype(np.float32).copy()
    rgb *= 1 + 0.05 * fractal(f["x"] * 3, f["z"] * 3 + f["y"], 0)[..., None]
    folds, gloss = np.zeros(arm.shape, np.float32), np.full(arm.shape, 0.1, np.float32)
    _face(o, f, rgb, head, eye, nose)

    along = np.where(arm, f["a"] * 0.27, f["z"])
    around = np.where(arm, f["y"] + 0.4 * f["z"], f["x"] + 0.25 * f["y"] * np.sign(f["x"]))
    masks = coverage(o, f, eye)

    def put(name: str, tag, tint: np.ndarray, fold: float, shine: float) -> None:
        m = masks[name]
        label[m] = tag if np.ndim(tag) == 0 else tag[m]
        rgb[m] = tint[m] if tint.ndim > 1 else tint
        folds[m], gloss[m] = fold, shine

    if o.sock:
        put("sock", SOCKS, o.sock.paint(around, along), 0.2, 0.02)
    lower = o.lower.paint(around, along)
    seam = (np.abs(f["l"] - o.lower_end) < 0.035) | ((np.abs(f["t"] - 0.2) < 0.012) & leg)
    lower *= np.where(seam, 0.72, 1.0)[..., None]
    put("lower", o.lower_label or (SKIRT if o.loft == "skirt" else DRESS), lower, o.lower.folds, 0.03)
    cloth = o.upper.paint(around, along)
    if o.sides is not None:
        cloth = np.where(left[..., None], o.sides[0], o.sides[1])
    front = (f["y"] < -0.04) & ~arm
    if o.trim == "print":
        disc = front & (np.hypot(f["x"], (f["t"] - 0.66) * 0.5) < 0.07)
        if o.upper.pattern == "plain":
            cloth[disc & ~((np.abs(f["x"]) < 0.02) & (np.abs(f["t"] - 0.66) < 0.07))] = o.upper.second
    elif o.trim in ("buttons", "zip"):
        line = front & (np.abs(f["x"]) < (0.011 if o.trim == "buttons" else 0.006))
        cloth[line] *= 0.62
        if o.trim == "buttons":
            cloth[line & ((f["t"] * 9) % 1 < 0.25)] = o.upper.second
    elif o.trim == "tie":
        cloth[front & (np.abs(f["x"]) < 0.012 + 0.02 * (0.95 - f["t"])) & (f["t"] > 0.35)] = o.lower.first * 0.8
    edge = (
        (arm & (np.abs(f["a"] - o.sleeve) < 0.05))
        | (~arm & (np.abs(f["t"] - o.hem) < 0.02))
        | (~arm & (f["t"] > o.neckline - 0.02) & (np.abs(f["x"]) < 0.1))
    )
    cloth *= np.where(edge, 0.78, 1.0)[..., None]
    put("upper", o.upper_label, cloth, o.upper.folds, 0.03)
    sole = f["z"] < f["z"].min() + 0.03 if f["z"].size else f["z"] > 9
    put("shoe", np.where(left, LEFT_SHOE, RIGHT_SHOE), np.where(sole[..., None], o.sole, o.shoe), 0.05, 0.25)
    if o.glove is not None:
        put("glove", GLOVE, o.glove, 0.1, 0.05)
    if o.style != "bald":
        strands = 1 + 0.45 * fractal(np.arctan2(f["x"], f["y"]) * 1.9, f["z"] * 0.7, 3)
        put("hair", HAIR, np.clip(o.hair * strands[..., None], 0, 1), 0.3, 0.12)
    if o.hat is not None:
        put("hat", HAT, o.hat.paint(around, f["z"]), 0.15, 0.03)
    return label, rgb, folds, gloss


def _face(
    o: Outfit, f: dict[str, np.ndarray], rgb: np.ndarray, head: np.ndarray, eye: np.ndarray, nose: np.ndarray
) -> None:
    """Eyes, brows, lips, cheeks, beard: a few centimetres that make a head a face."""
    x, z, front = np.abs(f["x"]), f["z"], head & (f["y"] < eye[1] + 0.035)
    ex, ez = x - abs(eye[0]), z - eye[2]
    cheeks = front & (np.hypot(ex - 0.012, ez + 0.04) < 0.022)
    rgb[cheeks] *= [1.04, 0.9, 0.88]
    if o.beard:
        jaw = (
            head
            & (f["y"] < eye[1] + 0.075)
            & (z < nose[2] - 0.012 + 0.25 * np.maximum(x - 0.03, 0))
            & (z > nose[2] - 0.1)
        )
        rgb[jaw] = 0.35 * rgb[jaw] + 0.65 * o.hair
    lips = front & ((x / 0.025) ** 2 + ((z - nose[2] + 0.033) / 0.0085) ** 2 < 1)
    rgb[lips] = rgb[lips] * [0.88, 0.55, 0.55]
    rgb[lips & (np.abs(z - nose[2] + 0.033) < 0.0018)] *= 0.5
    brow = front & (np.abs(ex - 0.002) < 0.02) & (np.abs(ez - 0.02 + 0.12 * np.maximum(ex, 0)) < 0.0045)
    rgb[brow] = o.hair * 0.8
    socket = front & ((ex / 0.02) ** 2 + (ez / 0.011) ** 2 < 1)
    rgb[socket] *= 0.74
    white = front & ((ex / 0.0155) ** 2 + (ez / 0.0065) ** 2 < 1)
    rgb[white] = [0.9, 0.89, 0.87]
    rgb[front & (np.hypot(ex, ez) < 0.0062)] = [0.1, 0.07, 0.05]
    rgb[front & (np.abs(ez - 0.0065) < 0.0022) & (np.abs(ex) < 0.017)] *= 0.35
    rgb[:] = np.clip(rgb, 0, 1)


def smooth_cover(mask: np.ndarray, smoother, rounds: int = 2) -> np.ndarray:
    """A per-vertex boolean mask with a soft rim."""
    soft = mask.astype(np.float64)
    for _ in range(rounds):
        soft = smoother @ soft
    return smooth(0.1, 0.9, soft)
