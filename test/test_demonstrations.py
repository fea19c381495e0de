"""Learning to do: what the expert shows, as data sets; points in space; stage 2 and its export."""

from __future__ import annotations

import argparse
import dataclasses
import json
from types import SimpleNamespace

import made_up_pairs
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from sapave_ros import cli, g1  # noqa: E402
from sapave_ros.core.hand_ik import HandIk  # noqa: E402
from sapave_ros.core.kinematics import Kinematics  # noqa: E402
from sapave_ros.dataset.features import EXPERT_CHUNK, EXPERT_POINTS, frame  # noqa: E402
from sapave_ros.dataset.writer import DatasetWriter  # noqa: E402
from sapave_ros.learning import demonstrations, export, language, train  # noqa: E402
from sapave_ros.learning.config import CONFIGS  # noqa: E402
from sapave_ros.learning.demonstrations import DemonstrationBatches, mirrored  # noqa: E402
from sapave_ros.learning.model import SaPaVe  # noqa: E402
from sapave_ros.learning.pairs.camera import PICTURE_SIZE  # noqa: E402
from sapave_ros.learning.reach import CELL, POINTS, Found, Hands, points_losses, project  # noqa: E402
from sapave_ros.learning.training import checkpoint  # noqa: E402
from sapave_ros.learning.training.run import start  # noqa: E402
from sapave_ros.manipulation import demonstrate  # noqa: E402
from sapave_ros.manipulation.actors import Model  # noqa: E402
from sapave_ros.manipulation.lockstep import Chunks  # noqa: E402
from sapave_ros.manipulation.placings import onto_the_tray  # noqa: E402
from sapave_ros.manipulation.tasks import TASKS  # noqa: E402
from sapave_ros.policy.onnx_policy import OnnxPolicy  # noqa: E402
from sapave_ros.policy.session import SessionParameters  # noqa: E402
from sapave_ros.policy.tokenizer import Tokenizer  # noqa: E402
from sapave_ros.sim.rendering import HEAD_CAMERA  # noqa: E402
from sapave_ros.types import ActionChunk, Observation  # noqa: E402

WORDS = ("put", "the", "red", "can", "on", "left", "right")
FRAMES = 12


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics.from_urdf()


def anywhere(random: np.random.Generator) -> np.ndarray:
    return random.uniform(g1.POLICY.lower, g1.POLICY.upper)


def observation(random: np.random.Generator, kinematics: Kinematics, stamp_s: float = 0.0) -> Observation:
    shape, q = (HEAD_CAMERA.height, HEAD_CAMERA.width), anywhere(random)
    return Observation(
        stamp_s,
        "put the red can on the tray",
        random.integers(0, 256, (*shape, 3), dtype=np.uint8),
        q,
        random.integers(300, 2000, shape).astype(np.float32) / 1000,
        HEAD_CAMERA.intrinsics,
        kinematics.camera_in_torso(q[: len(g1.HEAD)]),
    )


def made_up(folder, kinematics, expert: bool, fps: int = demonstrate.FPS):
    """A data set of two episodes, shown by an expert or recorded from a robot."""
    random = np.random.default_rng(1)
    extra = {EXPERT_CHUNK: 16 * len(g1.POLICY), EXPERT_POINTS: 6} if expert else {}
    with DatasetWriter(folder, fps, extra=extra) as writer:
        for episode in range(2):
            for i in range(FRAMES):
                seen = observation(random, kinematics, i / fps)
                if expert:
                    chunk = ActionChunk(0.0, 0.1, g1.LEFT_ARM.names, random.normal(0.0, 0.02, (16, 7)))
                    row = demonstrate.demonstrated(seen, Chunks(other=chunk), random.uniform(0.0, 0.5, (2, 3)))
                else:
                    row = frame(seen, np.full(len(g1.POLICY), 0.001 * (i + 1)), 0.0)
                writer.add(row)
            writer.save({"episode": episode})
        writer.publish({})
    return folder


