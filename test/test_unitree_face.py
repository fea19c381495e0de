"""The simulated robot listens as strictly as a robot can, and there is only one of it on a domain."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr as cdr
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.sim.unitree_face import Inbox, MotorCommand, UnitreeFace, blend


def command(seed: int) -> MotorCommand:
    return MotorCommand(*np.random.default_rng(seed).normal(size=(5, 29)))


def fields(c: MotorCommand) -> np.ndarray:
    return np.array([c.q, c.dq, c.tau, c.kp, c.kd])


def frame(weight: float = 0.5) -> cdr.LowCmdFrame:
    f = cdr.LowCmdFrame()
    f.header[:] = 0, 5
    f.motors[:29, cdr.Q] = np.linspace(-1, 1, 29)
    f.motors[29, cdr.Q] = weight
    return f


@settings(deadline=None)
@given(seed=st.integers(0, 1000), weight=st.floats(0.0, 1.0))
def test_blend_is_linear_between_both_and_leaves_the_legs(seed, weight) -> None:
    own, ours = command(seed), command(seed + 1)
    mixed = fields(blend(own, ours, weight))
    assert (mixed[:, :12] == fields(own)[:, :12]).all()
    assert np.allclose(mixed[:, 12:], ((1 - weight) * fields(own) + weight * fields(ours))[:, 12:])
    assert (fields(blend(own, ours, 0.0)) == fields(own)).all()
    assert (fields(blend(own, ours, 1.0))[:, 12:] == fields(ours)[:, 12:]).all()


def test_motors_are_springs_and_dampers_around_their_targets() -> None:
    c = MotorCommand(*(np.full(29, v) for v in (0.5, 0.2, 3.0, 80.0, 2.0)))
    assert np.allclose(c.torques(np.full(29, 0.4), np.full(29, 0.1)), 3.0 + 80.0 * 0.1 + 2.0 * 0.1)


def test_a_valid_frame_is_taken_with_its_time() -> None:
    inbox = Inbox(5)
    inbox.take_arm(frame(0.25).seal(), 12.5)
    assert inbox.arm is not None
    assert (inbox.arm.weight, inbox.arm.received_s) == (0.25, 12.5)
    assert np.allclose(inbox.arm.q, np.linspace(-1, 1, 29))
    assert not inbox.dropped


def broken_crc() -> bytes:
    return frame().seal()[:-1] + b"\x55"


def wrong_machine() -> bytes:
    f = frame()
    f.header[1] = 4
    return f.seal()


def with_value(motor: int, column: int, value: float) -> bytes:
    f = frame()
    f.motors[motor, column] = value
    return f.seal()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (broken_crc(), "crc"),
        (wrong_machine(), "mode_machine"),
        (b"", "not a LowCmd"),
        (frame().seal() + b"\0", "not a LowCmd"),
        (with_value(29, cdr.Q, -0.01), "weight"),
        (with_value(29, cdr.Q, 1.01), "weight"),
        (with_value(29, cdr.Q, np.nan), "non-finite"),
        *((with_value(28, column, np.nan), "non-finite") for column in range(5)),
        (with_value(0, cdr.TAU, np.inf), "non-finite"),
    ],
)
def test_a_bad_frame_is_dropped_by_reason_and_the_last_good_one_stays(data, reason) -> None:
    inbox = Inbox(5)
    inbox.take_arm(frame(0.25).seal(), 1.0)
    before = inbox.arm
    inbox.take_arm(data, 2.0)
    assert inbox.arm is before
    assert inbox.dropped == {reason: 1}


@settings(deadline=None)
@given(share=st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
def test_hand_commands_arrive_in_rad(share) -> None:
    q = g1.HANDS.lower + np.array(share) * (g1.HANDS.upper - g1.HANDS.lower)
    entries = cdr.motor_cmds(12)
    entries["q"] = g1.inspire_from_rad(q)
    inbox = Inbox(5)
    inbox.take_hands(cdr.encode_sequence(entries))
    assert np.allclose(inbox.hands, q, atol=1e-6)
    entries["q"][7] = np.nan
    for bad, reason in (
        (cdr.encode_sequence(entries), "hand non-finite"),
        (cdr.encode_sequence(cdr.motor_cmds(6)), "hand count"),
        (b"\0", "not a MotorCmds"),
    ):
        inbox.take_hands(bad)
        assert inbox.dropped[reason] == 1
    assert np.allclose(inbox.hands, q, atol=1e-6)


def test_a_simulated_robot_stays_off_every_real_network(monkeypatch) -> None:
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    with pytest.raises(UnitreeError, match="'eth0': expected 'lo'"):
        UnitreeFace(0, "eth0")


ONE_ROBOT = """
    import os, sys
    from sapave_ros.drivers.unitree_sdk import UnitreeError
    from sapave_ros.sim.unitree_face import UnitreeFace
    try:
        face = UnitreeFace(int(sys.argv[1]), "lo")
    except UnitreeError as error:
        print(error, flush=True)
        os._exit(1)
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@pytest.mark.e2e
def test_a_second_robot_on_a_domain_is_refused(dds_domain) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(ONE_ROBOT), str(dds_domain)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "ready\n"
        second = subprocess.run(arguments, input="", capture_output=True, text=True, timeout=30)
        first.stdin.close()
        first.wait(30)
    assert second.returncode == 1
    assert f"dds_domain {dds_domain}: another simulated G1" in second.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("raw", [True, False])
