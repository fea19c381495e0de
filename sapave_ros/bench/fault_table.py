"""The rows of the fault bench. Those that end the graph come last, as each of them costs a new start."""

from __future__ import annotations

import math
import signal

from sapave_ros import g1, graph
from sapave_ros.bench import fault_starts as starts
from sapave_ros.bench.fault_actions import (
    Chunks,
    Disarm,
    Inject,
    Joy,
    Kill,
    Recorder,
    RestartWatchdog,
    SecondWatchdog,
    SecondWriter,
    SignalCommand,
    Starve,
    Stop,
    StopByCommand,
    StopByTopic,
)
from sapave_ros.bench.fault_graph import GUARD, SDK
from sapave_ros.bench.fault_recorder import (
    FULL,
    IN_ORDER,
    KILLED,
    Disk,
    Ending,
    on_a_slow_disk,
    on_a_small_disk,
    on_the_disk,
)
from sapave_ros.bench.fault_rig import Rig
from sapave_ros.bench.fault_rows import (
    RAMP_S,
    SILENT,
    SLACK_S,
    TICK_S,
    Arms,
    Row,
    reported,
    stale,
)
from sapave_ros.core.arm import HANDS_EXTRA_AGE_S
from sapave_ros.core.body_health import DROPPED_FOR_S, TORQUE_FOR_S
from sapave_ros.core.camera_health import DARK_FOR_S, DEPTH_LOST_FOR_S, REPEATS_FOR_S
from sapave_ros.core.controller import ControllerConfig
from sapave_ros.core.faults import Fault
from sapave_ros.core.gate import STATE_STALE_AFTER_S
from sapave_ros.core.health import RATE_SPAN_S, SLOW_SHARE
from sapave_ros.core.policy_health import CHATTER_FOR_S, IDLE_FOR_S, LATE_IN_A_ROW, STUCK_FOR_S
from sapave_ros.drivers.unitree_guard import LOOK_S, STUCK_LOOKS
from sapave_ros.drivers.unitree_stream import HOLD_AFTER_S, RELEASE_S, SETTLE_S
from sapave_ros.nodes.control import REFUSED_FOR_S
from sapave_ros.nodes.head import HEALTH_HZ as SERVO_HEALTH_HZ
from sapave_ros.sim.eyes import FRAMES_HZ

_CONFIG = ControllerConfig()
_FRAME_S, _CHUNK_S = 1.0 / FRAMES_HZ, 1.0 / graph.INFERENCE_HZ
_RELEASED_S = _CONFIG.release_s + 0.3
"""From the word to weight 0: the ramp, and a busy machine."""
_DAMPED_S = _CONFIG.damp_s + _RELEASED_S
_HANDED_BACK_S = SETTLE_S + RELEASE_S + 0.3
"""The same where the SDK process does it by itself."""

_DISCOVERY_S = 1.0
"""Until a new program on the network is heard by those that run already; nobody promises that."""

ELBOW = "left_elbow_joint"
_SLOW_HZ = 5.0


def _slow_noticed_s(rate_hz: float, nominal_hz: float, before_hz: float) -> float:
    """Until the last messages have taken longer than they may [s]."""
    last = math.ceil(SLOW_SHARE * nominal_hz * RATE_SPAN_S)
    messages = (last / (SLOW_SHARE * nominal_hz) - last / before_hz) / (1.0 / rate_hz - 1.0 / before_hz)
    return (messages + 1) / rate_hz + TICK_S + SLACK_S


def _held(name: str, action: Stop | Inject, fault: Fault, noticed_s: float, **other: object) -> Row:
    """Everything stands, and the arms are kept."""
    return Row(name, action, ("HOLD",), (fault,), noticed_s, **other)  # type: ignore[arg-type]


def _stopped(name: str, action: object, fault: Fault, noticed_s: float, **other: object) -> Row:
    """An emergency stop: the arms lose their stiffness and go back to the robot."""
    fields = {"arms": Arms.DAMPED, "released_s": noticed_s + _DAMPED_S, "stop_s": RAMP_S, "watch_s": 4.0} | other
    return Row(name, action, ("ESTOP",), (fault,), noticed_s, **fields)  # type: ignore[arg-type]