@pytest.fixture(scope="module")
def shown(tmp_path_factory, kinematics):
    return made_up(tmp_path_factory.mktemp("shown") / "part-00000", kinematics, expert=True)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A checkpoint of the stage `look`, untrained."""
    path = tmp_path_factory.mktemp("looked") / "look.pt"
    torch.manual_seed(0)
    words = language.vocabulary()
    config = dataclasses.replace(CONFIGS["debug"], vocabulary_size=len(words) + 2)
    extra = {"vocabulary": list(words), "head_bound_rad": [0.1, 0.1], "training": {"stage": "look"}}
    start("look", SaPaVe(config), path, 1e-3, 0, "cpu", extra).save()
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return made_up_pairs.write(tmp_path_factory.mktemp("pairs"))


# -- geometry ------------------------------------------------------------------------------------


def test_the_network_knows_where_the_hands_are():
    hands, ik, random = Hands(), HandIk(), np.random.default_rng(0)
    for _ in range(20):
        q = anywhere(random)
        poses = hands(torch.from_numpy(q[None]).float())[0].numpy()
        for i, (side, group) in enumerate((("left", g1.LEFT_ARM), ("right", g1.RIGHT_ARM))):
            arm = q[[g1.POLICY.names.index(name) for name in group.names]]
            np.testing.assert_allclose(poses[i], ik.hand_in_torso(side, arm), atol=1e-5)


def test_the_mirror_image_of_the_mirror_image_is_the_robot_itself_and_its_hands_are_mirrored():
    hands, random = Hands(), np.random.default_rng(1)
    for _ in range(20):
        q = anywhere(random)
        other = mirrored(q)
        np.testing.assert_allclose(mirrored(other), q, atol=1e-6)
        here, there = (hands(torch.from_numpy(x[None]).float())[0, :, :3, 3].numpy() for x in (q, other))
        np.testing.assert_allclose(here[0] * (1, -1, 1), there[1], atol=2e-3)
        np.testing.assert_allclose(here[1] * (1, -1, 1), there[0], atol=2e-3)


def geometry(kinematics: Kinematics, q: np.ndarray) -> dict[str, torch.Tensor]:
    from sapave_ros.policy.preprocess import scale_intrinsics

    k = scale_intrinsics(HEAD_CAMERA.intrinsics, (HEAD_CAMERA.height, HEAD_CAMERA.width), PICTURE_SIZE)
    return {
        "rgb": torch.zeros(1, *PICTURE_SIZE, 3, dtype=torch.uint8),
        "intrinsics": torch.from_numpy(k[None]).float(),
        "camera_in_torso": torch.from_numpy(kinematics.camera_in_torso(q[:2])[None]).float(),
    }


def test_a_point_on_the_optical_axis_shows_in_the_middle_and_one_behind_nowhere(kinematics):
    batch = geometry(kinematics, np.array([0.3, 0.4]))
    pose = batch["camera_in_torso"]
    along = torch.tensor([[[0.0, 0.0, 0.7], [0.0, 0.0, -0.7]]])
    cells, inside = project(pose[:, None, :3, 3] + along @ pose[:, :3, :3].transpose(1, 2), batch)
    assert inside.tolist() == [[True, False]]
    middle = (torch.tensor(PICTURE_SIZE).flip(0) / CELL - 1) / 2
    assert (cells[0, 0] - middle).abs().max() < 1.0


def test_who_finds_the_points_has_less_loss_and_what_nobody_knows_has_none(kinematics):
    batch = geometry(kinematics, np.array([0.0, 0.7]))
    points = torch.tensor([[[0.38, 0.1, 0.05], [0.38, -0.1, 0.05]]])
    cells = PICTURE_SIZE[0] // CELL * (PICTURE_SIZE[1] // CELL)
    place, inside = project(points, batch)
    assert inside.all()
    odds = torch.zeros(1, len(POINTS), cells + 1)
    right = odds.clone()
    for i in range(len(POINTS)):
        column, row = place[0, i].round().long().tolist()
        right[0, i, row * (PICTURE_SIZE[1] // CELL) + column] = 5.0
    told = torch.zeros(1, 4)
    good, bad = (points_losses(Found(p, o, told), points, batch) for p, o in ((points, right), (points + 0.1, odds)))
    assert good[0] < bad[0] and good[1] == 0.0 < bad[1]
    unknown = points_losses(Found(points, odds, told), torch.full_like(points, torch.nan), batch)
    assert unknown == (0.0, 0.0)


# -- data --------------------------------------------------------------------------------------------


def test_what_was_shown_is_learned_from(shown):
    frames = demonstrations.read(shown, 16, 0.1)
    assert len(frames.rgb) == 2 * FRAMES // demonstrations.EVERY
    assert frames.chunk.shape[1:] == (16, len(g1.POLICY)) and np.isfinite(frames.points).all()
    right = [g1.POLICY.names.index(name) for name in g1.RIGHT_ARM.names]
    assert np.abs(frames.chunk).max() > 0 and not frames.chunk[..., right].any()
    again = demonstrations.read(shown, 16, 0.1)
    np.testing.assert_array_equal(again.rgb, frames.rgb)


def test_what_a_robot_did_is_learned_from_too(tmp_path, kinematics):
    frames = demonstrations.read(made_up(tmp_path / "bag", kinematics, expert=False), 16, 0.1)
    assert np.isnan(frames.points).all()
    first, last = frames.chunk[0, :, 0], frames.chunk[FRAMES // demonstrations.EVERY - 1, :, 0]
    np.testing.assert_allclose(first[:FRAMES], 0.001 * np.arange(1, FRAMES + 1), rtol=1e-5)
    assert not first[FRAMES:].any() and np.count_nonzero(last) == demonstrations.EVERY


def test_frames_that_are_no_step_apart_are_named(tmp_path, kinematics):
    with pytest.raises(ValueError, match="fps 15, expected 10"):
        demonstrations.read(made_up(tmp_path / "bag", kinematics, expert=False, fps=15), 16, 0.1)


def test_batches_depend_on_the_step_alone_and_are_of_both_hands(shown):
    frames = demonstrations.read(shown, 16, 0.1)
    tokenizer = Tokenizer(WORDS, 20)
    batches = DemonstrationBatches([frames], tokenizer, 32, 0, test=False)
    one, again, other = (batches(step) for step in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["chunk"], other["chunk"])
    moves = one["chunk"].abs().sum(1) > 0
    sides = [[g1.POLICY.names.index(name) for name in group.names] for group in (g1.LEFT_ARM, g1.RIGHT_ARM)]
    left, right = (moves[:, joints].all(1) for joints in sides)
    assert left.any() and right.any() and (left ^ right).all()
    signs = torch.sign(one["points"][:, 0, 1])
    assert torch.equal(signs > 0, left)


def test_a_demonstration_is_played_written_and_not_played_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demonstrate, "EPISODES_PER_PART", 1)
    monkeypatch.setattr(demonstrate.Demonstrator, "SNAPSHOTS", 1)
    words = ["demonstrate", "--episodes", "1", "--output", str(tmp_path / "out"), "--workers", "1", "--waver", "0"]
    assert cli.main([*words, "--tasks", "onto the tray"]) == 0
    (folder,) = demonstrate.found([tmp_path / "out"])
    frames = demonstrations.read(folder, 16, 0.1)
    assert len(set(frames.episode.tolist())) == 2  # and the snapshots
    setting = TASKS["onto the tray"].setting(demonstrate.FIRST_SEED, "in view")
    assert set(frames.texts) == {setting.instruction}
    sign = 1.0 if setting.side == "left" else -1.0
    assert (sign * frames.points[:, 1, 1] > 0).all()  # the tray, on the hand's side
    assert cli.main([*words, "--tasks", "onto the tray"]) == 0
    assert "1 were there" in capsys.readouterr().out
    assert cli.main([*words[:-1], "0.1", "--tasks", "onto the tray"]) == 2
    assert "use another --output" in capsys.readouterr().err


# -- stage 2 -----------------------------------------------------------------------------------------


def trained(looked, shown, pairs, run_dir, steps: int, *more: str) -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    words = ["--stage", "do", "--look", str(looked), "--demonstrations", str(shown), "--run-dir", str(run_dir)]
    words += [
        "--data",
        str(pairs),
        "--do-steps",
        str(steps),
        "--batch",
        "4",
        "--threads",
        "1",
        "--set",
        "head_weight=0",
        *more,
    ]
    assert train.run(parser.parse_args(words)) == 0


@pytest.fixture(scope="module")
def done(looked, shown, pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("done")
    trained(looked, shown, pairs, path, 3)
    return path


def test_stage_2_leaves_what_was_learned_before_and_goes_on_where_it_was(looked, shown, pairs, done, tmp_path):
    before, after = checkpoint.read(looked)["model"], checkpoint.read(done / "do.pt")
    assert after["step"] == 3
    moved = {n for n, v in after["model"].items() if n not in before or not torch.equal(v, before[n])}
    assert moved and all(n.startswith(("other_decoder.", "reach.")) for n in moved)
    trained(looked, shown, pairs, tmp_path, 3)
    trained(looked, shown, pairs, tmp_path, 5)
    whole = tmp_path / "whole"
    trained(looked, shown, pairs, whole, 3)
    resumed = checkpoint.read(tmp_path / "do.pt")
    assert resumed["step"] == 5
    again = checkpoint.read(whole / "do.pt")["model"]
    assert all(torch.equal(v, again[n]) for n, v in after["model"].items())


def test_what_stage_2_needs_is_named(looked, shown, pairs, tmp_path, capsys):
    words = ["train", "--stage", "do", "--run-dir", str(tmp_path), "--data", str(pairs), "--demonstrations", str(shown)]
    assert cli.main(words) == 2
    assert "look.pt is not there" in capsys.readouterr().err
    assert cli.main([*words, "--look", str(looked), "--set", "d=64"]) == 2
    assert "'d'" in capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path), "--look", str(looked)]) == 2
    assert "sapave demonstrate" in capsys.readouterr().err


def test_the_exported_model_moves_head_and_arms(done, tmp_path, kinematics):
    path = tmp_path / "do.onnx"
    assert export.run(argparse.Namespace(run=done, output=path, backbone=None, look=None)) == 0
    policy = OnnxPolicy(path)
    assert policy.manifest.trained_heads == ("head", "other")
    seen = observation(np.random.default_rng(0), kinematics)
    output = policy.infer(seen)
    assert output.other is not None and output.other.joint_names == g1.OTHER.names
    model, _ = train.load_trained(done)
    assert model.reach is not None
    inputs = export.example_inputs(model.config, 1)
    with torch.no_grad():
        expected = model.eval()(inputs)
    names = list(policy.manifest.outputs)
    got = policy._session.run(names, {k: v.numpy() for k, v in inputs.items()})
    for name, value in zip(export.OUTPUTS, expected):
        assert np.abs(got[names.index(name)] - value.numpy()).max() < 1e-4, name


def test_a_model_whose_arms_are_untrained_is_not_let_at_them(kinematics):
    policy = SimpleNamespace(manifest=SimpleNamespace(name="sapave-x", trained_heads=("head",)))
    with pytest.raises(ValueError, match="sapave-x: has no trained head for arms"):
        Model(policy, onto_the_tray(0).instruction, kinematics, SessionParameters())


def test_info_tells_of_the_experts_columns(shown):
    features = json.loads((shown / "meta/info.json").read_text())["features"]
    assert features[EXPERT_POINTS]["shape"] == [6]
    assert features[EXPERT_CHUNK]["shape"] == [16 * len(g1.POLICY)]
