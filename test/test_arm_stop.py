"""An arm that is stopped rests: the law of the real motors is a spring, and swings unless inertia is fed forward."""

from __future__ import annotations

import numpy as np

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics, gravity_in_pelvis
from sapave_ros.core.limiter import Limiter, Limits
from sapave_ros.sim.mechanics import OWN_KD, OWN_KP, Mechanics

DT_S = 0.004
MOTORS = np.array([j.motor for j in g1.ARMS.joints])
SPEED_RAD_S = 1.0
REST_RAD_S = 0.05


def rests_after_s(fed_forward: bool) -> float:
    """From the stop of elbows and shoulders until no joint of the simulated arms moves [s], in the robot's time."""
    robot, kinematics, upright = Mechanics(), Kinematics.from_urdf(), gravity_in_pelvis(np.array([1.0, 0, 0, 0]))
    start = np.array([g1.ARMS_HOME[name] for name in g1.ARMS.names])
    robot.set_positions(g1.ARMS, start)
    limiter = Limiter(Limits.of(g1.ARMS), DT_S)
    limiter.reset(start)
    moved = np.array([("elbow" in n or "shoulder_pitch" in n) * 1.0 for n in g1.ARMS.names])
    target, last_s, stop_s = start.copy(), 0.0, 0.6
    for t in np.arange(0.0, 1.4, DT_S):
        if t < stop_s:
            velocity = -moved * SPEED_RAD_S * min(1.0, t / 0.2)
            target = target + velocity * DT_S
            limiter.track(target, velocity)
        else:
            limiter.stop()
        q, dq, tau = robot.motor_positions, np.zeros(g1.NUM_MOTORS), np.zeros(g1.NUM_MOTORS)
        q[MOTORS], dq[MOTORS] = limiter.position, limiter.velocity
        tau[MOTORS] = kinematics.gravity_torques(q, upright)
        if fed_forward:
            tau[MOTORS] += kinematics.arm_inertia(q) @ limiter.acceleration
        robot.set_motor_targets(q, dq, tau, OWN_KP, OWN_KD)
        robot.step(2)
        if np.abs(robot.velocities(g1.ARMS)).max() > REST_RAD_S:
            last_s = float(t)
    return last_s - stop_s


def test_a_stopped_arm_rests_with_its_command() -> None:
    with_it, without = rests_after_s(True), rests_after_s(False)
    assert with_it < 0.15 < without
