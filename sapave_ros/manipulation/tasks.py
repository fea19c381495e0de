"""The tasks of ActiveManip-Bench by name: what stands where, who knows how it is done, and when it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sapave_ros.manipulation import articulated
from sapave_ros.manipulation.expert import Expert
from sapave_ros.manipulation.placings import (
    beside,
    from_the_shelf,
    hand_to_hand,
    into_the_box,
    onto_the_tray,
    stacked,
)
from sapave_ros.manipulation.progress import Placed
from sapave_ros.manipulation.relay import Relay
from sapave_ros.manipulation.settings import Setting
from sapave_ros.manipulation.worked import Pressed, Worked
from sapave_ros.manipulation.working import Worker

FAMILIES = ("pick-and-place", "articulated")


@dataclass(frozen=True)
class Task:
    """family: of `FAMILIES`. setting: seed and condition to what stands where. expert: world, setting and inverse
    kinematics to an actor that does it, whose `stage` says what it is at. progress: world, setting and criterion to a
    `progress.Progress`.
    """

    family: str
    setting: Callable[[int, str], Setting]
    expert: Callable[..., Any]
    progress: Callable[..., Any]


TASKS = {
    "onto the tray": Task("pick-and-place", onto_the_tray, Expert, Placed),
    "into the box": Task("pick-and-place", into_the_box, Expert, Placed),
    "beside": Task("pick-and-place", beside, Expert, Placed),
    "stacked": Task("pick-and-place", stacked, Expert, Placed),
    "from the shelf": Task("pick-and-place", from_the_shelf, Expert, Placed),
    "hand to hand": Task("pick-and-place", hand_to_hand, Relay, Placed),
    "press": Task("articulated", articulated.press, Worker, Pressed),
    "slide": Task("articulated", articulated.slide, Worker, Worked),
    "open the drawer": Task("articulated", articulated.open_drawer, Worker, Worked),
    "close the drawer": Task("articulated", articulated.close_drawer, Worker, Worked),
    "open the door": Task("articulated", articulated.open_door, Worker, Worked),
    "close the door": Task("articulated", articulated.close_door, Worker, Worked),
    "turn": Task("articulated", articulated.turn, Worker, Worked),
}