def _policy(kind: str, name: str, fault: Fault, noticed_s: float, *faults: Fault, **other: object) -> Row:
    """What a broken policy sends, while it is told to act. faults: others that may be the first to be seen."""
    fields = {"start": starts.in_place_of_the_policy} | other
    return Row(f"policy: {name}", Chunks(kind), ("HOLD",), (fault, *faults), noticed_s, **fields)  # type: ignore[arg-type]


def _motor(
    name: str,
    fault: str,
    arguments: dict[str, object],
    finding: Fault,
    noticed_s: float = reported(),
    **other: object,
) -> Row:
    return _stopped(f"motor: {name}", Inject(fault, arguments), finding, noticed_s, **other)


_JOINTS_S = STATE_STALE_AFTER_S + stale(graph.JOINT_STATES)
_MEASURED_S = STATE_STALE_AFTER_S + SLACK_S
_REFUSED_S = reported(REFUSED_FOR_S + _CHUNK_S)
_SERVO_S = reported(len(g1.HEAD) / SERVO_HEALTH_HZ)  # asked one after the other
_JOY_S = (graph.stream(graph.JOY).stale_after_s or 0.0) + 1.0 / graph.HEALTH_HZ + TICK_S + SLACK_S
_LOST = Fault.STREAM_LOST

CAMERA = (
    _held("camera frozen", Inject("camera_frozen"), Fault.CAMERA_REPEATS, reported(REPEATS_FOR_S + 2 * _FRAME_S)),
    _held("camera silent", Inject("camera_silent"), _LOST, stale(graph.CAMERA_INFO)),
    _held("camera black", Inject("camera_black"), Fault.CAMERA_BLACK, reported(DARK_FOR_S + 2 * _FRAME_S)),
    _held("camera without depth", Inject("camera_no_depth"), Fault.DEPTH_LOST, reported(DEPTH_LOST_FOR_S + _FRAME_S)),
    _held(
        "camera slow",
        Inject("camera_slow", {"rate_hz": _SLOW_HZ}),
        Fault.STREAM_SLOW,
        _slow_noticed_s(_SLOW_HZ, graph.CAMERA_HZ, FRAMES_HZ),
        watch_s=5.0,
        goes_on=True,
        after=("ACTIVE",),
    ),
    *(
        _held(
            f"camera stamps {seconds:+g} s",
            Inject("camera_stamp_jump", {"seconds": seconds}),
            Fault.CLOCKS_DISAGREE,
            2 * _FRAME_S + TICK_S + SLACK_S,
        )
        for seconds in (1.0, -1.0)
    ),
)

ROBOT = (
    _held("robot state silent", Inject("state_silent"), _LOST, _JOINTS_S),
    _stopped("robot state frozen", Inject("state_frozen"), Fault.ROBOT_STATES, reported()),
    _held("robot state corrupt", Inject("state_corrupt"), _LOST, _JOINTS_S),
    _held("hands silent", Inject("hands_silent"), _LOST, HANDS_EXTRA_AGE_S + _JOINTS_S),
    _held("robot link down", Inject("link_down"), _LOST, _JOINTS_S),
    _motor("hot", "motor_temperature", {"joint": ELBOW, "casing": 90, "winding": 60}, Fault.MOTOR_HOT),
    _motor("error bit", "motor_error", {"joint": ELBOW, "bits": 0x400}, Fault.MOTOR_ERROR),
    # What falls at the elbow swings the joints above it; and the fault's end gives the elbow its motor back.
    _motor("lost", "motor_lost", {"joint": ELBOW}, Fault.MOTOR_LOST, free=g1.LEFT_ARM.names, goes_on=None),
    _motor("voltage low", "motor_voltage", {"volts": 38.0}, Fault.VOLTAGE_LOW),
    _motor(
        "pushes",
        "motor_torque",
        {"joint": ELBOW, "newton_metres": 25.0},
        Fault.MOTOR_TORQUE,
        noticed_s=reported(TORQUE_FOR_S),
    ),
    _stopped("robot says to be another", Inject("variant", {"mode_machine": 4}), Fault.BODY_UNKNOWN, reported()),
    Row(
        "motor: warm",
        Inject("motor_temperature", {"joint": ELBOW, "casing": 75, "winding": 60}),
        ("ACTIVE",),
        (Fault.MOTOR_WARM,),
        ends=frozenset(),
        moves=True,
        goes_on=True,
    ),
    _stopped(
        "robot tilts",
        Inject("tilt", {"rad": 0.8}),
        Fault.FALLING,
        reported(),
        arms=Arms.RELEASED,
        released_s=reported() + RAMP_S,
        free=g1.ARMS.names,  # the robot's own controller has them at once, and pulls them where it wants them
        watch_s=2.0,
    ),
    _stopped(
        "arms dropped by the robot",
        Inject("arms_dropped"),
        Fault.ARMS_DROPPED,
        reported(DROPPED_FOR_S + 1.0),  # they fall for up to a second before they are far from their command
        arms=Arms.THEIRS,
        ends=frozenset({"head"}),
        free=g1.ARMS.names,
        goes_on=None,
    ),
)

