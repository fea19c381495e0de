"""The world against geometry and mechanics: what it draws is where it says, what the motors do is the motors' law."""

import math

import mujoco
import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.sim.mechanics import OWN_KD, OWN_KP
from sapave_ros.sim.rendering import DEPTH_RANGE_M, HEAD_CAMERA, OBSERVER_CAMERA, Camera, Renderer, SensorNoise
from sapave_ros.sim.scene import demo_scene, random_scene
from sapave_ros.sim.stage import CAMERA, TIMESTEP_S
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

SMALL = Camera(CAMERA, 160, 90, HEAD_CAMERA.fov_vertical_rad)
ZEROS: Floats = np.zeros(29)


@pytest.fixture(scope="module")
def world():
    w = World(random_scene(0))
    yield w
    w.close()


def towards(world, seed, index=0):
    """Loads that scene and centres one object; its name."""
    scene = random_scene(seed)
    world.load(scene)
    name = scene.names[index]
    world.set_positions(g1.HEAD, world.head_pose_towards(name))
    return name


def test_a_renderer_that_nobody_closed_takes_no_other_ones_picture_with_it(world, monkeypatch):
    towards(world, 0)
    expected = world.renderer.geoms(world.data, HEAD_CAMERA)
    forgotten = [Renderer(World(random_scene(1)).model)]
    read = mujoco.mjr_readPixels

    def forget_and_read(*arguments):
        forgotten.clear()
        read(*arguments)

    monkeypatch.setattr(mujoco, "mjr_readPixels", forget_and_read)
    with pytest.warns(ResourceWarning, match="unclosed Renderer"):
        geoms = world.renderer.geoms(world.data, HEAD_CAMERA)
    assert (geoms == expected).all()
    assert (world.renderer.geoms(world.data, HEAD_CAMERA) == expected).all()


# -- camera ---------------------------------------------------------------------------------------


def test_intrinsics_are_those_of_the_camera():
    k = HEAD_CAMERA.intrinsics
    assert 2 * math.degrees(math.atan(212 / k[0, 0])) == pytest.approx(69.0)
    assert k[0, 0] == k[1, 1]
    assert (k[0, 2], k[1, 2]) == (211.5, 119.5)


def test_the_optical_frame_is_that_of_the_urdf(world):
    towards(world, 3)
    d, m = world.data, world.model
    optical = m.body("camera_color_optical_frame").id
    torso = m.body("torso_link").id
    rotation = d.xmat[torso].reshape(3, 3)
    expected = np.eye(4)
    expected[:3, :3] = rotation.T @ d.xmat[optical].reshape(3, 3)
    expected[:3, 3] = rotation.T @ (d.xpos[optical] - d.xpos[torso])
    np.testing.assert_allclose(world.camera_in_torso, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_depth_is_where_geometry_says(world, seed):
    """Rays cast through pixels with K and the camera's pose hit at the depth that was drawn."""
    towards(world, seed)
    _, depth_mm = world.render()
    d, m, k = world.data, world.model, HEAD_CAMERA.intrinsics
    torso = m.body("torso_link").id
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = d.xmat[torso].reshape(3, 3), d.xpos[torso]
    pose = pose @ world.camera_in_torso
    random = np.random.default_rng(seed)
    groups = np.array([0, 1, 0, 0, 0, 0], np.uint8)
    missed = 0
    for u, v in zip(random.integers(2, 422, 150), random.integers(2, 238, 150), strict=True):
        ray = np.array([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], 1.0])
        direction = pose[:3, :3] @ ray
        hit = np.array([-1], np.int32)
        z = mujoco.mj_ray(m, d, pose[:3, 3], direction, groups, 1, -1, hit)
        inside = DEPTH_RANGE_M[0] < z < DEPTH_RANGE_M[1]
        around = depth_mm[v - 1 : v + 2, u - 1 : u + 2] / 1000.0
        if np.ptp(around) > 0.02:
            continue  # an edge: half a pixel decides
        # Curved things are drawn with flat facets, and 1 mm is the unit.
        missed += abs(depth_mm[v, u] / 1000.0 - (z if inside else 0.0)) > 0.003
    assert missed <= 2


