"""The road to the arms: what is sent when setpoints come, stop, are nonsense, or their sender dies."""

from __future__ import annotations

import ast
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.drivers import (
    unitree,
    unitree_cdr,
    unitree_guard,
    unitree_process,
    unitree_sdk,
    unitree_shared,
    unitree_state,
    unitree_stream,
)
from sapave_ros.drivers.unitree_cdr import KD, KP, TAU, LowCmdFrame, Q
from sapave_ros.drivers.unitree_sdk import UnitreeError

TABLE = unitree_stream.Table(
    np.array([j.motor for j in g1.ARMS.joints]),
    g1.ARMS.column("lower"),
    g1.ARMS.column("upper"),
    g1.MODE_MACHINES_29_DOF,
)
BODY = unitree_stream.Body(5, np.ones(29, np.uint8), np.linspace(-0.2, 0.2, 29))


def setpoint(q: float = 0.3) -> np.ndarray:
    arm = np.zeros((5, 14))
    arm[0], arm[1], arm[2], arm[3], arm[4] = q, 0.5, 1.0, 80.0, 3.0
    return arm


def stream(body: unitree_stream.Body | None = BODY) -> unitree_stream.ArmStream:
    s = unitree_stream.ArmStream(TABLE)
    s.body = body
    return s


def sent(data: bytes | str) -> LowCmdFrame:
    assert isinstance(data, bytes), data
    frame = LowCmdFrame()
    frame.load(data)
    assert frame.intact
    return frame


def test_nothing_is_sent_before_a_setpoint_even_when_told_to_release() -> None:
    s = stream()
    assert s.due_in(100.0) is None
    s.release(100.0)
    assert s.done
    assert s.due_in(200.0) is None


def test_a_frame_commands_the_arms_holds_the_waist_and_leaves_the_legs() -> None:
    s = stream()
    frame = sent(s.setpoint(setpoint(), 0.4, 1.0))
    assert frame.header.tolist() == [0, 5]
    assert np.allclose(frame.motors[TABLE.motors], setpoint().T)
    assert frame.motors[29, Q] == pytest.approx(0.4)
    assert np.flatnonzero(frame.motor_mode).tolist() == list(range(12, 29))
    assert np.allclose(frame.motors[:15, Q], BODY.positions[:15])
    assert (frame.motors[:12, 1:] == 0.0).all()
    assert (frame.motors[12:15, KP] > 0.0).all()
    s.body = BODY._replace(positions=BODY.positions + 0.1)
    assert np.allclose(sent(s.setpoint(setpoint(), 0.5, 1.004)).motors[12:15, Q], BODY.positions[12:15])


def test_a_locked_waist_gets_no_command() -> None:
    modes = np.ones(29, np.uint8)
    modes[[13, 14]] = 0
    frame = sent(stream(BODY._replace(motor_mode=modes)).setpoint(setpoint(), 1.0, 0.0))
    assert frame.motor_mode[[12, 13, 14]].tolist() == [1, 0, 0]
    assert (frame.motors[[13, 14], KP:] == 0.0).all()


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("joint", [0, 6, 13])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_setpoint_is_refused_and_the_last_one_goes_on(row, joint, value) -> None:
    s = stream()
    s.setpoint(setpoint(0.1), 1.0, 0.0)
    bad = setpoint(0.9)
    bad[row, joint] = value
    refusal = s.setpoint(bad, 1.0, 0.004)
    assert isinstance(refusal, str)
    assert f"[{joint}]" in refusal
    assert s.due_in(0.02) == 0.0
    assert np.allclose(sent(s.repeat(0.02)).motors[TABLE.motors, Q], 0.1)


@pytest.mark.parametrize("joint", range(14))
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_the_mechanical_range_is_the_end(joint, side) -> None:
    limit = getattr(TABLE, side)[joint]
    outward = 1.0 if side == "upper" else -1.0
    arm = setpoint(0.1)
    arm[Q, joint] = limit
    assert isinstance(stream().setpoint(arm, 1.0, 0.0), bytes)
    arm[Q, joint] = limit + outward * 1e-6
    assert f"q[{joint}]" in stream().setpoint(arm, 1.0, 0.0)


