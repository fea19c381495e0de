"""Real processes on the real clock: whoever is killed, stopped or disturbed, the arms are held and handed back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers import unitree
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.types import ArmSetpoint

pytestmark = pytest.mark.e2e

ROBOT = """
    # The robot: its arms are wherever they were told to be. Every command it got goes to a file.
    # SIGUSR1: it hangs, and its last state goes out for ever. SIGUSR2: it starts anew.
    import json, os, signal, sys, time
    import numpy as np
    from sapave_ros.sim.unitree_face import UnitreeFace
    face = UnitreeFace(int(sys.argv[1]), "lo")
    q, hands, tick, step = np.zeros(29), np.full(12, 0.25), 2**32 - 500, 2

    def hang(*_):
        global step
        step = 0

    def restart(*_):
        global tick, step
        tick, step = 0, 2

    signal.signal(signal.SIGUSR1, hang)
    signal.signal(signal.SIGUSR2, restart)
    print("ready", flush=True)
    with open(sys.argv[2], "w") as record:
        start = time.monotonic()
        for i in range(100_000):
            now = time.monotonic()
            face.poll(now)
            if face.arm is not None and face.arm.received_s == now:
                q[15:] = face.arm.q[15:]
                frame = [now, face.arm.weight, *face.arm.q[15:], *face.arm.dq[15:]]
                record.write(json.dumps(frame) + "\\n")
                record.flush()
            if face.hands is not None:
                hands = face.hands
            if i % 2 == 0:
                tick += step
                face.publish(tick, q, 0 * q, 0 * q, (1, 0, 0, 0), np.zeros(3), np.array((0, 0, 9.81)))
                face.publish_hands(hands)
            if os.getppid() == 1:
                os._exit(0)
            time.sleep(max(0.0, start + 0.001 * (i + 1) - time.monotonic()))
"""

OPERATOR = """
    # Takes the arms and raises all joints by 2 mrad every 4 ms, for ever; who was late does not catch up.
    import sys, time
    import numpy as np
    from sapave_ros import g1
    from sapave_ros.drivers.unitree import UnitreeArms
    from sapave_ros.types import ArmSetpoint
    arms = UnitreeArms(int(sys.argv[1]), "lo")
    while arms.body_state() is None:
        time.sleep(0.01)
    print(arms._child.pid, arms._guard.pid, flush=True)
    for i in range(100_000):
        t = i * 0.004
        q = np.clip(np.full(14, 0.5 * t), g1.ARMS.lower, g1.ARMS.upper)
        kp, kd = g1.ARMS.column("kp"), g1.ARMS.column("kd")
        arms.send(ArmSetpoint(q, np.full(14, 0.5), np.zeros(14), kp, kd, min(1.0, t / 0.3)))
        time.sleep(0.004)
