"""How smooth it is when a person takes over: the largest step of a command, against what the velocity limit allows.

In lockstep, the policy asks for full speed while head and arms are taken, moved and given back. With `--live`, the same
script plays on the joystick topic of the real processes under simulation, while the policy looks for something.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sapave_ros import g1
from sapave_ros.bench.rehearsal import Rehearsal, Track
from sapave_ros.cli import json_argument
from sapave_ros.core.pads import load
from sapave_ros.types import Floats, Grip

DEFAULT_PAD = "game_controller"

Deed = tuple[str, dict[str, float], float]
"""What the person does, for people, or nothing; the functions of the pad that are held meanwhile; and how long [s]."""

_HELD = {"deadman": 1.0, "fast": 1.0}
SCRIPT: tuple[Deed, ...] = (
    ("the policy has all", {}, 1.5),
    ("holds the deadman", _HELD, 0.3),
    ("takes the head", {**_HELD, "take_head": 1.0}, 0.1),
    ("", _HELD, 0.5),
    ("looks left", {**_HELD, "left": 1.0}, 0.6),
    ("looks right and up", {**_HELD, "left": -1.0, "forward": 1.0}, 0.6),
    ("", _HELD, 0.4),
    ("takes the arms", {**_HELD, "take_arms": 1.0}, 0.1),
    ("", _HELD, 0.5),
    ("left hand forward", {**_HELD, "forward": 1.0}, 0.8),
    ("left hand up and left", {**_HELD, "up": 1.0, "left": 1.0}, 0.8),
    ("fingers close", {**_HELD, "close": 1.0}, 0.5),
    ("left hand back, full stick", {**_HELD, "forward": -1.0}, 0.5),
    ("lets go of the deadman meanwhile", {"forward": -1.0}, 0.5),
    ("holds it again", _HELD, 0.3),
    ("gives back the head", {**_HELD, "take_head": 1.0}, 0.1),
    ("", _HELD, 0.8),
    ("gives back the arms", {**_HELD, "take_arms": 1.0}, 0.1),
    ("", {}, 1.5),
)


@dataclass(frozen=True)
class Course:
    """What one controller commanded. times [s] (m,), positions [rad] (m, n), taken (m,): what the person had of it.

    velocity, acceleration: (n,) limits.
    """

    names: tuple[str, ...]
    times: Floats
    positions: Floats
    taken: list[Grip]
    velocity: Floats
    acceleration: Floats

    @classmethod
    def of(cls, track: Track) -> Course:
        limits = track.controller.gate.limits
        return cls(
            track.controller.group.names,
            np.array(track.times),
            np.array(track.positions),
            track.grips,
            limits.velocity,
            limits.acceleration,
        )

    @property
    def speeds(self) -> Floats:
        """(m - 1, n) [rad/s]."""
        return np.diff(self.positions, axis=0) / np.diff(self.times)[:, None]

    def figures(self) -> dict[str, float]:
        """Largest step and largest change of speed of a tick, as shares of what the limits allow in one.

        `at_changes`: within half a second of a change of who has the joints.
        """
        speeds = self.speeds
        steps = np.abs(speeds / self.velocity).max(axis=1)
        kicks = np.abs(np.diff(speeds, axis=0) / np.diff(self.times)[1:, None] / self.acceleration).max(axis=1)
        changes = [t for t, a, b in zip(self.times[1:], self.taken[:-1], self.taken[1:], strict=True) if a is not b]
        near = np.zeros(len(steps), dtype=bool)
        for t in changes:
            near |= np.abs(self.times[1:] - t) < 0.5
        return {
            "changes": len(changes),
            "step": float(steps.max()),
            "step_at_changes": float(steps[near].max(initial=0.0)),
            "speed_change": float(kicks.max()),
            "speed_change_at_changes": float(kicks[near[1:]].max(initial=0.0)),
        }


def rehearse(pad: str = DEFAULT_PAD) -> tuple[dict[str, Course], list[tuple[float, str]]]:
    """The script in lockstep: what head and arms were commanded, and when the person did what."""
    rehearsal = Rehearsal(load(pad), start={**g1.HEAD_HOME, **g1.ARMS_HOME}).arm()
    deeds = []
    for text, held, seconds in SCRIPT:
        deeds.append((rehearsal.t, text))
        rehearsal.pad.do = {name: v for name, v in held.items() if name in rehearsal.pad.pad.places}
        rehearsal.run(seconds)
    return {"head": Course.of(rehearsal.head), "arms": Course.of(rehearsal.arms)}, deeds


_SHADE = {Grip.HOLD: "tab:orange", Grip.MOVE: "tab:green"}
_SHOWN = {
    "head": g1.HEAD.names,
    "arms": ("left_shoulder_pitch_joint", "left_elbow_joint", "right_elbow_joint", "L_index_proximal_joint"),
}


def _spans(course: Course) -> Iterator[tuple[Grip, float, float]]:
    """Stretches of time in which the grip stays the same."""
    begin = 0
    for i in range(1, len(course.times) + 1):
        if i == len(course.times) or course.taken[i] is not course.taken[begin]:
            yield course.taken[begin], float(course.times[begin]), float(course.times[i - 1])
            begin = i


def plot(courses: dict[str, Course], deeds: list[tuple[float, str]], title: str, path: Path) -> None:
    """Commanded positions and speeds over time, with who has the joints as a shade, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(2 * len(courses), 1, figsize=(15, 4.2 * len(courses)), sharex=True)
    for row, (name, course) in enumerate(courses.items()):
        above, below = axes[2 * row], axes[2 * row + 1]
        for joint in _SHOWN[name]:
            i = course.names.index(joint)
            above.plot(course.times, course.positions[:, i], lw=1.2, label=joint.removesuffix("_joint"))
            below.plot(course.times[1:], course.speeds[:, i] / course.velocity[i], lw=1.0)
        above.set_ylabel(f"{name}\ncommand [rad]")
        below.set_ylabel("speed / limit")
        below.set_ylim(-1.15, 1.15)
        below.axhline(1.0, color="0.5", lw=0.8, ls=":")
        below.axhline(-1.0, color="0.5", lw=0.8, ls=":")
        for grip, begin, end in _spans(course):
            if grip in _SHADE:
                for axis in (above, below):
                    axis.axvspan(begin, end, color=_SHADE[grip], alpha=0.15, lw=0)
        above.legend(loc="upper left", fontsize=8, ncols=4)
    for t, text in deeds:
        for axis in axes:
            axis.axvline(t, color="0.8", lw=0.6, zorder=0)
        axes[0].annotate(text, (t, 1.02), xycoords=("data", "axes fraction"), rotation=40, fontsize=7, ha="left")
    shades = [Patch(color=colour, alpha=0.3) for colour in _SHADE.values()]
    axes[-1].legend(shades, ["taken, stands", "taken, follows the stick"], loc="lower left", fontsize=8, ncols=2)
    axes[-1].set_xlabel("time [s]")
    figure.suptitle(title, x=0.01, ha="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def show(figures: dict[str, dict[str, float]]) -> None:
    """Prints what was measured."""
    for name, f in figures.items():
        print(
            f"  {name:5} largest step of a command: {f['step_at_changes']:.3f} of one tick of the velocity limit within"
            f" 0.5 s of {f['changes']:.0f} changes of hands ({f['step']:.3f} at all times)"
        )
        print(
            f"  {'':5} largest change of speed: {f['speed_change_at_changes']:.3f} of one tick of the acceleration"
            f" limit ({f['speed_change']:.3f} at all times)"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench takeover`."""
    parser.add_argument("--pad", default=DEFAULT_PAD, help="which pad is played: a map of config/teleop.yaml")
    parser.add_argument("--live", action="store_true", help="then also on the real processes under simulation")
    parser.add_argument("--ros-domain", type=int, default=61)
    parser.add_argument("--dds-domain", type=int, default=62)
    parser.add_argument("--output", type=Path, default=Path("out/takeover"), help="folder of the plot")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Plays, prints and plots. Exit code 1 where a step exceeds the velocity limit, or nobody could take over."""
    courses, deeds = rehearse(args.pad)
    figures = {name: course.figures() for name, course in courses.items()}
    print("a takeover in lockstep, the policy at full speed before and after")
    show(figures)
    picture = args.output / "takeover.png"
    plot(courses, deeds, "takeover in lockstep: what head and arms are commanded", picture)
    print(f"  plot: {picture}")
    result: dict[str, dict[str, dict[str, float]]] = {"lockstep": figures}
    if args.live:
        result["live"] = _live(args)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return int(any(f["step"] > 1.0 + 1e-6 or not f["changes"] for of in result.values() for f in of.values()))


def _live(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    from sapave_ros.bench.takeover_live import play
    from sapave_ros.plan import Options

    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    options = Options(sim=True, ros_domain=args.ros_domain, dds_domain=args.dds_domain)
    courses, deeds, states = play(SCRIPT, args.pad, options)
    figures = {name: course.figures() for name, course in courses.items()}
    print("the same on the real processes, from the commands that they publish 50 times a second")
    show(figures)
    print(f"  states of the watchdog: {' -> '.join(states)}")
    picture = args.output / "takeover_live.png"
    plot(courses, deeds, "takeover of the real processes under simulation", picture)
    print(f"  plot: {picture}")
    return figures
