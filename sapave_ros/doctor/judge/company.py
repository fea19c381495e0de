"""Who else is on the robot: its motion service, its hands, and writers beside us."""

from __future__ import annotations

import json

from sapave_ros import g1
from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.judge.robot import REGULAR, RobotFacts
from sapave_ros.doctor.settings import Settings
from sapave_ros.drivers.unitree_sdk import ROBOT_CYCLONEDDS

FSM_NAMES = {
    0: "zero torque", 1: "damp", 2: "squat", 3: "sit", 4: "lock stand", 500: "regular", 501: "regular, 3-DoF waist",
    702: "lie to stand", 706: "squat to stand", 801: "run",
}  # fmt: skip
ARM_SDK_FSM = (500, 501)
"""States in which the motion service blends `rt/arm_sdk` in; 801 is reported to do so on some firmware only."""


def hands(settings: Settings, facts: RobotFacts) -> Outcome:
    """Both Inspire hands report."""
    if settings.sim and not facts.expected and not facts.hand_frames:
        return skipped(f"no simulated robot runs in DDS domain {settings.dds_domain}", f"{settings.start}, then again")
    if not facts.hand_frames and not facts.frames:
        return skipped("nothing of the robot was heard", "mend 'robot state' above")
    if not facts.hand_frames:
        others = sorted(
            {w[0] for w in facts.writers or [] if w[0].endswith(("state", "state/l")) and "inspire/" not in w[0]}
        )
        found = "rt/inspire/state: nothing in 2 s" + (f"; other hands speak on {joined(others)}" if others else "")
        return wrong(found, "start the hand service on the robot's computer: sudo ./inspire_g1 (dfx_inspire_service)")
    if len(facts.hands) != len(g1.HANDS):
        return wrong(
            f"rt/inspire/state has {len(facts.hands)} entries; expected {len(g1.HANDS)}",
            "connect both hands and start their service again: it reports six entries for each",
        )
    outside = [q for q in facts.hands if not -0.01 <= q <= 1.01]
    if outside:
        return wrong(
            f"rt/inspire/state: opening {outside[0]:.2f}; expected 0 to 1",
            "start the hand service again, and update it",
        )
    return ok(f"rt/inspire/state: {facts.hand_frames} messages of {len(facts.hands)} fingers in 2 s")


def motion_service(settings: Settings, facts: RobotFacts) -> Outcome:
    """The robot's own controller runs and blends `rt/arm_sdk` in; without it nothing moves and nothing says so."""
    if settings.sim:
        return skipped("the simulated robot blends arm_sdk in without a motion service", "on a robot: sapave doctor")
    if not facts.frames:
        return skipped("nothing of the robot was heard", "mend 'robot state' above")
    mode = _answer(facts.switcher, "name")
    fsm = _answer(facts.fsm, "data")
    if mode == "":
        return wrong(
            "the motion service is released (debug mode): rt/arm_sdk moves nothing",
            "restart the robot, or MotionSwitcherClient().SelectMode('ai'), then " + REGULAR,
        )
    if fsm is None or not fsm.isdecimal():
        code = facts.fsm[0] if facts.fsm else "none"
        return wrong(
            f"the motion service does not answer (GetFsmId: code {code})", f"restart the robot, then {REGULAR}"
        )
    named = f"FSM {fsm} ({FSM_NAMES.get(int(fsm), 'unknown')}), mode {mode or 'unknown'}"
    if int(fsm) not in ARM_SDK_FSM:
        return wrong(f"{named}: rt/arm_sdk is followed in regular mode alone (500, 501)", REGULAR)
    return ok(named)


def _answer(reply: list, key: str) -> str | None:
    """The text under that key of a service's answer, None without an answer."""
    if not reply or reply[0] != 0:
        return None
    try:
        return str(json.loads(reply[1])[key])
    except (ValueError, KeyError, TypeError):
        return None


def writers(settings: Settings, facts: RobotFacts) -> Outcome:
    """Nobody else commands arms, hands, neck or motors."""
    if facts.writers is None:
        if facts.writers_trouble:
            return warning(
                f"DDS discovery cannot be read: {facts.writers_trouble}",
                f"use cyclonedds {' or '.join(ROBOT_CYCLONEDDS)}, and stop every other program that commands the robot",
            )
        return skipped("DDS was not opened", "mend 'robot state' above")
    commanding = [w for w in facts.writers if not w[0].endswith(("state", "state/l"))]
    strangers = [w for w in commanding if not (w[2] and w[2] in facts.ours)]
    twice = sorted({w[0] for w in commanding if w not in strangers and sum(v[0] == w[0] for v in commanding) > 1})
    own = sorted({f"{w[0]} (process {w[2]})" for w in commanding if w not in strangers})
    motion = [w for w in strangers if w[0] == "rt/lowcmd"]
    beside = [w for w in strangers if w[0] != "rt/lowcmd"]
    if beside or len(motion) > 1:
        who = joined(f"{w[0]} by {_process(w)}" for w in beside or motion)
        return wrong(f"other writers: {who}", "stop those programs; one writer per actuator")
    if twice:
        who = joined(f"{w[0]} by {_process(w)}" for w in commanding if w[0] in twice)
        return wrong(f"two of our own: {who}", "kill the older one, which an earlier run left behind")
    if motion:
        return warning(
            f"rt/lowcmd by {_process(motion[0])}: the robot's own controller, or a program beside it",
            "make sure that no program commands rt/lowcmd (the robot's controller may)",
        )
    return ok(f"ours alone: {joined(own)}" if own else "nobody commands arms, hands, neck or motors")


def _process(writer: list[str]) -> str:
    _, host, pid, name = writer
    return f"{name or 'a process'} {pid} on {host}".replace("  ", " ") if host or pid else "an unknown process"