"""


@dataclass(frozen=True)
class Recording:
    """What the robot received: times [s], weights, positions and velocities of the arms."""

    time_s: np.ndarray
    weight: np.ndarray
    q: np.ndarray
    dq: np.ndarray


class Robot:
    def __init__(self, domain: int, path: str) -> None:
        self.path = path
        self.process = start(ROBOT, str(domain), path)
        assert self.process.stdout.readline().strip() == b"ready"

    def recording(self) -> Recording:
        # At once: who reads line by line while they are written gets a line in two halves.
        text = Path(self.path).read_text()
        rows = np.array([json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()])
        if not len(rows):
            rows = np.zeros((0, 30))
        return Recording(rows[:, 0], rows[:, 1], rows[:, 2:16], rows[:, 16:])


def start(source: str, *arguments: str, stdin: int | None = None) -> subprocess.Popen:
    program = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    return subprocess.Popen(program, stdin=stdin, stdout=subprocess.PIPE)


def until(condition, what: str, timeout_s: float = 15.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def robot(dds_domain, tmp_path):
    r = Robot(dds_domain, str(tmp_path / "frames"))
    yield r
    kill(r.process)


@pytest.fixture
def operator(robot, dds_domain):
    process = start(OPERATOR, str(dds_domain))
    try:
        process.child, process.guard = map(int, process.stdout.readline().split())
        until(lambda: np.any(np.median(robot.recording().q, axis=1) > 0.3), "the arms on their way")
        yield process
    finally:  # one that stays would move the robot of every test after this
        kill(process)
    until(lambda: not running(process.child) and not running(process.guard), "the SDK process and its guard ended")


@pytest.fixture
def arms(robot, dds_domain):
    arms = unitree.UnitreeArms(dds_domain, "lo")
    until(lambda: arms.body_state() is not None and arms.hand_state() is not None, "states")
    yield arms
    with contextlib.suppress(UnitreeError):
        arms.close(release_s=0.3)


def take(arms: unitree.UnitreeArms, weight: float = 0.5, n: int = 50) -> ArmSetpoint:
    """Takes the arms and moves them a little; the last setpoint."""
    ones = np.ones(14)
    for i in range(n):
        setpoint = ArmSetpoint(0.002 * i * ones, 0 * ones, 0 * ones, 40 * ones, 2 * ones, weight, hands=g1.HANDS.upper)
        arms.send(setpoint)
        time.sleep(0.004)
    return setpoint


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_smooth(frames: Recording) -> None:
    """No jump and no fall to zero: the motion is 0.5 rad/s and had passed 0.3 rad. What came late may have gone on."""
    assert (np.abs(np.diff(frames.q, axis=0)).max(axis=1) < 0.5 * (np.diff(frames.time_s) + 0.1)).all()
    assert np.median(frames.q[-1]) > 0.3
    assert np.isfinite(frames.q).all()


def assert_released(frames: Recording) -> None:
    """Over about 2 s, never up again, with the arms held; the fastest that a test asks for before is 2.5 a second."""
    falling = np.flatnonzero(np.diff(frames.weight) < -1e-6)
    released = slice(falling[0], None)
    steps = np.diff(frames.weight[released])
    assert (steps <= 1e-6).all()
    assert frames.weight[-1] == 0.0
    assert (-steps < 2.5 * (np.diff(frames.time_s[released]) + 0.04)).all()
    assert (frames.q[released] == frames.q[-1]).all()
    assert (frames.dq[released][1:] == 0.0).all()
    assert frames.time_s[falling[-1] + 1] - frames.time_s[falling[0]] > 1.5


FAULTS = {
    "controller killed": lambda p: os.kill(p.pid, signal.SIGKILL),
    "SDK process asked to end": lambda p: os.kill(p.child, signal.SIGTERM),
    "SDK process interrupted": lambda p: os.kill(p.child, signal.SIGINT),
    "SDK process killed": lambda p: os.kill(p.child, signal.SIGKILL),
    "SDK process stopped": lambda p: os.kill(p.child, signal.SIGSTOP),
    "both killed": lambda p: [os.kill(pid, signal.SIGKILL) for pid in (p.pid, p.child)],
    "the guard told to end and both killed": lambda p: [
        os.kill(pid, number)
        for pid, number in ((p.guard, signal.SIGTERM), (p.child, signal.SIGKILL), (p.pid, signal.SIGKILL))
    ],
    "guard killed, then the controller": lambda p: [os.kill(pid, signal.SIGKILL) for pid in (p.guard, p.pid)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_arms_are_held_and_handed_back(operator, robot, fault) -> None:
    """A killed SDK process left the arms at its last frame: the robot was never told that nobody had them."""
    FAULTS[fault](operator)
    until(lambda: not running(operator.child) and not running(operator.guard), "somebody handed the arms back")
    frames = robot.recording()
    assert_smooth(frames)
    assert_released(frames)


def test_a_stopped_controller_is_held_until_it_comes_back(operator, robot) -> None:
    os.kill(operator.pid, signal.SIGSTOP)
    before = len(robot.recording().time_s)
    until(lambda: len(robot.recording().time_s) > before + 200, "frames while the controller is stopped")
    os.kill(operator.pid, signal.SIGKILL)
    frames = robot.recording()
    held = slice(before + 50, before + 200)
    assert (frames.q[held] == frames.q[before + 50]).all()
    assert (frames.dq[held] == 0.0).all()
    assert (frames.weight[held] == frames.weight[before + 50]).all()
    assert_smooth(frames)


def test_state_and_setpoints_travel_and_nonsense_does_not(robot, arms) -> None:
    body = arms.body_state()
    assert (body.mode_machine, body.mode_pr) == (5, 0)
    assert body.motor_mode.tolist() == [1] * 29
    assert body.imu_quaternion.tolist() == [1, 0, 0, 0]
    assert body.gyroscope.tolist() == [0, 0, 0]
    assert body.voltage.tolist() == [48.0] * 29
    hands = np.clip(np.full(12, 0.25), g1.HANDS.lower, g1.HANDS.upper)
    assert np.allclose(arms.hand_state().positions, hands, atol=1e-6)
    n = np.ones(14)
    good = ArmSetpoint(0.2 * n, 0 * n, 0 * n, 40 * n, 2 * n, 0.5, hands=g1.HANDS.upper)
    for bad in (
        replace(good, positions=np.nan * n),
        replace(good, torques=np.inf * n),
        replace(good, kp=np.ones(13)),
        replace(good, weight=1.1),
        replace(good, positions=9.0 * n),
        replace(good, hands=np.full(12, np.nan)),
    ):
        with pytest.raises(ValueError, match="setpoint"):
            arms.send(bad)
    assert not robot.recording().time_s.size
    last = take(arms, n=100)
    until(lambda: np.allclose(arms.body_state().positions[15:], last.positions), "the arms at the target")
    until(lambda: np.allclose(arms.hand_state().positions, g1.HANDS.upper, atol=1e-6), "the hands at the target")
    statistics = arms.statistics()
    assert statistics.frames_sent >= 80
    assert len(statistics.periods_s) == len(statistics.send_times_s) - 1
    assert (statistics.state_crc_errors, statistics.refused, statistics.frames_dropped) == (0, 0, 0)
    assert 0 < statistics.hand_frames_sent <= 60
    until(lambda: arms.statistics().state_hz > 0 and arms.statistics().hand_state_hz > 0, "rates")
    assert set(statistics.foreign_frames.values()) == {0}  # our own do not count
    assert (arms.foreign_writer(), arms.state_fault()) == ("", "")
    arms.close(release_s=0.3)
    assert not arms.alive
    assert not arms.guarded
    assert robot.recording().weight[-1] == 0.0
    with pytest.raises(UnitreeError, match="gone"):
        arms.send(good)


def test_a_dead_sdk_process_is_noticed_and_the_arms_are_handed_back(robot, arms) -> None:
    last = take(arms)
    os.kill(arms._child.pid, signal.SIGKILL)
    until(lambda: not arms.alive, "the end of the SDK process")
    with pytest.raises(UnitreeError, match=r"gone \(exit status -9\)"):
        arms.send(last)
    with pytest.raises(UnitreeError, match="status -9; its guard has handed the arms back"):
        arms.close()
    assert robot.recording().weight[-1] == arms.weight == 0.0


def test_arms_are_not_taken_without_a_guard(robot, arms) -> None:
    os.kill(arms._guard.pid, signal.SIGKILL)
    until(lambda: not arms.guarded, "the end of the guard")
    with pytest.raises(UnitreeError, match="guard is gone"):
        take(arms)
    assert not robot.recording().time_s.size


def test_an_sdk_process_that_dies_without_the_arms_is_succeeded_by_nobody(robot, arms) -> None:
    os.kill(arms._child.pid, signal.SIGKILL)
    with pytest.raises(UnitreeError, match="status -9"):
        arms.close()
    assert not robot.recording().time_s.size


def test_an_emergency_stop_by_setpoints_ends_on_weight_0_and_leaves_nothing_to_rescue(robot, arms) -> None:
    """Soft first, then no weight: as the controller does it in DAMP."""
    last = take(arms, weight=1.0)
    for share in np.linspace(1.0, 0.0, 50):
        arms.send(replace(last, kp=share * last.kp))
        time.sleep(0.004)
    for weight in np.linspace(1.0, 0.0, 50):
        arms.send(replace(last, kp=0 * last.kp, weight=float(weight)))
        time.sleep(0.004)
    until(lambda: robot.recording().weight[-1] == arms.weight == 0.0, "weight 0")
    frames = len(robot.recording().time_s)
    os.kill(arms._child.pid, signal.SIGKILL)
    until(lambda: not arms.guarded, "the guard has nothing to do")
    assert len(robot.recording().time_s) == frames


def test_a_release_goes_on_where_it_was_when_the_sdk_process_is_killed(robot, arms) -> None:
    last = take(arms, weight=1.0)
    for weight in np.linspace(1.0, 0.5, 50):
        arms.send(replace(last, weight=float(weight)))
        time.sleep(0.004)
    until(lambda: robot.recording().weight[-1] == 0.5, "half of the release")
    os.kill(arms._child.pid, signal.SIGKILL)
    until(lambda: not arms.guarded, "the guard has handed the arms back")
    frames = robot.recording()
    assert_released(frames)
    assert frames.weight[frames.weight < 0.5].max() > 0.4


def test_the_end_of_its_input_ends_on_weight_0(robot, arms) -> None:
    take(arms)
    arms._child.close_pipes()
    until(lambda: not arms.alive, "the SDK process handed the arms back")
    assert arms._child.status == 0
    assert_released(robot.recording())


OBSERVER = """
    # Somebody else on the domain, who only listens: publishers and frames on every topic that commands the robot.
    import json, os, sys, time
    from sapave_ros.drivers import unitree_sdk
    unitree_sdk.open_domain(int(sys.argv[1]), "lo")
    from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_
    topics = {"rt/arm_sdk": LowCmd_, "rt/lowcmd": LowCmd_, "rt/inspire/cmd": MotorCmds_}
    readers = [unitree_sdk.ForeignReader(int(sys.argv[1]), *topic) for topic in topics.items()]
    publishers, frames = [0] * 3, [0] * 3
    print("ready", flush=True)
    while os.getppid() != 1:
        for i, reader in enumerate(readers):
            publishers[i], frames[i] = max(publishers[i], reader.publishers), frames[i] + len(reader.take())
        with open(sys.argv[2] + ".new", "w") as f:
            json.dump([publishers, frames], f)
        os.rename(sys.argv[2] + ".new", sys.argv[2])
        time.sleep(0.01)
    os._exit(0)
