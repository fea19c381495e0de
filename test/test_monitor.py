"""Laws of what is watched: paths are those of the controllers, geometry closes, stages add up, silence is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1, graph
from sapave_ros.core import urdf
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.kinematics import CAMERA, TORSO, Kinematics
from sapave_ros.monitor import eyes
from sapave_ros.monitor.banner import NO_PERMIT, Level
from sapave_ros.monitor.eyes import Lens
from sapave_ros.monitor.intention import Intention
from sapave_ros.monitor.latency import STAGES, Latency
from sapave_ros.monitor.scene import GAZE, HANDS, Scene
from sapave_ros.types import ActionChunk, JointState, Mode, Permit, Source

KINEMATICS = Kinematics.from_urdf()
LENS = Lens(np.array([[300.0, 0.0, 211.5], [0.0, 300.0, 119.5], [0.0, 0.0, 1.0]]), 424, 240)
ARMS = np.array([{**g1.ARMS_REST, **g1.ARMS_HOME}[name] for name in g1.OTHER.names])
HEAD = np.array([0.2, 0.4])


def permit(received_s: float, state="ACTIVE", mode=Mode.MOVE, source=Source.POLICY) -> Permit:
    return Permit(received_s, 1, state, "armed", mode, mode, source, source)


def scene(until_s: float = 1.0) -> Scene:
    """A robot that stands in HOME, in control, heard until then; both clocks are one."""
    made = Scene(KINEMATICS)
    for t in np.arange(0.0, until_s + 1e-9, 0.02):
        made.hear_permit(permit(t))
        for name, group, q in (("head", g1.HEAD, HEAD), ("arms", g1.OTHER, ARMS)):
            made.hear_joints(group.names, t, q, t)
            made.hear_command(name, group.names, t, q, t)
        made.hear_camera(LENS, t, t, t)
    return made


def chunk(names, increments, stamp_s=0.9, dt_s=0.1) -> ActionChunk:
    return ActionChunk(stamp_s, dt_s, tuple(names), np.asarray(increments, dtype=np.float64))


# ---- where chunks lead ----


def test_a_chunk_of_zeros_leads_nowhere():
    made = scene()
    made.hear_chunk("head", chunk(g1.HEAD.names, np.zeros((8, 2))), Source.POLICY, 1.0)
    made.hear_chunk("arms", chunk(g1.OTHER.names, np.zeros((8, 26))), Source.POLICY, 1.0)
    view = made.view(1.0, 1.0)
    assert set(view.paths) == {GAZE, *HANDS}
    for name, link in HANDS.items():
        np.testing.assert_allclose(view.paths[name].points_in_torso, view.links[link][None, :3, 3].repeat(8, 0))
    np.testing.assert_allclose(view.paths[GAZE].points_in_torso - view.gaze, 0.0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 16), late_s=st.floats(0.0, 0.15))
def test_a_path_ends_where_the_increments_add_up(seed, steps, late_s):
    """From what was commanded at the stamp, however late the chunk comes and whatever was commanded since."""
    rng = np.random.default_rng(seed)
    made = Scene(KINEMATICS)
    made.hear_permit(permit(1.0))
    speed = rng.uniform(-0.2, 0.2, 26)
    for t in np.arange(0.0, 1.01, 0.02):
        made.hear_command("arms", g1.OTHER.names, t, ARMS + speed * t, t)
    increments = rng.uniform(-0.05, 0.05, (steps, 26))
    now_s = 0.85 + late_s
    made.hear_chunk("arms", chunk(g1.OTHER.names, increments, 0.85), Source.POLICY, now_s)
    end = dict(zip(g1.OTHER.names, ARMS + speed * 0.85 + increments.sum(axis=0)))
    for name, link in HANDS.items():
        path = made.view(now_s, 1.0).paths[name]
        assert path.times_s[0] == now_s and path.times_s[-1] == pytest.approx(0.85 + 0.1 * steps)
        assert (np.diff(path.times_s) > 0).all()
        np.testing.assert_allclose(
            path.points_in_torso[-1], KINEMATICS.frame_in_frame(link, TORSO, end)[:3, 3], atol=1e-9
        )


def test_the_controller_goes_where_the_path_says():
    """The same chunk to both: without other limits than the chunk's own the command ends on the path."""
    controller = JointController(g1.HEAD, 0.01, ControllerConfig(), shared=False)
    intention = Intention(g1.HEAD)
    intention.permit(Mode.MOVE, Source.POLICY)
    measured, sent, target = np.zeros(2), chunk(g1.HEAD.names, np.full((8, 2), 0.02), 0.5, 0.1), None
    for i in range(200):
        t = i * 0.01
        if i == 56:
            assert controller.offer(sent, t) is None
            assert intention.chunk(sent, Source.POLICY, t) is None
            target = intention.path(t)[1][-1]
        word = Permit(t, i, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=t)
        command = controller.tick(t, t, JointState(t, measured, np.zeros(2)), word)
        measured = command.positions
        if i % 2 == 0:  # half as often as it is written
            intention.command(t, command.positions)
    np.testing.assert_allclose(target, 0.16, atol=1e-6)
    np.testing.assert_allclose(measured, target, atol=1e-3)