@pytest.mark.parametrize("seed", range(20))
def test_a_ball_is_drawn_where_its_centre_projects(world, seed):
    """The mask of a ball, off the optical axis, is centred on the projection of its centre, at its depth."""
    scene = random_scene(seed, require=("red", "ball"))
    world.load(scene)
    away = np.random.default_rng(seed).uniform(-0.25, 0.25, 2) * (1.0, 0.6)
    world.set_positions(g1.HEAD, np.clip(world.head_pose_towards("red ball") + away, g1.HEAD.lower, g1.HEAD.upper))
    look = world.look_target("red ball")
    if look.visible_fraction < 0.98:
        pytest.skip("partly hidden in this scene")
    mask = world.segmentation() == 0
    v, u = np.nonzero(mask)
    if min(u.min(), v.min()) == 0 or u.max() == 423 or v.max() == 239:
        pytest.skip("cut off by the edge of the picture")
    assert abs((u.min() + u.max()) / 2 - look.pixel[0]) < 1.5
    assert abs((v.min() + v.max()) / 2 - look.pixel[1]) < 1.5
    _, depth_mm = world.render()
    radius = 0.06 * (0.85, 1.0, 1.18)[scene.items[0].variant]
    middle = depth_mm[round(look.pixel[1]), round(look.pixel[0])] / 1000.0
    assert middle == pytest.approx(look.centre_in_camera[2] - radius, abs=0.006)


def test_depth_has_no_value_out_of_range(world):
    for seed in range(6):
        towards(world, seed)
        _, depth = world.render()
        valid = depth[depth > 0]
        assert valid.min() >= 1000 * DEPTH_RANGE_M[0]
        assert valid.max() <= 1000 * DEPTH_RANGE_M[1]


@pytest.mark.parametrize("camera", [HEAD_CAMERA, SMALL, OBSERVER_CAMERA])
def test_pictures_have_the_shape_that_was_asked_for(world, camera):
    towards(world, 1)
    rgb, depth = world.render(camera)
    assert (rgb.shape, rgb.dtype) == ((camera.height, camera.width, 3), np.uint8)
    assert (depth.shape, depth.dtype) == ((camera.height, camera.width), np.uint16)
    assert rgb.std() > 5
    assert world.segmentation(camera).shape == depth.shape


def test_segmentation_and_colour_agree(world):
    """Where a red box is said to be, the picture is red."""
    world.load(random_scene(4, require=("red", "box")))
    world.set_positions(g1.HEAD, world.head_pose_towards("red box"))
    rgb = world.render()[0].astype(int)
    mask = world.segmentation() == 0
    assert mask.sum() > 100
    red = (rgb[..., 0] > 1.6 * rgb[..., 1]) & (rgb[..., 0] > 1.6 * rgb[..., 2])
    assert red[mask].mean() > 0.6
    assert red[~mask].mean() < 0.2


def test_noise_leaves_holes_and_grows_with_distance():
    rgb = np.full((240, 424, 3), 128, np.uint8)
    noise = SensorNoise(HEAD_CAMERA, seed=1)
    near, far = (noise.apply(rgb, np.full((240, 424), d, np.uint16)) for d in (1000, 3000))
    assert near[0].std() == pytest.approx(2.0, rel=0.1)
    assert near[1].std() == pytest.approx(2.0, rel=0.1)
    assert far[1].std() == pytest.approx(18.0, rel=0.1)
    assert not noise.apply(rgb, np.zeros((240, 424), np.uint16))[1].any()


# -- where to look --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_every_object_can_be_centred(world, seed):
    scene = random_scene(seed)
    world.load(scene)
    for name in scene.names:
        q = world.head_pose_towards(name)
        assert (q >= g1.HEAD.lower).all()
        assert (q <= g1.HEAD.upper).all()
        world.set_positions(g1.HEAD, q)
        look = world.look_target(name, visibility=False)
        assert look.angle_rad < 1e-3
        assert look.in_view
        np.testing.assert_allclose(look.pixel, HEAD_CAMERA.intrinsics[:2, 2], atol=0.5)


def test_the_pose_towards_does_not_depend_on_the_pose_before(world):
    world.load(random_scene(2))
    name = world.scene.names[0]
    poses = []
    for q in ([0.8, -0.3], [-0.8, 1.2], [0.0, 0.0]):
        world.set_positions(g1.HEAD, np.array(q))
        poses.append(world.head_pose_towards(name))
    np.testing.assert_allclose(poses, [poses[0]] * 3, atol=1e-6)


def test_the_angle_is_that_between_axis_and_centre(world):
    world.load(random_scene(2))
    name = world.scene.names[0]
    for q in np.random.default_rng(0).uniform((-0.8, -0.3), (0.8, 1.4), (30, 2)):
        world.set_positions(g1.HEAD, q)
        look = world.look_target(name, visibility=False)
        ray = look.centre_in_camera / np.linalg.norm(look.centre_in_camera)
        assert look.angle_rad == pytest.approx(math.acos(ray[2]), abs=1e-6)
        assert look.visible_fraction is None
        k = HEAD_CAMERA.intrinsics
        if look.centre_in_camera[2] > 0:
            uv = (k @ look.centre_in_camera)[:2] / look.centre_in_camera[2]
            np.testing.assert_allclose(look.pixel, uv)
            assert look.in_view == bool((uv >= -0.5).all() and uv[0] <= 423.5 and uv[1] <= 239.5)