@pytest.mark.parametrize("weight", [-1e-9, 1.0 + 1e-9, np.nan, np.inf])
def test_a_weight_out_of_range_is_refused(weight) -> None:
    assert "weight" in stream().setpoint(setpoint(), weight, 0.0)


def test_negative_gains_are_refused() -> None:
    for row in (KP, KD):
        arm = setpoint()
        arm[row, 3] = -0.1
        assert "gain" in stream().setpoint(arm, 1.0, 0.0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "no LowState"),
        (BODY._replace(mode_machine=4), "mode_machine 4"),
        (BODY._replace(motor_mode=np.where(np.isin(np.arange(29), [20, 21, 27, 28]), 0, 1)), r"20, 21, 27, 28"),
    ],
)
def test_a_robot_that_is_not_ours_is_refused(body, said) -> None:
    assert said in stream(body).setpoint(setpoint(), 0.0, 0.0)


ABSENT = [
    BODY._replace(mode_machine=4),
    BODY._replace(motor_mode=np.where(np.arange(29) == 20, 0, 1)),
]


@pytest.mark.parametrize("fault", ABSENT, ids=["mode_machine", "motor"])
def test_a_robot_that_fails_in_our_hands_is_given_back(fault) -> None:
    """A motor that dropped out while we had the arms made every setpoint refused, those of the release included:
    the controller believed that it had let go, and the arms were held stiff for ever, whatever stop was pressed."""
    s = stream()
    sent(s.setpoint(setpoint(), 1.0, 0.0))
    s.body = fault
    soft = setpoint()
    soft[KP] = 10.0
    assert sent(s.setpoint(soft, 1.0, 0.004)).motors[15, KP] == 10.0
    for i, weight in enumerate((0.9, 0.5, 0.0)):
        assert sent(s.setpoint(soft, weight, 0.008 + 0.004 * i)).motors[29, Q] == pytest.approx(weight)
    assert s.due_in(1.0) is None
    for weight in (0.0, 0.1):  # and it is not taken again
        assert isinstance(s.setpoint(setpoint(), weight, 1.0), str)


def test_a_robot_that_fails_in_our_hands_is_not_taken_further() -> None:
    s = stream()
    sent(s.setpoint(setpoint(), 0.5, 0.0))
    s.body = ABSENT[1]
    assert "motors [20]" in s.setpoint(setpoint(), 0.51, 0.004)


@pytest.mark.parametrize("motor", [0, 12, 14])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_joint_measured_as_nonsense_never_becomes_a_command(motor, value) -> None:
    """Legs and waist are sent where they were measured; a NaN there went to the robot with the waist's full gains."""
    broken = BODY._replace(positions=np.where(np.arange(29) == motor, value, BODY.positions))
    assert f"[{motor}] is" in stream(broken).setpoint(setpoint(), 0.0, 0.0)
    s = stream()
    sent(s.setpoint(setpoint(), 0.0, 0.0))
    sent(s.setpoint(setpoint(), 0.5, 0.004))
    s.body = broken
    for weight in (0.5, 0.2, 0.0):
        frame = sent(s.setpoint(setpoint(), weight, 0.008))
        assert np.isfinite(frame.motors).all()
        assert frame.motors[motor, Q] == pytest.approx(BODY.positions[motor])
    assert isinstance(s.setpoint(setpoint(), 0.0, 0.012), str)


STALL = st.lists(st.floats(0.0, 0.012) | st.floats(0.02, 1.0), min_size=150, max_size=150)


