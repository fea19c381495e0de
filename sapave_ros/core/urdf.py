"""What a URDF says about joints and masses, in the form that kinematics computes with."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sapave_ros.types import Floats


class ModelError(ValueError):
    """The robot description is not what this module can compute with."""


@dataclass(frozen=True)
class Mimic:
    """position = multiplier * position of the master + offset."""

    master: str
    multiplier: float
    offset: float


@dataclass(frozen=True)
class Joint:
    """child_in_parent(q) = constant + sin(q) * sine + cos(q) * cosine, all (4, 4).

    That is Rodrigues' formula, R = k k^T + sin(q) [k]x + cos(q) (I - k k^T), behind the joint's fixed origin. A fixed
    joint has only the constant.
    """

    name: str
    parent: str
    child: str
    mimic: Mimic | None
    moves: bool
    axis: Floats  # (3,) in the child's frame
    constant: Floats
    sine: Floats
    cosine: Floats

    def child_in_parent(self, position: float) -> Floats:
        return self.constant + math.sin(position) * self.sine + math.cos(position) * self.cosine

    def between(self, left: Floats, right: Floats) -> Joint:
        """The joint with fixed transforms (4, 4) folded in on both sides."""
        constant, sine, cosine = (left @ m @ right for m in (self.constant, self.sine, self.cosine))
        return replace(self, constant=constant, sine=sine, cosine=cosine)


def read(path: Path) -> tuple[list[Joint], dict[str, Floats]]:
    """All joints, and the pseudo-inertia (4, 4) of every link, in the link.

    It is the mass-weighted mean of p p^T over homogeneous points p: second moments [kg m^2], first moments [kg m] in
    the last column, mass [kg] in the corner. It moves with the link as T J T^T (Wensing, Kim and Slotine 2018).

    Raises ModelError naming the joint whose type is neither fixed nor revolute.
    """
    robot = ElementTree.parse(path).getroot()
    inertias = {link.attrib["name"]: _pseudo_inertia(link) for link in robot.iterfind("link")}
    return [_read_joint(element) for element in robot.iterfind("joint")], inertias


@dataclass(frozen=True)
class Shape:
    """A body on a link.

    kind: `box`, `cylinder` (along z) or `sphere`. size: (3,) its bounding box [m], in its own axes. shape_in_link:
    (4, 4). rgba: 0..1, white where the description has no colour.
    """

    link: str
    kind: str
    size: tuple[float, float, float]
    shape_in_link: Floats
    rgba: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)


def read_shapes(path: Path, element: str) -> list[Shape]:
    """Bodies of all links. element: `visual` or `collision`.

    Raises ModelError naming the link whose body is a mesh or unknown.
    """
    robot = ElementTree.parse(path).getroot()
    colours = {m.attrib["name"]: _colour(m) for m in robot.iterfind("material")}
    shapes = []
    for link in robot.iterfind("link"):
        for body in link.iterfind(element):
            form = body.find("geometry/*")
            kind = "" if form is None else form.tag
            if form is None or kind not in ("box", "cylinder", "sphere"):
                raise ModelError(f"link {link.attrib['name']}: {element} must be box, cylinder or sphere, got {kind!r}")
            if kind == "box":
                x, y, z = _vector(form.attrib["size"]).tolist()
            else:
                x = y = z = 2 * float(form.attrib["radius"])
                z = float(form.get("length", z))
            material = body.find("material")
            rgba: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
            if material is not None:
                rgba = _colour(material) if material.find("color") is not None else colours[material.attrib["name"]]
            shapes.append(Shape(link.attrib["name"], kind, (x, y, z), _origin(body), rgba))
    return shapes


def _colour(material: ElementTree.Element) -> tuple[float, ...]:
    color = material.find("color")
    return (1.0, 1.0, 1.0, 1.0) if color is None else tuple(_vector(color.attrib["rgba"]).tolist())


def _pseudo_inertia(link: ElementTree.Element) -> Floats:
    inertial = link.find("inertial")
    mass = link.find("inertial/mass")
    if inertial is None or mass is None:  # a frame without substance
        return np.zeros((4, 4))
    pseudo = np.zeros((4, 4))
    pseudo[3, 3] = float(mass.attrib["value"])
    tensor = link.find("inertial/inertia")
    if tensor is not None:
        xx, xy, xz, yy, yz, zz = (float(tensor.get(f"i{k}", "0")) for k in ("xx", "xy", "xz", "yy", "yz", "zz"))
        about_com = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        pseudo[:3, :3] = np.eye(3) * np.trace(about_com) / 2 - about_com
    origin = _origin(inertial)
    return np.asarray(origin @ pseudo @ origin.T)


def _vector(text: str) -> Floats:
    return np.array([float(word) for word in text.split()])


def _origin(element: ElementTree.Element) -> Floats:
    """The <origin> of a joint or inertial as (4, 4); rpy turns about the fixed axes x, y, z in this order."""
    origin = element.find("origin")
    transform = np.eye(4)
    if origin is not None:
        (sr, sp, sy), (cr, cp, cy) = (f(_vector(origin.get("rpy", "0 0 0"))) for f in (np.sin, np.cos))
        transform[:3, :3] = [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
        transform[:3, 3] = _vector(origin.get("xyz", "0 0 0"))
    return transform


def _read_joint(element: ElementTree.Element) -> Joint:
    name, kind = element.attrib["name"], element.attrib["type"]
    if kind not in ("fixed", "revolute"):
        raise ModelError(f"joint {name}: type must be fixed or revolute, got {kind}")
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None:
        raise ModelError(f"joint {name}: needs a parent and a child")
    origin = _origin(element)
    axis = np.zeros(3)
    constant, sine, cosine = origin, np.zeros((4, 4)), np.zeros((4, 4))
    if kind == "revolute":
        found = element.find("axis")
        axis = _vector(found.get("xyz", "1 0 0") if found is not None else "1 0 0")
        axis = axis / np.linalg.norm(axis)
        x, y, z = axis
        along, skew, across = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))
        along[:3, :3] = np.outer(axis, axis)
        along[3, 3] = 1.0
        skew[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
        across[:3, :3] = np.eye(3) - np.outer(axis, axis)
        constant, sine, cosine = origin @ along, origin @ skew, origin @ across
    coupled = element.find("mimic")
    mimic = None
    if coupled is not None:
        mimic = Mimic(coupled.attrib["joint"], float(coupled.get("multiplier", "1")), float(coupled.get("offset", "0")))
    return Joint(
        name, parent.attrib["link"], child.attrib["link"], mimic, kind == "revolute", axis, constant, sine, cosine
    )