"""


def test_a_shadow_is_no_publisher_and_sends_nothing(robot, dds_domain, tmp_path) -> None:
    """Counted by another participant, which sees the same program with its publishers afterwards."""
    observer = start(OBSERVER, str(dds_domain), str(tmp_path / "seen"))
    assert observer.stdout.readline().strip() == b"ready"

    def seen() -> list[list[int]]:
        return json.loads((tmp_path / "seen").read_text())

    try:
        with unitree.UnitreeArms(dds_domain, "lo", shadow=True) as shadow:
            until(lambda: shadow.body_state() is not None, "states")
            last = take(shadow)
            with pytest.raises(ValueError, match="weight"):
                shadow.send(replace(last, weight=1.1))
            until(lambda: shadow.statistics().frames_dropped >= 50, "frames dropped")
            assert shadow.weight == 0.0
            assert shadow.statistics().frames_sent == shadow.statistics().hand_frames_sent == 0
            assert len(shadow.statistics().periods_s) >= 49
        assert seen() == [[0, 0, 0], [0, 0, 0]]
        assert not robot.recording().time_s.size
        with unitree.UnitreeArms(dds_domain, "lo") as arms:
            until(lambda: arms.body_state() is not None, "states")
            until(lambda: seen()[0] == [1, 0, 1], "the publishers of arms that are not a shadow")
            take(arms)
        publishers, frames = seen()
        assert publishers == [1, 0, 1]
        assert frames[0] > 50
        assert frames[2] > 0
    finally:
        kill(observer)


INTRUDER = """
    # Another program that commands the robot, on the topics named; each in turn, when it is told to.
    import os, sys, time
    from sapave_ros.drivers import unitree_cdr, unitree_sdk
    unitree_sdk.open_domain(int(sys.argv[1]), "lo")
    from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_
    writers = [unitree_sdk.Publisher(t, MotorCmds_ if "inspire" in t else LowCmd_) for t in sys.argv[2:]]
    print("ready", flush=True)
    for writer, topic in zip(writers, sys.argv[2:]):
        sys.stdin.readline()
        data = unitree_cdr.LowCmdFrame().seal()
        if "inspire" in topic:
            data = unitree_cdr.encode_sequence(unitree_cdr.motor_cmds(12))
        for _ in range(20):
            writer.write(data)
            time.sleep(0.005)
    sys.stdin.readline()
    os._exit(0)