@settings(deadline=None, max_examples=30)
@given(gaps_s=STALL, direction=st.sampled_from([-1.0, 1.0]))
def test_what_the_sender_did_while_this_process_stood_still_is_no_jump(gaps_s, direction) -> None:
    """The controller moved on at full speed while the SDK process was stopped; its next frame was where the arms
    should have been by then. How far that is depends on others: on the controller missing the states meanwhile."""
    s = stream()
    s.setpoint(setpoint(0.0), 0.0, 0.0)
    s.setpoint(setpoint(0.0), 1.0, 0.004)
    now_s, positions, times = 0.004, [0.0], [0.004]
    speed = 1.5 * direction
    for gap_s in gaps_s:
        now_s += gap_s
        wanted = np.clip(speed * now_s, -1.0, 1.0)
        positions.append(float(sent(s.setpoint(setpoint(wanted), 1.0, now_s)).motors[15, Q]))
        times.append(now_s)
    steps, gaps = np.abs(np.diff(positions)), np.diff(times)
    assert steps.max() <= unitree_stream.MAX_SPEED_RAD_S * unitree_stream.HOLD_AFTER_S + 1e-6
    free_s = unitree_stream.HOLD_AFTER_S
    for begin in range(0, len(steps), 10):  # over any time the speed is kept, but for one burst
        bound = unitree_stream.MAX_SPEED_RAD_S * (gaps[begin : begin + 10].sum() + free_s)
        assert steps[begin : begin + 10].sum() <= bound + 1e-6
    for _ in range(300):  # and it arrives
        now_s += 0.004
        end = sent(s.setpoint(setpoint(wanted), 1.0, now_s)).motors[15, Q]
    assert end == pytest.approx(wanted, abs=1e-6)


def test_setpoints_within_the_limits_pass_as_they_are() -> None:
    """Late by up to 20 ms, several overtaken by the newest: what a busy machine does to 250 Hz."""
    rng = np.random.default_rng(5)
    assert g1.ARMS.column("velocity").max() * 1.02 < unitree_stream.MAX_SPEED_RAD_S
    s = stream()
    s.setpoint(setpoint(-1.0), 1.0, 0.0)
    now_s = 0.0
    for _ in range(60):
        now_s += rng.uniform(0.002, unitree_stream.HOLD_AFTER_S)
        q = -1.0 + 1.5 * now_s
        assert sent(s.setpoint(setpoint(q), 1.0, now_s)).motors[15, Q] == np.float32(q)


def test_missing_setpoints_become_a_hold_after_20_ms_and_a_setpoint_ends_it() -> None:
    s = stream()
    s.setpoint(setpoint(0.2), 0.8, 10.0)
    assert s.due_in(10.0) == pytest.approx(0.020)
    held = sent(s.repeat(10.02))
    assert s.holding
    assert s.due_in(10.02) == pytest.approx(0.004)
    assert np.allclose(held.motors[TABLE.motors, Q], 0.2)
    assert (held.motors[:, 1] == 0.0).all()
    assert np.allclose(held.motors[TABLE.motors, TAU], 1.0)
    assert held.motors[29, Q] == pytest.approx(0.8)
    assert isinstance(s.setpoint(setpoint(), 0.8, 10.03), bytes)
    assert not s.holding


def test_without_weight_there_is_nothing_to_hold() -> None:
    s = stream()
    s.setpoint(setpoint(), 0.0, 0.0)
    assert s.due_in(1.0) is None


@settings(deadline=None, max_examples=30)
@given(
    weight=st.floats(0.01, 1.0),
    release_s=st.floats(0.0, 3.0),
    settle_s=st.floats(0.0, 1.0),
    jitter=st.lists(st.floats(0.0, 0.05), max_size=20),
)
def test_a_release_never_moves_the_target_and_always_reaches_zero(weight, release_s, settle_s, jitter) -> None:
    s = stream()
    s.setpoint(setpoint(0.4), weight, 0.0)
    s.release(0.0, release_s, settle_s)
    now_s, weights, delays = 0.0, [weight], list(jitter)
    while not s.done:
        due_s = s.due_in(now_s)
        assert due_s is not None
        now_s += due_s + (delays.pop() if delays else 0.0)
        assert isinstance(s.setpoint(setpoint(1.0), 1.0, now_s), str)  # irrevocable
        frame = sent(s.repeat(now_s))
        assert np.allclose(frame.motors[TABLE.motors, Q], 0.4)
        weights.append(float(frame.motors[29, Q]))
        assert now_s < release_s + settle_s + 2.0
    assert (np.diff(weights) <= 1e-6).all()
    assert weights[-unitree_stream.FINAL_FRAMES :] == [0.0] * unitree_stream.FINAL_FRAMES
    assert now_s >= release_s + settle_s