def test_chunks_that_will_not_be_followed_draw_nothing():
    zeros = np.zeros((8, 2))
    for spoil in (
        lambda s: s.hear_permit(permit(1.0, "HOLD", Mode.HOLD)),
        lambda s: s.hear_permit(permit(1.0, "TELEOP", source=Source.TELEOP)),
    ):
        made = scene()
        spoil(made)
        made.hear_chunk("head", chunk(g1.HEAD.names, zeros), Source.POLICY, 1.0)
        assert made.view(1.0, 1.0).paths == {}
        before = scene()
        before.hear_chunk("head", chunk(g1.HEAD.names, zeros), Source.POLICY, 1.0)
        assert before.view(1.0, 1.0).paths
        spoil(before)
        assert before.view(1.0, 1.0).paths == {}, "what was to be followed is dropped"
    made = scene()
    made.hear_chunk("head", chunk(g1.HEAD.names, zeros), Source.POLICY, 1.0)
    made.hear_chunk("head", chunk(["nose"], np.zeros((8, 1))), Source.POLICY, 1.0)  # refused: changes nothing
    assert made.view(1.0, 1.0).paths and made.view(1.71, 1.0).paths == {}, "it has ended"
    assert made.view(1.2, 1.2).paths == {}, "nobody permits it any more"


def test_in_shadow_a_chunk_begins_where_the_joints_are():
    made = Scene(KINEMATICS)
    made.hear_report("sapave/head", {"mode": "shadow"})
    made.hear_permit(permit(1.0))
    for t in np.arange(0.0, 1.01, 0.02):
        made.hear_joints(g1.HEAD.names, t, HEAD, t)
        made.hear_command("head", g1.HEAD.names, t, HEAD + 0.3, t)
    made.hear_chunk("head", chunk(g1.HEAD.names, np.zeros((4, 2))), Source.POLICY, 1.0)
    view = made.view(1.0, 1.0)
    np.testing.assert_allclose(view.paths[GAZE].points_in_torso - view.gaze, 0.0, atol=1e-9)
    assert any("shadow" in line for line in view.banner.lines())


# ---- where things are ----


def test_all_links_are_where_each_is_by_itself():
    rng = np.random.default_rng(1)
    pose = dict(zip(KINEMATICS.joint_names, rng.uniform(-0.5, 0.5, len(KINEMATICS.joint_names))))
    found = KINEMATICS.links_in_frame(TORSO, pose)
    assert set(found) == set(KINEMATICS.link_names)
    for link in KINEMATICS.link_names:
        np.testing.assert_allclose(found[link], KINEMATICS.frame_in_frame(link, TORSO, pose), atol=1e-12)


def test_what_is_not_measured_is_not_shown():
    head = KINEMATICS.links_in_frame(TORSO, dict(zip(g1.HEAD.names, HEAD)))
    assert CAMERA in head and "pelvis" not in head and not any("elbow" in link for link in head)
    with pytest.raises(KeyError, match="no link 'nose'"):
        KINEMATICS.links_in_frame("nose", {})
    empty = Scene(KINEMATICS).view(0.0, 0.0)
    assert empty.ghost == {} and empty.frustum is None and empty.gaze is None and CAMERA not in empty.links
    assert scene().view(1.0, 1.0).ghost and scene().view(1.5, 1.5).ghost == {}, "a command that has ended is none"