"""


def test_a_second_writer_is_noticed_by_its_frames(robot, arms, dds_domain) -> None:
    topics = ["rt/lowcmd", "rt/arm_sdk", "rt/inspire/cmd", "rt/lowcmd"]
    intruder = start(INTRUDER, str(dds_domain), *topics, stdin=subprocess.PIPE)
    try:
        assert intruder.stdout.readline().strip() == b"ready"
        until(lambda: list(arms.foreign_publishers().values()) == [1, 2, 1], "publishers seen")
        assert arms.foreign_writer() == ""  # they write nothing yet

        def go() -> None:
            intruder.stdin.write(b"\n")
            intruder.stdin.flush()

        go()  # as a motion service does, from before the arms are ours
        go()
        until(lambda: arms.foreign_writer().startswith("rt/arm_sdk: another program"), "the one on rt/arm_sdk")
        assert arms.foreign_writer(ignored=["rt/arm_sdk"]) == ""
        assert arms.statistics().foreign_frames["rt/lowcmd"] == 0
        go()
        until(lambda: arms.statistics().foreign_frames["rt/inspire/cmd"] == 20, "20 frames for the hands")
        take(arms)
        go()
        until(lambda: arms.statistics().foreign_frames["rt/lowcmd"] == 20, "20 frames for the motors")
        assert arms.statistics().foreign_frames["rt/arm_sdk"] == 20
    finally:
        intruder.stdin.close()
        kill(intruder)


def test_a_robot_that_repeats_its_last_state_is_as_silent_as_one_that_is_gone(robot, arms) -> None:
    os.kill(robot.process.pid, signal.SIGUSR1)
    until(lambda: "tick" in arms.state_fault(), "the fault")
    body = arms.body_state()
    before = arms.statistics()
    until(lambda: arms.statistics().state_repeats > before.state_repeats + 100, "frames that repeat")
    assert arms.body_state() is body
    assert arms.statistics().state_frames == before.state_frames
    until(lambda: arms.statistics().state_hz == 0.0, "the rate of new states")
    os.kill(robot.process.pid, signal.SIGUSR2)
    until(lambda: "backwards" in arms.state_fault(), "the restart")
    assert arms.body_state() is body
    until(lambda: arms.body_state() is not body, "the robot's new time")
    assert arms.statistics().state_restarts == 1
    until(lambda: arms.state_fault() == "", "no fault any more")


@pytest.mark.parametrize(
    ("domain", "interface", "python", "said"),
    [
        (233, "lo", None, "dds_domain 233"),
        (90, "eth77", None, "dds_interface 'eth77'"),
        (90, "lo", "/no/python", "sdk_python '/no/python'"),
        (90, "lo", "/bin/true", "ended while starting"),
    ],
)
def test_a_failed_start_says_why(domain, interface, python, said) -> None:
    with pytest.raises(UnitreeError, match=said):
        unitree.UnitreeArms(domain, interface, sdk_python=python)