def test_out_of_view_is_neither_in_view_nor_visible(world):
    for seed in range(10):
        world.load(demo_scene(seed))
        look = world.look_target("red mug")
        assert not look.in_view
        assert look.visible_fraction == 0.0


def test_visibility_falls_behind_an_obstacle(world):
    """A box between the eye and the object hides it; the same box behind it does not."""
    from dataclasses import replace

    from sapave_ros.sim.scene import Block

    scene = random_scene(3, require=("red", "ball"))
    scene = replace(scene, items=scene.items[:1])
    world.load(scene)
    world.set_positions(g1.HEAD, world.head_pose_towards("red ball"))
    eye = world.data.cam_xpos[world.model.camera(CAMERA).id].copy()
    centre = world.centre("red ball")
    for share, expected in ((0.6, 0.0), (1.3, 1.0)):
        at = tuple(eye + share * (centre - eye))
        block = Block(at, (0.06, 0.06, 0.06), 0.0, (0.5, 0.5, 0.5))
        world.load(replace(scene, blocks=(*scene.blocks[:4], block)))
        assert world.visible_when_centred("red ball") == expected


def test_most_objects_are_well_visible_once_centred(world):
    fractions = []
    for seed in range(12):
        world.load(random_scene(seed))
        before = world.data.qpos.copy()
        fractions += [world.visible_when_centred(n, SMALL) for n in world.scene.names]
        np.testing.assert_array_equal(world.data.qpos, before)
    assert np.mean(np.array(fractions) >= 0.5) > 0.85
    assert np.min(fractions) < 0.95  # and some are partly hidden


def test_the_demo_target_is_well_visible_once_centred(world):
    for seed in range(20):
        world.load(demo_scene(seed))
        assert world.visible_when_centred("red mug", SMALL) >= 0.5, seed


def test_unknown_names_are_refused_with_the_names_there_are(world):
    for ask in (world.look_target, world.head_pose_towards, world.centre):
        with pytest.raises(KeyError, match="no 'pink horse' in the scene; there are"):
            ask("pink horse")


def test_a_scene_leaves_nothing_behind_for_the_next(world):
    world.load(random_scene(11))
    first, _ = world.render()
    for seed in range(5):
        world.load(demo_scene(seed))
        world.step(5)
        world.look_target("red mug")
    world.load(random_scene(11))
    np.testing.assert_array_equal(world.render()[0], first)


# -- mechanics ------------------------------------------------------------------------------------


def test_the_start_pose_is_held(world):
    world.load(random_scene(1))
    before = {g: world.positions(g) for g in (g1.HEAD, g1.ARMS, g1.HANDS)}
    world.run(2.0)
    np.testing.assert_allclose(world.positions(g1.HEAD), before[g1.HEAD], atol=0.01)
    np.testing.assert_allclose(world.positions(g1.HANDS), before[g1.HANDS], atol=0.03)
    # No gravity compensation: the arms sag by torque over stiffness, as the real ones do.
    np.testing.assert_allclose(world.positions(g1.ARMS), before[g1.ARMS], atol=0.12)
    assert np.abs(world.velocities(g1.ARMS)).max() < 0.02


def test_motor_torque_is_the_law_of_the_real_motors(world):
    """tau + kp (q* - q) + kd (dq* - dq), clipped to the effort of each motor."""
    world.load(random_scene(1))
    random = np.random.default_rng(0)
    limits = world.model.actuator_forcerange[world._motor_u, 1]
    clipped = 0
    for _ in range(50):
        q = world.motor_positions + random.normal(0, 0.1, 29)
        dq, tau = random.normal(0, 0.3, 29), random.normal(0, 1.0, 29)
        kp, kd = OWN_KP * random.uniform(0.5, 1.5, 29), OWN_KD * random.uniform(0.5, 1.5, 29)
        world.set_motor_targets(q, dq, tau, kp, kd)
        q_now, dq_now = world.motor_positions, world.motor_velocities
        world.step()
        expected = tau + kp * (q - q_now) + kd * (dq - dq_now)
        clipped += (np.abs(expected) > limits).sum()
        np.testing.assert_allclose(world.motor_torques, np.clip(expected, -limits, limits), atol=1e-9)
    assert clipped > 10


