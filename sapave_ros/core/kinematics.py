"""Where every link is, and what it costs the arms to stay there or to speed up: kinematics, gravity and inertia.

`a_in_b` is the pose of frame a seen from frame b: a (4, 4) homogeneous matrix that takes points given in
a to points given in b.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sapave_ros import g1
from sapave_ros.core import urdf
from sapave_ros.types import Floats

TORSO = "torso_link"
CAMERA = "camera_color_optical_frame"
STANDARD_GRAVITY = 9.80665  # [m/s^2]


@dataclass(frozen=True)
class _ArmChain:
    """Both arms side by side (first axis: left, right), seven joints each, for torques."""

    motors: np.ndarray  # (2, 7) index in motor order
    axes: Floats  # (2, 7, 3) in the child's frame
    constant: Floats  # (2, 7, 4, 4), as in urdf.Joint
    sine: Floats
    cosine: Floats
    inertias: Floats  # (2, 7, 4, 4): pseudo-inertia of all that is rigid with the joint's child, see `urdf.read`


class Kinematics:
    """The robot's tree of links.

    joint_names: movable joints that need a position; joints coupled to another (mimic) follow it.
    """

    def __init__(self, joints: Iterable[urdf.Joint], inertias: Mapping[str, Floats]):
        """joints: of one tree, in any order. inertias: by link, pseudo-inertia (4, 4) as of `urdf.read`."""
        self._joints = {j.name: j for j in joints}
        self._above = {j.child: j for j in self._joints.values()}
        self._inertias = dict(inertias)
        roots = sorted({j.parent for j in self._joints.values()} - self._above.keys())
        if len(roots) != 1:
            raise urdf.ModelError(f"the links must form one tree with one root; roots are {roots}")
        self.root = roots[0]
        self.link_names = (self.root, *self._above)
        self.joint_names = tuple(j.name for j in self._joints.values() if j.moves and j.mimic is None)
        self._beside: dict[str, list[tuple[str, urdf.Joint]]] = {name: [] for name in self.link_names}
        for joint in self._joints.values():
            self._beside[joint.parent].append((joint.child, joint))
            self._beside[joint.child].append((joint.parent, joint))
        self._path_by_link: dict[str, tuple[urdf.Joint, ...]] = {}
        self._head_chain = self.chain(CAMERA, TORSO, g1.HEAD.names)
        self._waist_chain = self._path(TORSO)
        self._waist_motors = np.array([g1.MOTOR_NAMES.index(j.name) for j in self._waist_chain])
        self._arms = self._arm_chain()

    @classmethod
    def from_urdf(cls, path: Path | None = None) -> Kinematics:
        """Read a URDF with fixed and revolute joints. path: default `models/g1/g1.urdf`.

        Raises ModelError for a joint type or a tree that is not supported, naming the joint.
        """
        return cls(*urdf.read(path or g1.model_path()))

    def chain(self, frame: str, reference: str, names: tuple[str, ...]) -> tuple[urdf.Joint, ...]:
        """The chain from reference down to frame as one urdf.Joint per moving joint, fixed transforms folded in.

        Raises ModelError unless it moves with the joints of those names, in their order.
        """
        chain = self._path(frame)[len(self._path(reference)) :]
        moving = tuple(j.name for j in chain if j.moves)
        if moving != names:
            raise urdf.ModelError(f"from {reference} to {frame} expected the joints {names}, got {moving}")
        folded: list[urdf.Joint] = []
        before = np.eye(4)
        for joint in chain:
            if joint.moves:
                folded.append(joint.between(before, np.eye(4)))
                before = np.eye(4)
            elif folded:
                folded[-1] = folded[-1].between(np.eye(4), joint.constant)
            else:
                before = before @ joint.constant
        return tuple(folded)

    def frame_in_frame(
        self, frame: str, reference: str, positions: Mapping[str, float], default: float | None = None
    ) -> Floats:
        """Pose (4, 4) of link `frame` in link `reference`.

        positions: [rad] by joint name; only the joints between the two links are looked at. default: position [rad]
        of those that `positions` lacks. Raises KeyError naming the link that does not exist, or the joint that has no
        position.
        """
        down, up = self._path(frame), self._path(reference)
        common = 0  # joints shared by both paths cancel
        while common < min(len(down), len(up)) and down[common] is up[common]:
            common += 1
        frame_in_ancestor = self._product(down[common:], positions, default)
        reference_in_ancestor = self._product(up[common:], positions, default)
        return inverse(reference_in_ancestor) @ frame_in_ancestor

    def links_in_frame(
        self, reference: str, positions: Mapping[str, float], default: float | None = None
    ) -> dict[str, Floats]:
        """Pose (4, 4) in link `reference` of every link whose place is known, that link first.

        positions: [rad] by joint name. default: position [rad] of joints that `positions` lacks; without it, links
        beyond such a joint are left out. Raises KeyError naming the link that does not exist.
        """
        self._path(reference)
        found = {reference: np.eye(4)}
        waiting = [reference]
        while waiting:
            link = waiting.pop()
            for other, joint in self._beside[link]:
                if other in found:
                    continue
                try:
                    position = self._position(joint, positions, default) if joint.moves else 0.0
                except KeyError:
                    continue
                child_in_parent = joint.child_in_parent(position)
                down = joint.child == other
                found[other] = found[link] @ (child_in_parent if down else inverse(child_in_parent))
                waiting.append(other)
        return found

    def camera_in_torso(self, head_positions: Floats) -> Floats:
        """Pose (4, 4) of the colour camera's optical frame (x right, y down, z forward) in torso_link.

        head_positions: (2,) [rad] in `g1.HEAD` order. Raises ValueError for any other shape or a value that is not
        finite.
        """
        q = np.asarray(head_positions, dtype=np.float64)
        if q.shape != (2,) or not np.isfinite(q).all():
            raise ValueError(f"head_positions must be 2 finite angles [rad], got {head_positions!r}")
        yaw, pitch = self._head_chain
        return yaw.child_in_parent(q[0]) @ pitch.child_in_parent(q[1])

    def gravity_torques(self, positions: Floats, gravity_in_pelvis: Floats) -> Floats:
        """Torques (14,) [N m] in `g1.ARMS` order with which the arm motors hold this pose against gravity.

        positions: (29,) [rad] in motor order, as in LowState_. gravity_in_pelvis: (3,) [m/s^2], see the function of
        that name. The hands count as open: closing them changes no joint by more than 0.05 N m. Raises ValueError for
        other shapes or values that are not finite.
        """
        q = np.asarray(positions, dtype=np.float64)
        gravity = np.asarray(gravity_in_pelvis, dtype=np.float64)
        if q.shape != (g1.NUM_MOTORS,) or gravity.shape != (3,):
            raise ValueError(f"expected positions (29,) and gravity (3,), got {q.shape} and {gravity.shape}")
        if not (np.isfinite(q).all() and np.isfinite(gravity).all()):
            raise ValueError(f"positions and gravity must be finite, got {positions!r} and {gravity_in_pelvis!r}")

        gravity_in_link = gravity
        for joint, position in zip(self._waist_chain, q[self._waist_motors], strict=True):
            gravity_in_link = joint.child_in_parent(position)[:3, :3].T @ gravity_in_link
        x, y, z = gravity_in_link
        cross_gravity = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])  # v -> v x gravity, in the torso

        in_torso, axes = self._arms_in_torso(q)
        moments = (in_torso @ self._arms.inertias[..., 3, None])[..., 0]  # (2, 7, 4)
        carried = moments[:, ::-1].cumsum(axis=1)[:, ::-1]  # of the joint's child and all beyond it
        lever = carried[..., :3] - carried[..., 3:] * in_torso[..., :3, 3]  # (2, 7, 3) [kg m] from the joint
        return -(axes * (lever @ cross_gravity.T)).sum(axis=-1).ravel()

    def arm_inertia(self, positions: Floats) -> Floats:
        """Inertia (14, 14) [kg m^2] of the arms in `g1.ARMS` order, rotors included: torques for an acceleration.

        positions: (29,) [rad] in motor order, as in LowState_; the hands count as open, the torso as at rest. Entry
        i j is the trace of A_i S A_j^T, where A is the unit twist of a joint as a matrix and S the pseudo-inertia of
        all that both joints carry: the composite-rigid-body method (Featherstone 2008) in pseudo-inertias. Raises
        ValueError for another shape or values that are not finite.
        """
        q = np.asarray(positions, dtype=np.float64)
        if q.shape != (g1.NUM_MOTORS,) or not np.isfinite(q).all():
            raise ValueError(f"positions must be {g1.NUM_MOTORS} finite angles [rad], got {positions!r}")
        in_torso, axes = self._arms_in_torso(q)
        moved = in_torso @ self._arms.inertias @ in_torso.swapaxes(-1, -2)
        carried = moved[:, ::-1].cumsum(axis=1)[:, ::-1]  # (2, 7, 4, 4)
        twists = np.zeros_like(in_torso)
        x, y, z = np.moveaxis(axes, -1, 0)
        twists[..., 0, 1], twists[..., 1, 0] = -z, z
        twists[..., 0, 2], twists[..., 2, 0] = y, -y
        twists[..., 1, 2], twists[..., 2, 1] = -x, x
        twists[..., :3, 3] = -(twists[..., :3, :3] @ in_torso[..., :3, 3, None])[..., 0]
        weighted = twists @ carried  # (2, 7, 4, 4), of the joint that carries less
        below = np.einsum("aiuv,ajuv->aij", weighted, twists)  # right where i is not above j
        upper = np.triu(below.swapaxes(1, 2), 1)
        inertia = np.zeros((len(g1.ARMS), len(g1.ARMS)))
        for side, block in enumerate(np.tril(below) + upper):
            own = slice(7 * side, 7 * side + 7)
            inertia[own, own] = block
        inertia[np.diag_indices(len(inertia))] += g1.ARM_ROTOR_INERTIA_KG_M2
        return inertia

    def _arms_in_torso(self, q: Floats) -> tuple[Floats, Floats]:
        """Poses (2, 7, 4, 4) and axes (2, 7, 3) of the arms' joints in the torso. q: (29,) [rad] in motor order."""
        arms = self._arms
        angle = q[arms.motors][:, :, None, None]
        in_torso = arms.constant + np.sin(angle) * arms.sine + np.cos(angle) * arms.cosine
        for i in range(1, in_torso.shape[1]):
            in_torso[:, i] = in_torso[:, i - 1] @ in_torso[:, i]
        return in_torso, (in_torso[..., :3, :3] @ arms.axes[..., None])[..., 0]

    def _path(self, link: str) -> tuple[urdf.Joint, ...]:
        """Joints from the root to the link."""
        if link not in self._path_by_link:
            path = []
            at = link
            while at != self.root:
                if at not in self._above:
                    raise KeyError(f"no link {at!r}; there are {', '.join(self.link_names)}")
                path.append(self._above[at])
                at = path[-1].parent
            self._path_by_link[link] = tuple(reversed(path))
        return self._path_by_link[link]

    def _product(self, chain: Iterable[urdf.Joint], positions: Mapping[str, float], default: float | None) -> Floats:
        result = np.eye(4)
        for joint in chain:
            result = result @ joint.child_in_parent(self._position(joint, positions, default) if joint.moves else 0.0)
        return result

    def _position(self, joint: urdf.Joint, positions: Mapping[str, float], default: float | None) -> float:
        if joint.name in positions:
            return positions[joint.name]
        if joint.mimic is not None:
            master = self._position(self._joints[joint.mimic.master], positions, default)
            return joint.mimic.multiplier * master + joint.mimic.offset
        if default is None:
            raise KeyError(f"no position for {joint.name!r}; positions has {', '.join(sorted(positions)) or 'none'}")
        return default

    def _arm_chain(self) -> _ArmChain:
        arms = [[self._joints[name] for name in group.names] for group in (g1.LEFT_ARM, g1.RIGHT_ARM)]
        for arm in arms:
            links = [TORSO, *(j.child for j in arm)]
            if [j.parent for j in arm] != links[:-1]:
                raise urdf.ModelError(f"expected a chain from {TORSO}, got {[j.name for j in arm]}")
        return _ArmChain(
            motors=np.array([[j.motor for j in group.joints] for group in (g1.LEFT_ARM, g1.RIGHT_ARM)]),
            axes=np.array([[j.axis for j in arm] for arm in arms]),
            constant=np.array([[j.constant for j in arm] for arm in arms]),
            sine=np.array([[j.sine for j in arm] for arm in arms]),
            cosine=np.array([[j.cosine for j in arm] for arm in arms]),
            inertias=np.array([[self._rigid_inertia(j.child) for j in arm] for arm in arms]),
        )

    def _rigid_inertia(self, link: str) -> Floats:
        """Pseudo-inertia (4, 4) of the link with all that hangs on it by fixed joints or open fingers."""
        open_hands = dict(zip(g1.HANDS.names, g1.HANDS.column("lower"), strict=True))
        total = self._inertias[link].copy()
        for joint in self._joints.values():
            if joint.parent == link and joint.name not in g1.ARMS.names:
                transform = joint.child_in_parent(self._position(joint, open_hands, None) if joint.moves else 0.0)
                total += transform @ self._rigid_inertia(joint.child) @ transform.T
        return total


def gravity_in_pelvis(quaternion_wxyz: Floats) -> Floats:
    """Gravity (3,) [m/s^2] in the pelvis frame from the orientation that the pelvis IMU reports.

    quaternion_wxyz: (4,) pelvis in a world with z up. Raises ValueError unless its norm is 1 within 1 %: an IMU that
    has not started reports zeros.
    """
    q = np.asarray(quaternion_wxyz, dtype=np.float64)
    norm = float(np.linalg.norm(q)) if q.shape == (4,) else float("nan")
    if not 0.99 < norm < 1.01:
        raise ValueError(f"imu quaternion must be 4 numbers of norm 1, got {quaternion_wxyz!r}")
    w, x, y, z = q / norm
    up_in_pelvis = np.array([2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z])
    return -STANDARD_GRAVITY * up_in_pelvis


def inverse(a_in_b: Floats) -> Floats:
    """b_in_a of a rigid transform, (4, 4)."""
    b_in_a = np.eye(4)
    b_in_a[:3, :3] = a_in_b[:3, :3].T
    b_in_a[:3, 3] = -a_in_b[:3, :3].T @ a_in_b[:3, 3]
    return b_in_a
