"""Where a recording should have looked: the file that says so, and the angle to it over time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message

from sapave_ros import cli, g1, graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.writer import BagWriter
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import bag_topics
from sapave_ros.offline import look, page, targets
from sapave_ros.offline.command import look_lines, looks
from sapave_ros.offline.recording import Motion, Recording
from sapave_ros.offline.targets import Target, parse
from sapave_ros.types import Mode, Permit

POSE = Kinematics.from_urdf().camera_in_torso
BEGIN_S = 1_800_000_000.0
LENGTH_S = 10.0
heads = st.tuples(*(st.floats(lo, hi) for lo, hi in zip(g1.HEAD.lower, g1.HEAD.upper)))
GOOD = {"from_s": 1.0, "to_s": 4.0, "frame": "torso", "point": [1.0, 0.0, 0.4]}


def written(*entries) -> dict:
    return {"targets": list(entries)}


# -- the file --------------------------------------------------------------------------------------


def test_targets_are_read_as_they_are_written():
    second = {"from_s": 4, "to_s": 5.5, "frame": "camera", "direction": [0, 0.1, 3]}
    one, two = parse(written(GOOD, second), LENGTH_S)
    assert (one.from_s, one.to_s, one.frame, one.is_point) == (1.0, 4.0, "torso", True)
    assert (two.from_s, two.frame, two.is_point, two.place.tolist()) == (4.0, "camera", False, [0.0, 0.1, 3.0])


def test_the_example_in_the_module_is_one():
    text = targets.__doc__.split("\n\n")[1]
    assert [t.is_point for t in parse(yaml.safe_load(text), LENGTH_S)] == [True, False]


def changed(**fields) -> dict:
    entry = GOOD | fields
    return written({k: v for k, v in entry.items() if v is not ...})


WRONG = {
    "nothing": (None, "None; expected a list under `targets`"),
    "no list": ({"targets": 3}, "expected a list under `targets`"),
    "something besides": ({"targets": [GOOD], "unit": "m"}, "and nothing else"),
    "none": (written(), r"targets: \[\]; expected at least one"),
    "no target": (written(3), r"targets\[0\]: 3; expected from_s, to_s, frame"),
    "another field": (changed(colour="red"), r"targets\[0\].colour: is no field; expected of from_s"),
    "no time": (changed(from_s=...), r"targets\[0\].from_s: is missing"),
    "no frame": (changed(frame=...), r"targets\[0\].frame: is missing"),
    "another frame": (changed(frame="odom"), r"targets\[0\].frame: 'odom'; expected one of torso, camera"),
    "a frame that is a list": (changed(frame=["torso"]), r"targets\[0\].frame: \['torso'\]; expected one of"),
    "two places": (changed(direction=[1, 0, 0]), r"targets\[0\]: has point and direction; expected one of"),
    "no place": (changed(point=...), r"targets\[0\]: has neither; expected one of"),
    "two numbers": (changed(point=[1, 2]), r"targets\[0\].point: \[1, 2\]; expected three numbers"),
    "a word": (changed(point=[1, 2, "x"]), r"targets\[0\].point\[2\]: 'x'; expected a finite number"),
    "a truth": (changed(from_s=True), r"targets\[0\].from_s: True; expected a finite number"),
    "infinite": (changed(point=[1, 2, math.inf]), r"targets\[0\].point\[2\]: inf; expected a finite"),
    "before": (changed(from_s=-1), r"targets\[0\].from_s: -1; expected at least 0"),
    "ends first": (changed(to_s=1.0), r"targets\[0\].to_s: 1; expected more than from_s, 1"),
    "too long": (changed(to_s=10.1), r"targets\[0\].to_s: 10.1; expected at most 10.000, the bag's length"),
    "no way": (
        changed(point=..., direction=[0, 0.0, 0]),
        r"targets\[0\].direction: \[0, 0.0, 0\]; expected a direction",
    ),
    "overlap": (written(GOOD, GOOD | {"from_s": 3, "to_s": 5}), r"targets\[1\].from_s: 3; expected at least 4, where"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_the_field_named(case):
    found, said = WRONG[case]
    with pytest.raises(ValueError, match=said):
        parse(found, LENGTH_S)


@pytest.mark.parametrize("text", ["targets: [", "\x00", "- 1: {"])
def test_what_is_no_yaml_is_said(text, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"t.yaml: (is no YAML|.*expected a list)"):
        targets.read(path, LENGTH_S)


# -- the angle -------------------------------------------------------------------------------------


@given(heads, st.floats(0.2, 5.0))
@settings(deadline=None)
def test_what_is_on_the_optical_axis_is_at_no_angle(head, away):
    pose = POSE(np.array(head))
    axis = pose[:3, 2]
    assert look.angle_rad(pose, pose[:3, 3] + away * axis, True) == pytest.approx(0.0, abs=1e-6)
    assert look.angle_rad(pose, away * axis, False) == pytest.approx(0.0, abs=1e-6)
    assert look.angle_rad(pose, -axis, False) == pytest.approx(math.pi)


@given(heads, st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
@settings(deadline=None)
def test_the_angle_is_that_of_the_scalar_product_and_no_length_changes_it(head, direction):
    way = np.array(direction)
    if np.linalg.norm(way) < 1e-2:
        return
    pose = POSE(np.array(head))
    expected = math.acos(np.clip(way @ pose[:3, 2] / np.linalg.norm(way), -1.0, 1.0))
    assert look.angle_rad(pose, way, False) == pytest.approx(expected, abs=1e-6)
    assert look.angle_rad(pose, 7.0 * way, False) == pytest.approx(expected, abs=1e-6)


@given(heads, heads)
@settings(deadline=None)
def test_a_target_seen_by_the_camera_stays_where_it_was_seen(first, later):
    """Straight ahead when it was marked; from then on the angle is that between then and now."""
    target = Target(0.0, 1.0, "camera", np.array([0.0, 0.0, 1.0]), False)
    angles = look.angles_rad(target, np.array([0.0, 1.0]), np.array([first, later]), POSE)
    turned = math.acos(np.clip(POSE(np.array(first))[:3, 2] @ POSE(np.array(later))[:3, 2], -1.0, 1.0))
    assert angles[0] == pytest.approx(0.0, abs=1e-6) and angles[1] == pytest.approx(turned, abs=1e-6)


def turning(at_s: float, gap: tuple[float, float] = (0.0, 0.0)) -> Motion:
    """A head that looks left at first, and straight ahead from then on; nobody measures in the gap."""
    times_s = np.arange(0.0, LENGTH_S, 0.02)
    times_s = times_s[(times_s <= gap[0]) | (times_s >= gap[1])]
    yaw = np.where(times_s < at_s, 0.8, 0.0)
    return Motion(g1.HEAD.names, BEGIN_S + times_s, np.stack([yaw, np.zeros(len(times_s))], axis=1))


AHEAD = POSE(np.zeros(2))[:3, 2].tolist()


def ahead(from_s: float, to_s: float) -> Target:
    return Target(from_s, to_s, "torso", np.array(AHEAD), False)


@given(st.floats(0.5, 3.0))
@settings(deadline=None, max_examples=20)
def test_time_to_target_and_share_are_those_of_the_motion(turns_s):
    found = look.figures([ahead(0.0, 4.0)], BEGIN_S, turning(turns_s), POSE)
    (one,) = found["targets"]
    assert one["time_to_target_s"] == pytest.approx(turns_s, abs=2 * look.GRID_S)
    assert one["share_on_target"] == pytest.approx(1.0 - turns_s / 4.0, abs=0.04)
    assert one["angle_deg"]["first"] == pytest.approx(math.degrees(0.8), abs=0.5)
    assert one["angle_deg"]["last"] == pytest.approx(0.0, abs=1e-3)
    assert (found["reached"], found["of"]) == (1, 1)
    json.dumps(found, allow_nan=False)


def test_what_is_never_looked_at_is_not_reached():
    found = look.figures([ahead(0.0, 2.0), ahead(2.0, 4.0)], BEGIN_S, turning(3.0), POSE)
    assert [of["time_to_target_s"] is None for of in found["targets"]] == [True, False]
    assert (found["reached"], found["of"]) == (1, 2)


def test_where_nobody_measured_nothing_is_claimed():
    found = look.figures([ahead(0.0, 4.0)], BEGIN_S, turning(0.0, gap=(1.0, 3.0)), POSE)
    (one,) = found["targets"]
    assert one["share_on_target"] == 1.0 and one["share_known"] == pytest.approx(0.5, abs=0.02)
    outside = look.figures([ahead(1.5, 2.5)], BEGIN_S, turning(0.0, gap=(1.0, 3.0)), POSE)
    assert outside["targets"][0]["share_on_target"] is None and outside["reached"] == 0
    assert "nobody knows where the head was" in look_lines(outside)[1]
    seen = Target(1.5, 4.0, "camera", np.array([0.0, 0.0, 1.0]), False)
    blind = look.figures([seen], BEGIN_S, turning(0.0, gap=(1.0, 3.0)), POSE)
    assert blind["targets"][0]["share_known"] == 0.0, "nobody knows where it was seen"


# -- a bag and its targets -------------------------------------------------------------------------


@pytest.fixture
def bag(tmp_path):
    streams = [graph.stream(t) for t in (graph.PERMIT, graph.JOINT_STATES)]
    writer = BagWriter(tmp_path / "run", bag_topics(streams, False), WriterParameters(keep_free_mb=0.0))
    head = turning(2.0)
    permit = ros.permit_to_msg(Permit(BEGIN_S, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE))
    writer.write(graph.PERMIT, round(BEGIN_S * 1e9), bytes(serialize_message(permit)))
    for t, q in zip(head.times_s, head.positions):
        joints = bytes(serialize_message(ros.joint_state_msg(g1.HEAD.names, float(t), q)))
        writer.write(graph.JOINT_STATES, round(t * 1e9), joints)
    writer.close()
    return tmp_path / "run"


def test_targets_in_the_bag_or_given_are_looked_at(bag, tmp_path):
    kinematics, recording = Kinematics.from_urdf(), Recording.read(bag)
    assert looks(recording, None, kinematics) is None
    entry = {"from_s": 1.0, "to_s": 5.0, "frame": "torso", "direction": AHEAD}
    (bag / "targets.yaml").write_text(yaml.safe_dump(written(entry)))
    inside = looks(recording, None, kinematics)
    assert inside["targets"][0]["time_to_target_s"] == pytest.approx(1.0, abs=2 * look.GRID_S)
    given = tmp_path / "others.yaml"
    given.write_text(yaml.safe_dump(written(entry | {"from_s": 0.0, "to_s": 1.5})))
    assert looks(recording, given, kinematics)["reached"] == 0
    lines = look_lines(inside)
    assert lines[0].startswith("looked at 1 of 1 targets (within 10°), on target 7")
    assert "on target after 1.0" in lines[1] and "from 46° to 0°" in lines[1]
    plot = page._angles(tmp_path / "look.png", inside)
    assert plot.stat().st_size > 1000
    assert page._look_row(inside["targets"][0])[0] == "1.0 to 5.0 s"
    given.write_text(yaml.safe_dump(written(entry | {"to_s": 99.0})))
    with pytest.raises(ValueError, match=r"others.yaml: targets\[0\].to_s: 99; expected at most 9.98"):
        looks(recording, given, kinematics)


def test_one_file_is_for_one_bag(bag, capsys):
    assert cli.main(["eval", str(bag), str(bag), "--targets", "t.yaml"]) == 2
    assert "--targets t.yaml with 2 bags; expected one, or targets.yaml in each" in capsys.readouterr().err