def test_the_newest_message_survives_any_torn_write() -> None:
    board = unitree_shared.Board(unitree_shared.Board.create())
    assert board.body.read() is None
    board.body.write(b"a" * unitree_shared.BODY_BYTES)
    number, message = board.body.read()
    assert (number, message[:1]) == (1, b"a")
    torn = board.body._slot(number) + 20
    board.body._memory[torn : torn + 4] = b"torn"
    assert board.body.read() is None
    board.body.write(b"b" * unitree_shared.BODY_BYTES)
    assert board.body.read() == (2, b"b" * unitree_shared.BODY_BYTES)


def test_the_sdk_process_sees_nothing_of_ros() -> None:
    cleaned = unitree.clean_environment(
        {
            "AMENT_PREFIX_PATH": "/home/me/ws/install",
            "LD_LIBRARY_PATH": "/opt/ros/humble/lib:/home/me/ws/install/lib:/usr/local/cuda/lib64",
            "PYTHONPATH": "/opt/ros/humble/lib/python3.10/site-packages",
            "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
            "CYCLONEDDS_URI": "file:///x.xml",
            "ROS_DOMAIN_ID": "0",
            "HOME": "/home/me",
        }
    )
    assert cleaned == {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64", "PYTHONPATH": "", "HOME": "/home/me"}


@pytest.mark.parametrize("domain", [-1, 233, 1.5, "0", None, True])
def test_a_wrong_domain_is_named(domain) -> None:
    with pytest.raises(UnitreeError, match=r"dds_domain .*0 to 232"):
        unitree_sdk.check_network(domain, "lo")


def test_a_wrong_interface_is_named_with_those_there_are() -> None:
    with pytest.raises(UnitreeError, match=r"dds_interface 'eth77'.*\blo\b"):
        unitree_sdk.check_network(0, "eth77")


@pytest.mark.parametrize("version", ["11.0.1", "0.9.1", "0.10.4", "12.0"])
def test_only_the_robots_own_cyclonedds_may_leave_this_machine(version) -> None:
    unitree_sdk.check_cyclonedds(version, "lo")
    with pytest.raises(UnitreeError, match=version):
        unitree_sdk.check_cyclonedds(version, "eth0")
    for good in unitree_sdk.ROBOT_CYCLONEDDS:
        unitree_sdk.check_cyclonedds(good, "eth0")


SDK_SIDE = [
    unitree_cdr,
    unitree_sdk,
    unitree_shared,
    unitree_state,
    unitree_stream,
    unitree_process,
    unitree_guard,
]


@pytest.mark.parametrize("module", SDK_SIDE, ids=lambda m: m.__name__)
def test_the_sdk_side_loads_in_a_bare_python_3_8(module) -> None:
    """The SDK may live under an older interpreter that has nothing of ours: numpy, the SDK and each other only."""
    with open(module.__file__) as f:
        tree = ast.parse(f.read(), feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    own = {m.__name__.rsplit(".", 1)[1] for m in SDK_SIDE} | {m.__name__ for m in SDK_SIDE} | {"sapave_ros.drivers"}
    roots = {name.split(".")[0] for name in imported - own}
    assert roots <= set(sys.stdlib_module_names) | {"numpy", "unitree_sdk2py", "cyclonedds"}