@settings(max_examples=50, deadline=None)
@given(fx=st.floats(100, 900), skew=st.floats(-40, 40), w=st.integers(32, 1280), yaw=st.floats(-0.8, 0.8))
def test_the_frustum_projects_onto_the_corners_of_the_picture(fx, skew, w, yaw):
    lens = Lens(np.array([[fx, 0.0, w / 2 + skew], [0.0, fx * 1.1, 100 - skew], [0.0, 0.0, 1.0]]), w, 200)
    camera = KINEMATICS.camera_in_torso(np.array([yaw, 0.3]))
    apex, *corners = eyes.moved(np.linalg.inv(camera), eyes.frustum(lens, camera, 0.5))
    np.testing.assert_allclose(apex, 0.0, atol=1e-12)
    pixels = [(lens.intrinsics @ corner / corner[2])[:2] for corner in corners]
    assert all(corner[2] == pytest.approx(0.5) for corner in corners)
    expected = [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, 199.5], [-0.5, 199.5]]
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize("most", [100, 2000, 10**6])
def test_points_project_back_to_where_they_were_seen(most):
    rng = np.random.default_rng(2)
    depth = rng.integers(500, 4000, (240, 424)).astype(np.uint16)
    depth[:, :100] = 0
    depth[:50] = 20_000
    rgb = rng.integers(0, 255, (240, 424, 3)).astype(np.uint8)
    camera = KINEMATICS.camera_in_torso(HEAD)
    seen = eyes.cloud(3.0, depth, LENS, camera, rgb, most)
    assert 0 < len(seen.points_in_torso) <= most
    points = eyes.moved(np.linalg.inv(camera), seen.points_in_torso.astype(np.float64))
    pixels = points @ LENS.intrinsics.T
    u, v = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    assert (u >= 100).all() and (v >= 50).all()
    np.testing.assert_allclose(points[:, 2], depth[v, u] * 1e-3, atol=1e-5)
    np.testing.assert_array_equal(seen.colours, rgb[v, u])


def test_the_cloud_stands_where_the_camera_was_at_the_exposure():
    made = Scene(KINEMATICS)
    assert made.cloud(100) == "no depth picture"
    for i in range(51):
        made.hear_joints(g1.HEAD.names, i * 0.02, [i * 0.01, 0.0], i * 0.02)
    made.hear_camera(LENS, 0.5, 0.5, 0.5)
    made.hear_depth(0.5, np.full((240, 424), 2000, np.uint16))
    points = made.cloud(500).points_in_torso
    then = eyes.moved(np.linalg.inv(KINEMATICS.camera_in_torso(np.array([0.25, 0.0]))), points.astype(np.float64))
    np.testing.assert_allclose(then[:, 2], 2.0, atol=1e-5)
    with pytest.raises(ValueError, match="424 of the lens"):
        eyes.cloud(0.5, np.ones((2, 2), np.uint16), LENS, np.eye(4), None, 10)


def test_the_gaze_is_as_far_as_the_middle_of_the_picture():
    depth = np.full((240, 424), 3000, np.uint16)
    assert eyes.middle_depth_m(depth) == 3.0 and eyes.middle_depth_m(depth * 0) is None
    made = scene()
    near = np.linalg.norm(made.view(1.0, 1.0).gaze - made.view(1.0, 1.0).frustum[0])
    assert near == pytest.approx(eyes.GAZE_M)
    made.hear_depth(1.0, depth)
    assert np.linalg.norm(made.view(1.0, 1.0).gaze - made.view(1.0, 1.0).frustum[0]) == pytest.approx(3.0)


def test_grounding_is_laid_over_the_picture():
    heat = np.zeros((12, 16), np.uint8)
    heat[6, 8] = 255
    shown = eyes.overlaid(np.full((240, 424, 3), 100, np.uint8), heat)
    assert shown.shape == (240, 424, 3) and (shown[:40, :40] == 100).all()
    assert shown[130, 225, 0] > 150


