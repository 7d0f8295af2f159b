"""Bodies from `anny`: rest shape for a phenotype, posing by limb directions, coordinates along the body."""

from __future__ import annotations

import functools
import os

import numpy as np
from scipy import sparse

from asda_fast.core.errors import UserError
from tools.demo_set.poses import Pose

KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)


def rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """[3, 3], right-handed about `axis`."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + s * k + (1 - c) * k @ k


def swing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation taking direction a to direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    return rotation(axis, np.degrees(np.arctan2(sine, a @ b)))


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals [V, 3]."""
    corner = vertices[faces]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        for d in range(3):
            total[:, d] += np.bincount(faces[:, k], face[:, d], len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


class Bodies:
    """The body model, loaded once per process."""

    def __init__(self) -> None:
        try:
            os.environ.setdefault("WARP_LOG_LEVEL", "error")
            import anny
            import torch
            from anny.keypoints import KeypointsRegressor
        except ImportError as error:
            raise UserError(
                f"expected the package anny (pip install anny), which makes the bodies; got {error}"
            ) from None
        torch.set_num_threads(1)
        self.model = anny.Anny()
        self.torch = torch
        self.bones: list[str] = list(self.model.bone_labels)
        self.index = {b: i for i, b in enumerate(self.bones)}
        self.parent = [int(p) for p in self.model.bone_parents]
        self.faces = np.asarray(self.model.faces).astype(np.int32)  # [F, 3]
        count = len(self.model.template_vertices)
        column = self.model.vertex_bone_indices.numpy()
        row = np.repeat(np.arange(count), column.shape[1])
        weight = self.model.vertex_bone_weights.numpy().reshape(-1)
        self.weights = sparse.csr_matrix((weight, (row, column.reshape(-1))), (count, len(self.bones)))  # [V, bones]
        regressor = KeypointsRegressor.coco(self.model)
        order = [list(regressor.labels).index(k) for k in KEYPOINTS]
        self.regress = sparse.csr_matrix(regressor.regression_weights.numpy()[order])  # [17, V]
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        ones = np.ones(len(edges))
        near = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
        near = ((near + near.T) > 0).astype(np.float64)
        self.smoother = sparse.diags(1 / np.maximum(np.asarray(near.sum(1)).ravel(), 1)) @ near  # [V, V] neighbour mean
        self.template, heads = self.rest({k: 0.5 for k in self.model.phenotype_labels})
        self.template_heads = heads
        self.coordinates = self._coordinates(self.template, heads)

    def rest(self, phenotype: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """(vertices [V, 3], bone heads [bones, 3]) of a body at rest (A-pose), metres."""
        torch = self.torch
        identity = torch.eye(4, dtype=torch.float64)[None, None].repeat(1, len(self.bones), 1, 1)
        with torch.inference_mode():
            out = self.model(pose_parameters=identity, phenotype_kwargs=phenotype)
        return out["rest_vertices"][0].numpy().astype(np.float64), out["rest_bone_heads"][0].numpy().astype(np.float64)

    def weight_of(self, *prefixes: str) -> np.ndarray:
        """Summed skin weight [V] of the bones whose names start with one of `prefixes`."""
        columns = [i for i, b in enumerate(self.bones) if b.startswith(prefixes)]
        return np.asarray(self.weights[:, columns].sum(1)).ravel()

    def _coordinates(self, rest: np.ndarray, heads: np.ndarray) -> dict[str, np.ndarray]:
        """Per vertex, on the average body: where it lies along arm, leg and torso, and how much it belongs to each."""
        out: dict[str, np.ndarray] = {"x": rest[:, 0], "y": rest[:, 1], "z": rest[:, 2]}
        for side in "LR":
            arm = [b + "." + side for b in ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")]
            names = [b for b in self.bones if b.endswith("." + side) and b.startswith(tuple(a[:-2] for a in arm))]
            out["arm" + side] = np.asarray(self.weights[:, [self.index[b] for b in names]].sum(1)).ravel()
            legs = [
                b
                for b in self.bones
                if b.endswith("." + side) and b.startswith(("upperleg", "lowerleg", "foot", "toe"))
            ]
            out["leg" + side] = np.asarray(self.weights[:, [self.index[b] for b in legs]].sum(1)).ravel()
            hand = [b for b in self.bones if b.endswith("." + side) and b.startswith(("wrist", "finger", "metacarpal"))]
            out["hand" + side] = np.asarray(self.weights[:, [self.index[b] for b in hand]].sum(1)).ravel()
        shoulder, elbow, wrist = (heads[self.index[b + ".L"]] for b in ("upperarm01", "lowerarm01", "wrist"))
        mirrored = rest * [1, 1, 1]
        mirrored[:, 0] = np.abs(rest[:, 0])
        upper, lower = elbow - shoulder, wrist - elbow
        along = (mirrored - shoulder) @ upper / (upper @ upper)
        beyond = (mirrored - elbow) @ lower / (lower @ lower)
        out["a"] = np.where(beyond > 0, 1 + beyond, np.minimum(along, 1))  # 0 shoulder, 1 elbow, 2 wrist
        hip, knee, ankle = (heads[self.index[b]][2] for b in ("upperleg01.L", "lowerleg01.L", "foot.L"))
        z = rest[:, 2]
        out["l"] = np.where(
            z > knee, (hip - z) / (hip - knee), 1 + (knee - z) / (knee - ankle)
        )  # 0 hip, 1 knee, 2 ankle
        out["head"] = self.weight_of("head", "neck03", "eye")
        out["neck"] = self.weight_of("neck01", "neck02")
        out["foot"] = self.weight_of("foot", "toe")
        neck = heads[self.index["neck01"]][2]
        crotch = rest[np.abs(rest[:, 0]) < 0.01, 2].min()
        out["t"] = (z - crotch) / (neck - crotch)  # 0 crotch, 1 base of the neck
        return out

    def transforms(self, heads: np.ndarray, pose: Pose) -> np.ndarray:
        """[bones, 3, 4] rest -> posed (root at its rest place, facing -y)."""
        local = {i: np.eye(3) for i in range(len(self.bones))}
        at = self.index
        forward, left, up = np.array([0.0, -1, 0]), np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
        lean, tilt, twist = pose.spine
        for b in ("spine05", "spine04", "spine03", "spine02", "spine01"):
            local[at[b]] = rotation(up, twist / 5) @ rotation(forward, tilt / 5) @ rotation(left, lean / 5)
        nod, tilt, turn = pose.head
        for b, share in (("neck01", 0.2), ("neck02", 0.2), ("neck03", 0.2), ("head", 0.4)):
            local[at[b]] = rotation(up, turn * share) @ rotation(forward, tilt * share) @ rotation(left, nod * share)
        for side, sign in (("L", 1.0), ("R", -1.0)):
            self._arm(local, heads, pose.arms[side], side, sign)
            self._leg(local, heads, pose.legs[side], side, sign)
            knuckle = np.cross(
                heads[at["finger2-1." + side]] - heads[at["finger5-1." + side]],
                heads[at["finger3-1." + side]] - heads[at["wrist." + side]],
            )
            knuckle = np.cross(knuckle, heads[at["finger3-1." + side]] - heads[at["wrist." + side]])
            for finger in "2345":
                for phalanx in "123":
                    local[at[f"finger{finger}-{phalanx}.{side}"]] = rotation(knuckle, sign * pose.hands[side])
        out = np.zeros((len(self.bones), 3, 4))
        turned, place = np.zeros((len(self.bones), 3, 3)), np.zeros((len(self.bones), 3))
        for i, p in enumerate(self.parent):
            if p < 0:
                turned[i], place[i] = local[i], heads[i]
            else:
                turned[i] = turned[p] @ local[i]
                place[i] = place[p] + turned[p] @ (heads[i] - heads[p])
            out[i, :, :3] = turned[i]
            out[i, :, 3] = place[i] - turned[i] @ heads[i]
        return out

    def _arm(self, local: dict, heads: np.ndarray, arm: tuple, side: str, sign: float) -> None:
        at = self.index
        elevation, azimuth, flexion, (medial, ahead, above) = arm
        e, a = np.radians(elevation), np.radians(azimuth)
        want = np.array([sign * np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), -np.cos(e)])
        bend = np.array([-sign * medial, -ahead, above])
        bend = bend - (bend @ want) * want
        bend /= max(np.linalg.norm(bend), 1e-6)
        f = np.radians(flexion)
        fore = np.cos(f) * want + np.sin(f) * bend
        shoulder, elbow, wrist = (heads[at[b + "." + side]] for b in ("upperarm01", "lowerarm01", "wrist"))
        lift = rotation(np.array([0, -sign, 0]) * 1.0, max(0.0, elevation - 70) * 0.25)  # the shoulder girdle follows
        local[at["clavicle." + side]] = lift
        upper = swing(elbow - shoulder, lift.T @ want)
        local[at["upperarm01." + side]] = upper
        rest_bend = (wrist - elbow) - ((wrist - elbow) @ (elbow - shoulder)) * (elbow - shoulder) / (
            (elbow - shoulder) @ (elbow - shoulder)
        )
        now = upper @ rest_bend
        target = lift.T @ bend
        axis = lift.T @ want
        twist = np.degrees(np.arctan2(np.cross(now, target) @ axis, now @ target))
        twist = float(np.clip(twist, -100, 100)) * min(1.0, flexion / 35)
        rest_axis = elbow - shoulder
        local[at["upperarm02." + side]] = rotation(rest_axis, twist)
        parent = lift @ upper @ local[at["upperarm02." + side]]
        local[at["lowerarm01." + side]] = swing(wrist - elbow, parent.T @ fore)

    def _leg(self, local: dict, heads: np.ndarray, leg: tuple, side: str, sign: float) -> None:
        at = self.index
        flexion, abduction, knee_bend, point = leg
        hip, knee, ankle = (heads[at[b + "." + side]] for b in ("upperleg01", "lowerleg01", "foot"))
        f, a = np.radians(flexion), np.radians(abduction)
        thigh = np.array([sign * np.sin(a), -np.sin(f) * np.cos(a), -np.cos(f) * np.cos(a)])
        upper = swing(knee - hip, thigh)
        local[at["upperleg01." + side]] = upper
        hinge = upper @ np.array([1.0, 0, 0])  # bending the knee carries the ankle backward
        hinge -= (hinge @ thigh) * thigh
        shin = rotation(hinge, knee_bend) @ thigh
        local[at["lowerleg01." + side]] = swing(ankle - knee, upper.T @ shin)
        local[at["foot." + side]] = rotation(np.array([1.0, 0, 0]), point)

    def skin(self, rest: np.ndarray, weights: sparse.csr_matrix, transforms: np.ndarray) -> np.ndarray:
        """Linear blend skinning: [V, 3]."""
        blended = np.asarray(weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
        return np.einsum("vij,vj->vi", blended[:, :, :3], rest) + blended[:, :, 3]


@functools.lru_cache(maxsize=1)
def bodies() -> Bodies:
    """The one body model of this process."""
    return Bodies()
