"""Everything that is watched for, in one table: what it is, what it does to the state, and who sees it.

A node reports findings by these names (`/sapave/health`), the watchdog adds its own and applies the effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a fault does to a robot that may move."""

    WARN = "is said, and nothing else"
    HOLD = "HOLD"
    STOP = "ESTOP"


@dataclass(frozen=True)
class FaultRow:
    """One fault. resumes_after_s: motion goes on by itself once the cause is gone this long [s]; None = by hand."""

    meaning: str
    effect: Effect
    seen_by: str
    resumes_after_s: float | None = None


class Fault(Enum):
    """What can be wrong; the value is its row."""

    # What has to keep coming.
    STREAM_LOST = FaultRow("a stream of the table is missing or too old", Effect.HOLD, "watchdog")
    STREAM_SLOW = FaultRow("a stream comes at less than a fifth of its rate", Effect.HOLD, "watchdog", 2.0)
    CLOCKS_DISAGREE = FaultRow("stamps and this computer's clock tell different times", Effect.HOLD, "watchdog")
    CLOCK_JUMPED = FaultRow("ROS time was set while the robot moved", Effect.HOLD, "watchdog")
    WATCHDOG_BLIND = FaultRow("the watchdog itself stood still", Effect.HOLD, "watchdog")
    SECOND_PERMIT = FaultRow("somebody else publishes permits", Effect.HOLD, "head, arm")
    # The policy.
    CHUNKS_LATE = FaultRow("chunks arrive when more than half of each is past", Effect.HOLD, "watchdog", 1.0)
    CHUNKS_REFUSED = FaultRow("nothing but chunks that had to be refused", Effect.HOLD, "head, arm")
    POLICY_STUCK = FaultRow("the policy sends the same chunk bit for bit", Effect.HOLD, "watchdog")
    POLICY_CHATTERS = FaultRow("the policy reverses itself with every chunk", Effect.HOLD, "watchdog")
    POLICY_INVALID = FaultRow("the policy answers with numbers that are not finite, or huge", Effect.HOLD, "inference")
    POLICY_SLOW = FaultRow("the policy hangs, or answers when its motion is past", Effect.HOLD, "inference")
    POLICY_IDLE = FaultRow("told to act, the policy hardly moves: at its goal, or lost", Effect.WARN, "watchdog")
    # The camera.
    CAMERA_REPEATS = FaultRow("new stamps on the same picture", Effect.HOLD, "camera")
    CAMERA_BLACK = FaultRow("the picture is black or one colour", Effect.HOLD, "camera")
    DEPTH_LOST = FaultRow("hardly a pixel has depth", Effect.HOLD, "camera")
    # The arms.
    BODY_UNKNOWN = FaultRow("not a body that may be moved: variant, or a joint without a position", Effect.STOP, "arm")
    ROBOT_STATES = FaultRow("the robot's states repeat, or begin anew: it hangs or restarted", Effect.STOP, "arm")
    GUARD_LOST = FaultRow("nobody is left who hands the arms back if the SDK process dies", Effect.HOLD, "arm")
    MOTOR_LOST = FaultRow("a motor of the arms is off while we have it", Effect.STOP, "arm")
    MOTOR_ERROR = FaultRow("a motor of the arms reports an error", Effect.STOP, "arm")
    MOTOR_HOT = FaultRow("a motor of the arms is too hot", Effect.STOP, "arm")
    MOTOR_WARM = FaultRow("a motor of the arms is warm", Effect.WARN, "arm")
    MOTOR_TORQUE = FaultRow("a motor of the arms pushes as hard as it can", Effect.STOP, "arm")
    VOLTAGE_LOW = FaultRow("the battery is nearly empty", Effect.STOP, "arm")
    ARMS_DROPPED = FaultRow("the arms do not follow although we have them: somebody else took them", Effect.STOP, "arm")
    FALLING = FaultRow("the robot tilts: its arms are its own again at once", Effect.STOP, "arm")
    SECOND_WRITER = FaultRow("somebody else commands the arms or the hands", Effect.STOP, "arm")
    # The neck.
    SERVO_ERROR = FaultRow("a servo reports a hardware error, or refuses", Effect.HOLD, "head")
    SERVO_LOST_TORQUE = FaultRow("a servo restarted or let go by itself", Effect.HOLD, "head")
    SERVO_HOT = FaultRow("a servo is hot", Effect.HOLD, "head")
    # People.
    JOYSTICK_LOST = FaultRow("the joystick is gone while somebody has taken over", Effect.HOLD, "teleop")
    STOP_BY_TOPIC = FaultRow("the emergency stop is pressed", Effect.STOP, "watchdog")
    STOP_BY_JOYSTICK = FaultRow("the stop button of the joystick is down", Effect.STOP, "teleop")
    STOP_BY_REMOTE = FaultRow("the stop of the Unitree remote is down", Effect.STOP, "arm")

    @property
    def row(self) -> FaultRow:
        return self.value


Findings = Mapping[Fault, str]
"""What is wrong now: fault to detail, for people."""

PEOPLE = frozenset({Fault.STOP_BY_TOPIC, Fault.STOP_BY_JOYSTICK, Fault.STOP_BY_REMOTE})
"""A person's stop counts in every state; other faults find nothing to stop where nothing may move."""


def described(findings: Findings) -> str:
    """The findings as one line."""
    return "; ".join(f"{fault.name}: {detail}" for fault, detail in findings.items())


def that_stop(findings: Findings) -> dict[Fault, str]:
    """Without the warnings."""
    return {f: detail for f, detail in findings.items() if f.row.effect is not Effect.WARN}