NECK = (
    _held("servo silent", Inject("servo_silent", {"joint": "head_yaw_joint"}), _LOST, _JOINTS_S),
    _held("servo bus garbage", Inject("servo_garbage"), _LOST, _JOINTS_S),
    _held("servo bus slow", Inject("servo_delay", {"seconds": 0.1}), _LOST, _JOINTS_S),
    Row(
        "servo shuts down with an error",
        Inject("servo_error", {"joint": "head_yaw_joint", "bits": 32}),
        ("HOLD",),
        (Fault.SERVO_ERROR,),
        _SERVO_S,
    ),
    _held(
        "servo reports an error",
        Inject("servo_error", {"joint": "head_yaw_joint", "bits": 8}),
        Fault.SERVO_ERROR,
        _SERVO_S,
    ),
    _held(
        "servo hot",
        Inject("servo_temperature", {"joint": "head_yaw_joint", "celsius": 68}),
        Fault.SERVO_HOT,
        _SERVO_S,
    ),
    _held(
        "servo restarts",
        Inject("servo_rebooted", {"joint": "head_yaw_joint"}),
        Fault.SERVO_LOST_TORQUE,
        _SERVO_S,
    ),
)

POLICY = (
    _policy("NaN", "NaN", Fault.CHUNKS_REFUSED, _REFUSED_S),
    _policy("huge", "huge steps", Fault.CHUNKS_REFUSED, _REFUSED_S),
    _policy("other joints", "another's joints", Fault.CHUNKS_REFUSED, _REFUSED_S),
    _policy("old", "stamps 10 s old", Fault.CHUNKS_REFUSED, _REFUSED_S, Fault.CHUNKS_LATE),
    _policy("ahead", "stamps 1 s ahead", Fault.CHUNKS_REFUSED, _REFUSED_S),
    _policy(
        "late",
        "late",
        Fault.CHUNKS_LATE,
        (LATE_IN_A_ROW + 1) * _CHUNK_S + TICK_S + SLACK_S,
        goes_on=True,
        after=("ACTIVE",),
    ),
    _policy("stuck", "stuck", Fault.POLICY_STUCK, STUCK_FOR_S + 3 * _CHUNK_S + TICK_S + SLACK_S, watch_s=4.0),
    _policy("chatter", "chatters", Fault.POLICY_CHATTERS, CHATTER_FOR_S + 3 * _CHUNK_S + TICK_S + SLACK_S, watch_s=4.0),
    _policy("silent", "silent", _LOST, stale(graph.HEAD_INCREMENTS), watch_s=2.5),
    Row(
        "policy: idle",
        Chunks("idle"),
        ("ACTIVE",),
        (Fault.POLICY_IDLE,),
        IDLE_FOR_S + 1.0,
        ends=frozenset(),
        goes_on=True,
        start=starts.in_place_of_the_policy,
        watch_s=IDLE_FOR_S + 2.0,
    ),
)