# ---- how late ----


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0.001, 0.1)] * 3), min_size=1, max_size=20))
def test_stages_add_up_to_the_whole(stages):
    latency = Latency()
    wholes = []
    for i, (camera, inference, control) in enumerate(stages):
        t = 100.0 + 0.2 * i
        latency.picture(t, t + camera)
        latency.chunk(t, t + camera + inference)
        latency.command(t + camera + inference + control, np.zeros(2))
        wholes.append(camera + inference + control)
    budget = latency.budget(104.5)
    assert budget.chunks == len(stages) and set(budget.stages_s) == set(STAGES[:3])
    np.testing.assert_allclose(list(budget.stages_s.values()), np.mean(stages, axis=0), atol=1e-6)
    assert budget.whole_s == pytest.approx(np.mean(wholes), abs=1e-6)
    assert budget.worst_s == pytest.approx(max(wholes), abs=1e-6)
    assert latency.budget(110.0) is None, "of what was fast before nothing is left"


@pytest.mark.parametrize("lag_s", [0.03, 0.08, 0.2])
def test_joints_that_follow_have_a_lag_and_joints_that_stand_have_none(lag_s):
    moving, standing = Latency(), Latency()
    for i in range(150):
        t = 50.0 + i * 0.02
        moving.command(t, np.array([0.0, 0.3 * np.sin(2 * t)]))
        moving.motion(t + 0.003, np.array([0.0, 0.3 * np.sin(2 * (t + 0.003 - lag_s)) - 0.05]))  # it hangs, too
        standing.command(t, np.zeros(2))
        standing.motion(t, np.full(2, 0.001))
    assert moving.lag_s() == pytest.approx(lag_s, abs=0.006)
    assert standing.lag_s() is None and standing.budget(53.0) is None


def test_a_chunk_without_a_picture_or_a_command_is_not_counted():
    latency = Latency()
    latency.chunk(1.0, 1.1)  # its picture was not heard
    latency.picture(2.0, 2.03)
    latency.chunk(2.0, 2.1)
    latency.command(9.0, np.zeros(2))  # much later: of something else
    assert latency.budget(9.0) is None


# ---- what is said ----


def test_a_permit_is_believed_only_while_permits_come():
    made = scene()
    bound_s = graph.PERMIT_STALE_AFTER_S
    assert made.view(1.0, 1.0 + bound_s * 0.9).banner.state == "ACTIVE"
    late = made.view(1.0, 1.0 + bound_s * 1.1).banner
    assert late.state == NO_PERMIT and late.level is Level.BAD and "was ACTIVE" in late.reason
    never = Scene(KINEMATICS).view(0.0, 0.0).banner
    assert never.state == NO_PERMIT and "none was heard" in never.reason


def test_who_is_silent_is_named():
    made = scene()
    made.instruction = "look at the red mug"
    assert made.view(1.0, 1.0).banner.lines() == ["ACTIVE: armed", 'told: "look at the red mug"']
    text = "\n".join(made.view(6.0, 6.0).banner.lines())
    assert "joints of the head: silent for 5000 ms" in text and "camera: silent" in text
    assert "joints of the arms: never heard" in "\n".join(Scene(KINEMATICS).view(0.0, 0.0).banner.lines())


def test_the_robot_has_a_body_on_every_arm_and_none_of_it_is_invented():
    for element in ("visual", "collision"):
        bodies = urdf.read_shapes(g1.model_path(), element)
        assert {b.link for b in bodies} <= set(KINEMATICS.link_names)
        assert all(np.isfinite(b.size).all() and min(b.size) > 0 for b in bodies)
        assert {"torso_link", "left_elbow_link", "R_index_proximal", "head_pitch_link"} <= {b.link for b in bodies}
    text = g1.model_path().read_text()
    assert len(urdf.read_shapes(g1.model_path(), "visual")) == text.count("<visual>")
    (box,) = [b for b in urdf.read_shapes(g1.model_path(), "visual") if b.link == "pelvis" and b.kind == "box"]
    assert box.size == (0.085, 0.12, 0.1) and box.rgba == (0.13, 0.14, 0.16, 1.0)


def test_a_body_that_cannot_be_drawn_is_named(tmp_path):
    file = tmp_path / "robot.urdf"
    file.write_text('<robot><link name="ear"><visual><geometry><mesh filename="x"/></geometry></visual></link></robot>')
    with pytest.raises(urdf.ModelError, match="link ear: visual must be box, cylinder or sphere, got 'mesh'"):
        urdf.read_shapes(file, "visual")
