"""What somebody is to look at, as plain data: what the truth of a live simulator is about."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from sapave_ros.sim.rooms import Room


@dataclass(frozen=True)
class Aim:
    """A target as plain data, which can be handed to another process.

    names: of items or landmarks of a room, any of which is right. pose: a head pose (yaw, pitch) [rad] instead, which
    a single name is for. Nothing at all: there is no target.

    Raises ValueError on a pose without a name or with several.
    """

    names: tuple[str, ...] = ()
    pose: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.pose is not None and len(self.names) != 1:
            raise ValueError(f"target: {len(self.names)} names for a head pose, expected one")

    @property
    def name(self) -> str | None:
        """How a person calls it, None for no target."""
        return " or ".join(self.names) or None

    def arguments(self) -> list[str]:
        """On a command line."""
        pose = ["--target-pose", *(f"{angle:.6f}" for angle in self.pose)] if self.pose is not None else []
        return [word for name in self.names for word in ("--target", name)] + pose

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--target", action="append", metavar="NAME", help="what the truth is about; again for more that is right"
        )
        parser.add_argument(
            "--target-pose", nargs=2, type=float, metavar="RAD", help="yaw and pitch of the head that --target names"
        )

    @classmethod
    def of(cls, options: argparse.Namespace) -> Aim:
        """The inverse of `arguments`, in which no name and an empty one are nothing. Raises ValueError as the class."""
        names = tuple(name for name in options.target or () if name)
        if options.target_pose is None:
            return cls(names)
        yaw, pitch = options.target_pose
        return cls(names, (yaw, pitch))

    def check(self, room: Room) -> None:
        """Raises ValueError on a name that nothing in the room has, which lists those that something has."""
        names = (*room.scene.names, *(m.name for m in room.landmarks))
        unknown = [n for n in self.names if n not in names]
        if unknown and self.pose is None:
            raise ValueError(f"target: no {unknown[0]!r} in the room; there are {', '.join(names)}")


NOTHING = Aim()
"""There is no target."""