PEOPLE = (
    _stopped("emergency stop by topic", StopByTopic(), Fault.STOP_BY_TOPIC, TICK_S + SLACK_S),
    _stopped("emergency stop by `sapave stop`", StopByCommand(), Fault.STOP_BY_TOPIC, TICK_S + SLACK_S),
    Row(
        "remote: select",
        Inject("remote", {"buttons": ["select"]}),
        ("ESTOP",),
        (Fault.STOP_BY_REMOTE, Fault.STOP_BY_JOYSTICK),  # a remote serves as joystick where there is none
        reported(),
        arms=Arms.DAMPED,
        released_s=reported() + _DAMPED_S,
        stop_s=RAMP_S,
        watch_s=4.0,
    ),
    _stopped("remote: L2+B", Inject("remote", {"buttons": ["L2", "B"]}), Fault.STOP_BY_REMOTE, reported()),
    _stopped(
        "joystick: stop button",
        Joy("press_stop"),
        Fault.STOP_BY_JOYSTICK,
        2 * TICK_S + SLACK_S,
        start=starts.head_by_joystick,
    ),
    Row(
        "joystick gone, head taken",
        Joy("fall_silent"),
        ("HOLD",),
        (Fault.JOYSTICK_LOST,),
        _JOY_S,
        start=starts.head_by_joystick,
    ),
    Row(
        "joystick gone, arms taken",
        Joy("fall_silent"),
        ("HOLD",),
        (Fault.JOYSTICK_LOST,),
        _JOY_S,
        start=starts.arms_by_joystick,
    ),
    Row(
        "joystick: deadman let go",
        Joy("release_deadman"),
        ("TELEOP",),
        noticed_s=2 * TICK_S + SLACK_S,
        ends=frozenset({"arms"}),
        goes_on=None,
        after=("TELEOP", "ACTIVE"),
        start=starts.arms_by_joystick,
    ),
    Row(
        "disarmed in motion",
        Disarm(),
        ("STANDBY",),
        arms=Arms.RELEASED,
        released_s=TICK_S + SLACK_S + _RELEASED_S,
        watch_s=3.5,
    ),
)

OTHERS = (
    _stopped(
        "second writer on rt/arm_sdk",
        SecondWriter("rt/arm_sdk"),
        Fault.SECOND_WRITER,
        reported(0.05),
        arms=Arms.THEIRS,
        ends=frozenset({"head"}),
        free=g1.ARMS.names,
        watch_s=2.0,  # until we have let go: then the stranger has the arms alone, and what he does shakes the head
    ),
    _stopped("second writer on rt/inspire/cmd", SecondWriter("rt/inspire/cmd"), Fault.SECOND_WRITER, reported(0.05)),
    _held("second watchdog", SecondWatchdog(), Fault.SECOND_PERMIT, _DISCOVERY_S + reported()),  # type: ignore[arg-type]
    Row(
        "processor starved for 2 s",
        Starve(programs=4, for_s=2.0),
        ("ACTIVE", "HOLD"),
        ends=frozenset(),
        goes_on=None,
        disturbs=True,
        seen_s=10.0,
        after=("ACTIVE", "HOLD"),
    ),
)


def _unnoticed(name: str, action: Recorder, disk: Disk, ending: Ending) -> Row:
    """The recorder has a fault, and nobody else feels anything of it."""

    def also(rig: Rig) -> list[str]:
        assert rig.recording is not None
        return rig.recording.problems(ending)

    return Row(
        f"recorder: {name}",
        action,
        ("ACTIVE",),
        ends=frozenset(),
        moves=True,
        goes_on=True,
        start=starts.recorded(disk),
        also=also,
        watch_s=5.0,
    )


RECORDER = (
    _unnoticed("killed", Recorder("kill"), on_the_disk, KILLED),
    _unnoticed("stands still", Recorder("stop", "go_on"), on_the_disk, IN_ORDER),
    _unnoticed("disk full", Recorder("fill_disk"), on_a_small_disk, FULL),
    _unnoticed("disk hangs", Recorder("hang_disk", "mend_disk"), on_a_slow_disk, IN_ORDER),
)

