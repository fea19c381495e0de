"""Laws of the joint table: it agrees with the URDF, left mirrors right, and the hands' units convert both ways."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1

URDF_JOINTS = {joint.get("name"): joint for joint in ElementTree.parse(g1.model_path()).getroot().iterfind("joint")}
SIDES = [(g1.LEFT_ARM, g1.RIGHT_ARM), (g1.LEFT_HAND, g1.RIGHT_HAND)]


def in_range(group: g1.JointGroup) -> st.SearchStrategy[np.ndarray]:
    """Positions (n,) within the mechanical range."""
    return st.tuples(*(st.floats(j.lower, j.upper) for j in group.joints)).map(np.array)


def test_groups_have_the_sizes_and_the_order_of_the_policy():
    assert [len(g) for g in (g1.HEAD, g1.ARMS, g1.HANDS, g1.OTHER, g1.POLICY)] == [2, 14, 12, 26, 28]
    assert g1.POLICY.names == g1.HEAD.names + g1.LEFT_ARM.names + g1.RIGHT_ARM.names + g1.HANDS.names
    assert len(set(g1.POLICY.names)) == 28


@pytest.mark.parametrize("joint", g1.POLICY.joints, ids=lambda j: j.name)
def test_range_is_that_of_the_urdf(joint):
    limit = URDF_JOINTS[joint.name].find("limit")
    assert float(limit.get("lower")) == pytest.approx(joint.lower, abs=1e-9)
    assert float(limit.get("upper")) == pytest.approx(joint.upper, abs=1e-9)


@pytest.mark.parametrize("joint", g1.ARMS.joints, ids=lambda j: j.name)
def test_effort_is_that_of_the_urdf(joint):
    assert float(URDF_JOINTS[joint.name].find("limit").get("effort")) == joint.effort


@pytest.mark.parametrize("joint", g1.POLICY.joints, ids=lambda j: j.name)
def test_every_limit_is_usable(joint):
    assert joint.lower + g1.POSITION_MARGIN_RAD < joint.upper - g1.POSITION_MARGIN_RAD
    for field in ("velocity", "acceleration", "jerk", "max_tracking_error"):
        assert getattr(joint, field) > 0, field
    assert joint.lower <= 0 <= joint.upper, "the model's zero pose must be reachable"


@pytest.mark.parametrize("joint", g1.ARMS.joints, ids=lambda j: j.name)
def test_no_command_reaches_what_the_motor_can_do(joint):
    assert joint.velocity < float(URDF_JOINTS[joint.name].find("limit").get("velocity"))
    assert joint.kp > 0
    assert joint.kd > 0


@pytest.mark.parametrize(("left", "right"), SIDES, ids=["arms", "hands"])
def test_left_mirrors_right(left, right):
    """A mirror in y turns rolls and yaws of the arm around, limits included; copying one side halves a range wrongly.
    The hands' axes are mirrored in the URDF itself, so their ranges are equal."""
    for a, b in zip(left.joints, right.joints, strict=True):
        assert a.name.replace("left_", "right_").replace("L_", "R_") == b.name
        turns_over = a.motor is not None and ("roll" in a.name or "yaw" in a.name)
        assert (b.lower, b.upper) == ((-a.upper, -a.lower) if turns_over else (a.lower, a.upper))
        for field in ("velocity", "acceleration", "jerk", "max_tracking_error", "kp", "kd", "effort"):
            assert getattr(a, field) == getattr(b, field)


def test_motor_indices_are_those_of_the_wire():
    assert len(g1.MOTOR_NAMES) == len(set(g1.MOTOR_NAMES)) == g1.NUM_MOTORS
    assert [j.motor for j in g1.ARMS.joints] == list(range(15, 29))
    for joint in g1.ARMS.joints:
        assert g1.MOTOR_NAMES[joint.motor] == joint.name
    assert all(j.motor is None for j in (g1.HEAD + g1.HANDS).joints)
    assert g1.ARM_SDK_WEIGHT_INDEX not in {j.motor for j in g1.ARMS.joints}


def test_motor_names_are_the_actuated_body_joints_of_the_urdf():
    revolute = [n for n, j in URDF_JOINTS.items() if j.get("type") == "revolute" and j.find("mimic") is None]
    assert set(revolute) == set(g1.MOTOR_NAMES) | set(g1.HEAD.names) | set(g1.HANDS.names)


def test_commandable_range_lies_inside_the_mechanical_one():
    assert (g1.POLICY.lower > g1.POLICY.column("lower")).all()
    assert (g1.POLICY.upper < g1.POLICY.column("upper")).all()


@settings(deadline=None)
@given(in_range(g1.HANDS))
def test_inspire_units_convert_both_ways(q):
    opening = g1.inspire_from_rad(q)
    assert ((opening >= 0) & (opening <= 1)).all()
    np.testing.assert_allclose(g1.rad_from_inspire(opening), q, atol=1e-12)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-10, 10)] * 12).map(np.array))
def test_inspire_units_never_leave_their_range(q):
    opening = g1.inspire_from_rad(q)
    assert ((opening >= 0) & (opening <= 1)).all()


@pytest.mark.parametrize("name", g1.HANDS.names)
def test_each_finger_drives_its_own_entry_and_closing_lowers_it(name):
    """A swap of hands or fingers on the wire is the classic fault; one joint moves exactly the entry of its name."""
    q = g1.HANDS.column("lower")
    assert (g1.inspire_from_rad(q) == 1).all(), "open is 1"
    q[g1.HANDS.names.index(name)] = g1.HANDS.column("upper")[g1.HANDS.names.index(name)]
    closed = g1.inspire_from_rad(q)
    assert closed[g1.INSPIRE_ORDER.index(name)] == 0
    assert closed.sum() == 11


def test_inspire_order_is_right_hand_first_from_pinky_to_thumb():
    assert g1.INSPIRE_ORDER[0] == "R_pinky_proximal_joint"
    assert g1.INSPIRE_ORDER[5] == "R_thumb_proximal_yaw_joint"
    assert g1.INSPIRE_ORDER[6] == "L_pinky_proximal_joint"
    assert sorted(g1.INSPIRE_ORDER) == sorted(g1.HANDS.names)


def test_missing_model_names_the_places_looked_at():
    with pytest.raises(FileNotFoundError, match="no/such/file"):
        g1.model_path("no/such/file")


def test_the_right_arm_is_the_mirror_image_of_the_left_one():
    ends = np.sort([g1.ARM_MIRROR * g1.LEFT_ARM.lower, g1.ARM_MIRROR * g1.LEFT_ARM.upper], axis=0)
    np.testing.assert_array_equal(ends, [g1.RIGHT_ARM.lower, g1.RIGHT_ARM.upper])
    for side in (g1.LEFT_ARM, g1.RIGHT_ARM):
        home = np.array([g1.ARMS_HOME[name] for name in side.names])
        mirror = g1.RIGHT_ARM if side is g1.LEFT_ARM else g1.LEFT_ARM
        np.testing.assert_array_equal(g1.ARM_MIRROR * home, [g1.ARMS_HOME[name] for name in mirror.names])