def test_a_plain_sdk_client_understands_the_robot(dds_domain, raw) -> None:
    """What we publish is decoded by the SDK itself, and what the SDK encodes is accepted.

    raw False: with an SDK whose internals are not where we look for them.
    """
    script = """
        import json, os, sys, time
        import numpy as np
        from sapave_ros.sim.unitree_face import UnitreeFace
        from sapave_ros.drivers import unitree_sdk
        from sapave_ros.drivers.unitree_cdr import LowCmdFrame
        if sys.argv[2] == "False":
            def absent(channel, side):
                raise AttributeError("not there")
            unitree_sdk._inner = absent
        face = UnitreeFace(int(sys.argv[1]), "lo", mode_machine=11)
        from unitree_sdk2py.core.channel import ChannelPublisher, ChannelSubscriber
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorStates_
        states, hands = ChannelSubscriber("rt/lowstate", LowState_), ChannelSubscriber("rt/inspire/state", MotorStates_)
        commands = ChannelPublisher("rt/arm_sdk", LowCmd_)
        states.Init(), hands.Init(), commands.Init()
        q = np.arange(29) / 100
        half = 0.5 ** 0.5
        assert str(face._state_writer.raw) == str(face._arm_reader.raw) == sys.argv[2]
        face.publish(2**32 + 7, q, 2 * q, 3 * q, (half, 0, 0, half), (1, 2, 3), (0, 0, 9.81), np.arange(29) % 2)
        face.publish_hands(np.zeros(12))
        state, hand = states.Read(timeout=5), hands.Read(timeout=5)
        frame = LowCmdFrame()
        frame.header[1] = 11
        frame.motors[29, 0] = 0.75
        commands.Write(LowCmd_.deserialize(frame.seal()))
        for _ in range(500):
            face.poll(1.0)
            if face.arm is not None:
                break
            time.sleep(0.01)
        print(json.dumps({
            "tick": state.tick, "machine": state.mode_machine, "weight": face.arm.weight,
            "motors": [[m.mode, m.q, m.dq, m.tau_est] for m in state.motor_state],
            "imu": [*state.imu_state.gyroscope, *state.imu_state.accelerometer, *state.imu_state.rpy],
            "hands": [s.q for s in hand.states]}), flush=True)
        os._exit(0)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(dds_domain), str(raw)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    q = np.arange(29) / 100
    assert (seen["tick"], seen["machine"], seen["weight"]) == (7, 11, 0.75)
    assert np.allclose(seen["motors"][:29], np.column_stack([np.arange(29) % 2, q, 2 * q, 3 * q]))
    assert np.allclose(seen["motors"][29:], 0.0)
    assert np.allclose(seen["imu"], [1, 2, 3, 0, 0, 9.81, 0, 0, np.pi / 2], atol=1e-6)
    assert np.allclose(seen["hands"], g1.inspire_from_rad(np.zeros(12)))