_NODES = {
    "head": (_LOST, _JOINTS_S, {}),
    "arm": (_LOST, _JOINTS_S, {}),
    "teleop": (_LOST, stale(graph.TAKEOVER), {}),
    "camera": (_LOST, stale(graph.CAMERA_INFO), {}),
    "inference": (_LOST, stale(graph.HEALTH), {"start": starts.by_the_policy}),
}
_RELEASED_BY_THE_DRIVER = {"arms": Arms.RELEASED, "released_s": HOLD_AFTER_S + _HANDED_BACK_S, "watch_s": 4.0}

STANDING_STILL = (
    *(_held(f"{name} stopped", Stop(name), *bounds, **other) for name, (*bounds, other) in _NODES.items()),  # type: ignore[arg-type]
    _held(
        "watchdog stopped for 0.5 s",
        Stop("watchdog", for_s=0.5),
        Fault.WATCHDOG_BLIND,
        graph.PERMIT_STALE_AFTER_S + SLACK_S,
        seen_s=0.5 + TICK_S + SLACK_S,
    ),
    Row(
        "watchdog stopped",
        Stop("watchdog"),
        (SILENT,),
        noticed_s=graph.PERMIT_STALE_AFTER_S + SLACK_S,
        after=("HOLD",),
    ),
    Row(
        "SDK process stopped for 0.2 s",
        Stop(SDK, for_s=0.2),
        ("ACTIVE", "HOLD"),
        seen_s=1.0,
        ends=frozenset(),
        goes_on=None,
        after=("ACTIVE", "HOLD"),
    ),
    _held(
        "simulator stopped for 0.6 s",
        Stop("sim", for_s=0.6),
        _LOST,
        SLACK_S,
        seen_s=_JOINTS_S,
        watch_s=2.0,
        disturbs=True,
    ),
)

DYING = (
    *(
        _held(f"{name} killed", Kill(name), *bounds, **(other | (_RELEASED_BY_THE_DRIVER if name == "arm" else {})))  # type: ignore[arg-type]
        for name, (*bounds, other) in _NODES.items()
    ),
    Row("watchdog killed", Kill("watchdog"), (SILENT,), noticed_s=graph.PERMIT_STALE_AFTER_S + SLACK_S),
    Row(
        "watchdog killed and started anew",
        RestartWatchdog(),
        ("HOLD",),
        noticed_s=graph.PERMIT_STALE_AFTER_S + SLACK_S,
        seen_s=30.0,
        watch_s=6.0,  # it has to start, and to see every stream
    ),
    _held("SDK process killed", Kill(SDK), _LOST, _JOINTS_S, **_RELEASED_BY_THE_DRIVER),  # type: ignore[arg-type]
    _held(
        "SDK process stopped",
        Stop(SDK, final=True),
        _LOST,
        _JOINTS_S,
        arms=Arms.RELEASED,
        released_s=LOOK_S * (STUCK_LOOKS + 1) + _HANDED_BACK_S,
        watch_s=5.0,
    ),
    _held("guard of the SDK process killed", Kill(GUARD), Fault.GUARD_LOST, reported()),  # type: ignore[arg-type]
    _held("simulator killed", Kill("sim"), _LOST, _JOINTS_S, arms=Arms.THEIRS),  # type: ignore[arg-type]
    *(
        Row(
            f"{name} of `sapave up`",
            SignalCommand(number),
            (SILENT,),
            noticed_s=stale(graph.HEALTH) + 0.5,  # the first to end is the policy; then its reports are missed
            seen_s=stale(graph.HEALTH) + 0.5,
            arms=Arms.RELEASED,
            released_s=8.0,
            by_command=True,
            watch_s=12.0,
        )
        for name, number in (("Ctrl-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM))
    ),
)

ROWS: tuple[Row, ...] = (*PEOPLE, *CAMERA, *ROBOT, *NECK, *POLICY, *OTHERS, *RECORDER, *STANDING_STILL, *DYING)
"""All of them, in the order in which they are tried."""