def test_gains_of_zero_let_the_arms_fall_and_stiff_ones_arrive(world):
    world.load(random_scene(1))
    elbow = g1.MOTOR_NAMES.index("left_elbow_joint")
    start = world.motor_positions
    kp, kd = OWN_KP.copy(), OWN_KD.copy()
    kp[15:] = kd[15:] = 0.0
    world.set_motor_targets(start, ZEROS, ZEROS, kp, kd)
    world.run(1.0)
    assert world.motor_positions[elbow] > start[elbow] + 0.3
    world.load(random_scene(1))
    target = start.copy()
    target[elbow] += 0.3
    world.set_motor_targets(target, ZEROS, ZEROS, OWN_KP * 5, OWN_KD * 3)
    world.run(1.5)
    assert world.motor_positions[elbow] == pytest.approx(target[elbow], abs=0.02)


def test_the_neck_follows_with_the_lag_of_a_servo(world):
    """Behind a steady motion of 1 rad/s it lags 30 to 50 ms; at rest it is within a degree of its target."""
    world.load(random_scene(1))
    world.set_positions(g1.HEAD, np.array([-0.5, 0.0]))
    q = np.array([-0.5, 0.0])
    for _ in range(400):
        q = q + np.array([1.0, 1.0]) * TIMESTEP_S
        world.set_neck_target(q)
        world.step()
    lag = q - world.positions(g1.HEAD)
    assert (lag > 0.03).all()
    assert (lag < 0.06).all()
    world.run(0.5)
    np.testing.assert_allclose(world.positions(g1.HEAD), q, atol=math.radians(1.0))


def test_the_neck_does_not_overshoot_a_step(world):
    world.load(random_scene(1))
    world.set_positions(g1.HEAD, np.array([0.0, 0.3]))
    world.set_neck_target(np.array([0.3, 0.6]))
    highest = np.zeros(2)
    for _ in range(500):
        world.step()
        highest = np.maximum(highest, world.positions(g1.HEAD))
    assert (highest < np.array([0.3, 0.6]) + 0.02).all()


def test_without_torque_the_head_stays_by_friction(world):
    world.load(random_scene(1))
    world.set_positions(g1.HEAD, np.array([0.2, 0.3]))
    world.set_neck_target(None)
    world.run(1.0)
    np.testing.assert_allclose(world.positions(g1.HEAD), [0.2, 0.3], atol=0.03)


def test_the_hands_close_in_their_time_and_the_coupled_joints_follow(world):
    world.load(random_scene(1))
    world.set_positions(g1.HANDS, g1.HANDS.lower)
    goal = g1.HANDS.lower + 0.8 * (g1.HANDS.upper - g1.HANDS.lower)
    world.set_hand_targets(goal)
    world.run(0.06)
    assert (world.positions(g1.HANDS) < goal).any()
    world.run(0.9)
    np.testing.assert_allclose(world.positions(g1.HANDS), goal, atol=0.06)
    for driven, driver, ratio in world._coupled:
        assert world.data.qpos[driven] == pytest.approx(ratio * world.data.qpos[driver], abs=0.03)


def test_set_positions_is_exact_and_at_rest(world):
    world.load(random_scene(1))
    random = np.random.default_rng(0)
    for _ in range(20):
        q = random.uniform(g1.POLICY.lower, g1.POLICY.upper)
        world.set_positions(g1.POLICY, q)
        np.testing.assert_array_equal(world.positions(g1.POLICY), q)
        assert not world.velocities(g1.POLICY).any()
        for driven, driver, ratio in world._coupled:
            assert world.data.qpos[driven] == ratio * world.data.qpos[driver]


def test_the_pelvis_is_upright(world):
    np.testing.assert_allclose(world.imu_quaternion, [1, 0, 0, 0], atol=1e-12)
    assert world.motor_positions.shape == (29,)


@pytest.mark.parametrize("bad", [np.zeros(28), np.full(29, np.nan), np.full(29, np.inf)])
@pytest.mark.parametrize("which", range(5))
def test_bad_motor_targets_are_refused_by_name(world, bad, which):
    fields = [ZEROS] * 5
    fields[which] = bad
    ctrl = world.data.ctrl.copy()
    with pytest.raises(ValueError, match=f"^{('q', 'dq', 'tau', 'kp', 'kd')[which]}: "):
        world.set_motor_targets(*fields)
    np.testing.assert_array_equal(world.data.ctrl, ctrl)


def test_other_bad_targets_are_refused(world):
    with pytest.raises(ValueError, match="finite"):
        world.set_neck_target(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match=r"expected \(12,\)"):
        world.set_hand_targets(np.zeros(6))
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        world.set_positions(g1.HEAD, np.zeros(3))


def test_without_a_scene_there_is_a_robot_and_a_clear_error():
    bare = World()
    bare.step(3)
    assert bare.time_s == pytest.approx(3 * TIMESTEP_S)
    with pytest.raises(RuntimeError, match="no scene"):
        bare.look_target("red mug")
