"""The two stages, resumed after interruption, and the export: the same numbers in torch and in ONNX Runtime."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import resource
import signal
import subprocess
import sys
import threading

import made_up_pairs
import numpy as np
import pytest
from made_up_pairs import PAIRS

torch = pytest.importorskip("torch")

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from sapave_ros.bench import train as bench  # noqa: E402
from sapave_ros.learning import export, language, train  # noqa: E402
from sapave_ros.learning import model as model_module  # noqa: E402
from sapave_ros.learning.config import CONFIGS, config_from, plain  # noqa: E402
from sapave_ros.learning.pairs.camera import PICTURE_SIZE  # noqa: E402
from sapave_ros.learning.training import checkpoint, loop  # noqa: E402
from sapave_ros.learning.training.batches import Prefetch, light  # noqa: E402
from sapave_ros.learning.training.objectives import Ground  # noqa: E402
from sapave_ros.learning.training.run import Run  # noqa: E402
from sapave_ros.policy.onnx_policy import OnnxPolicy  # noqa: E402
from sapave_ros.policy.tokenizer import Tokenizer  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Made-up triples: a bright square is the red box, and the head turns to it."""
    return made_up_pairs.write(tmp_path_factory.mktemp("data"))


def arguments(folder, run_dir, **changes) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--config", "debug", "--data", str(folder), "--run", str(run_dir), "--threads", "1"])
    values = {"ground_steps": 6, "look_steps": 6, "batch": 8, "evaluate_every": 100, "precision": "fp32"}
    return argparse.Namespace(**(vars(args) | values | changes))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    assert train.run(arguments(folder, run_dir, ground_steps=150, look_steps=100, batch=16)) == 0
    return run_dir


def test_both_stages_learn(trained):
    for stage, measure, bound in (("ground", "ground", 3.0), ("look", "mse_rad2", 0.002)):
        log = [json.loads(line) for line in (trained / f"{stage}.jsonl").read_text().splitlines()]
        assert log[-1][measure] < bound, log


def test_backbone_is_frozen_while_learning_to_look(trained):
    ground = torch.load(trained / "ground.pt", weights_only=True)
    look = torch.load(trained / "look.pt", weights_only=True)["model"]
    kernel = "backbone.stem.weight"
    assert torch.equal(ground["average"][kernel], look[kernel])
    adapted = "backbone.grounding.here"
    assert torch.equal(ground["average"][f"{adapted}.weight"], look[f"{adapted}.layer.weight"])
    assert look[f"{adapted}.up.weight"].abs().max() > 0


def curve(run_dir, stage: str) -> list[tuple[int, float]]:
    """Step and loss of every point that TensorBoard shows."""
    events = EventAccumulator(str(run_dir / stage))
    events.Reload()
    return [(e.step, e.value) for e in events.Scalars("train/loss")]


def same_end(one, two, stage: str) -> None:
    first, second = (torch.load(d / f"{stage}.pt", weights_only=True) for d in (one, two))
    assert first["step"] == second["step"]
    for field in ("model", "average"):
        assert first[field].keys() == second[field].keys()
        for name, value in first[field].items():
            assert torch.equal(value, second[field][name]), (stage, field, name)


@pytest.mark.parametrize("stage", ["ground", "look"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_resumed_training_is_the_same_training(folder, tmp_path, monkeypatch, stage, signum):
    monkeypatch.setattr(loop, "SAY_EVERY", 1)
    train.run(arguments(folder, tmp_path / "whole"))
    halves = tmp_path / "halves"
    original = Run.average_step

    def stop(self):
        original(self)
        if (self.stage, self.step) == (stage, 3):
            signal.raise_signal(signum)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "average_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train.run(arguments(folder, halves))
    assert torch.load(halves / f"{stage}.pt", weights_only=True)["step"] == 3
    train.run(arguments(folder, halves))
    for each in train.LOOKED:
        same_end(tmp_path / "whole", halves, each)
        assert curve(halves, each) == curve(tmp_path / "whole", each)
        assert [step for step, _ in curve(halves, each)] == [1, 2, 3, 4, 5, 6]


def test_a_killed_run_goes_on_from_its_last_checkpoint(folder, tmp_path, monkeypatch):
    """Saved every minute: here after every step. What was logged later than that is taken out."""
    monkeypatch.setattr(loop, "SAY_EVERY", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    train.run(arguments(folder, tmp_path / "whole", evaluate_every=1))
    killed = tmp_path / "killed"
    original = loop.take_step

    def dies(run, *others):
        if run.step == 4:
            monkeypatch.setattr(loop, "SAVE_EVERY_S", 60.0)
            raise SystemError("killed")
        if run.step == 2:
            monkeypatch.setattr(loop, "SAVE_EVERY_S", 60.0)
        return original(run, *others)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", dies)
        with pytest.raises(SystemError):
            train.run(arguments(folder, killed, evaluate_every=1))
    assert torch.load(killed / "ground.pt", weights_only=True)["step"] == 2
    train.run(arguments(folder, killed, evaluate_every=1))
    same_end(tmp_path / "whole", killed, "ground")
    assert curve(killed, "ground") == curve(tmp_path / "whole", "ground")
    logs = [(d / "ground.jsonl").read_text() for d in (tmp_path / "whole", killed)]
    assert logs[0] == logs[1]


def test_clear_errors(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="sapave data"):
        train.run(arguments(tmp_path / "nothing", tmp_path))
    with pytest.raises(FileNotFoundError, match="ground"):
        train.run(arguments(folder, tmp_path / "new", stage="look"))
    with pytest.raises(FileNotFoundError, match="look"):
        train.load_trained(tmp_path)
    with pytest.raises(ValueError, match="did you mean debug"):
        train.run(arguments(folder, tmp_path, config="debugg"))
    with pytest.raises(ValueError, match="did you mean spatial"):
        train.run(arguments(folder, tmp_path, set=["spatia=false"]))
    with pytest.raises(ValueError, match="FIELD=VALUE"):
        train.run(arguments(folder, tmp_path, set=["spatial"]))


def test_a_checkpoint_that_does_not_fit_says_why(folder, tmp_path):
    train.run(arguments(folder, tmp_path, ground_steps=1, look_steps=1))
    with pytest.raises(ValueError, match=r"another architecture: config .*--fresh"):
        train.run(arguments(folder, tmp_path, config="nano"))
    with pytest.raises(ValueError, match=r"config d is 32, here 64"):
        train.run(arguments(folder, tmp_path, set=["d=64"]))
    path = tmp_path / "ground.pt"
    old = torch.load(path, weights_only=True)
    del old["config"]["near_weight"]  # of a version that did not know it yet
    checkpoint.check(path, old, model_module.SaPaVe(config_from(old["config"])).config, tuple(old["vocabulary"]))
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no checkpoint" * 99, whole[:5000] + b"x" * 500 + whole[5500:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"ground\.pt: is damaged.*--fresh"):
            train.run(arguments(folder, tmp_path))
    torch.save({"step": 1}, path)
    with pytest.raises(ValueError, match=r"no checkpoint of this version \(average is missing\)"):
        train.run(arguments(folder, tmp_path))
    assert train.run(arguments(folder, tmp_path, fresh=True, ground_steps=1, look_steps=1)) == 0


def test_what_has_had_its_steps_stays_as_it_is(folder, tmp_path, monkeypatch):
    """To the byte, whatever the version that finds it; else a model's hash would change with nothing learned."""
    train.run(arguments(folder, tmp_path, ground_steps=2, look_steps=2))
    paths = [tmp_path / "ground.pt", tmp_path / "look.pt"]
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr(train, "_commit", lambda: "another")
    train.run(arguments(folder, tmp_path, ground_steps=2, look_steps=1))
    assert [path.read_bytes() for path in paths] == before
    assert [torch.load(path, weights_only=True)["training"]["steps"] for path in paths] == [2, 2]
    train.run(arguments(folder, tmp_path, stage="ground", ground_steps=3))
    training = torch.load(paths[0], weights_only=True)["training"]
    assert (training["commit"], training["steps"]) == ("another", 3)
    with pytest.raises(
        ValueError, match=r"look\.pt: was trained on the backbone of another ground\.pt.*--stage look --fresh"
    ):
        train.run(arguments(folder, tmp_path, stage="look", look_steps=3))
    assert paths[1].read_bytes() == before[1]


@pytest.fixture
def full_disk():
    """Files of this process cannot grow past 20 kB, as if the disk were full."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_leaves_the_old_checkpoint(folder, tmp_path, request):
    train.run(arguments(folder, tmp_path, stage="ground", ground_steps=2))
    before = (tmp_path / "ground.pt").read_bytes()
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match=r"ground\.pt: cannot be written.*whole"):
        train.run(arguments(folder, tmp_path, stage="ground", ground_steps=4))
    assert (tmp_path / "ground.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


def test_a_disk_that_is_full_for_a_while_does_not_end_training(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    original = torch.save
    fails = iter([True, True])

    def save(state, file):
        if next(fails, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(state, file)

    monkeypatch.setattr(torch, "save", save)
    assert train.run(arguments(folder, tmp_path, stage="ground", ground_steps=4)) == 0
    assert "No space left on device" in capfd.readouterr().out
    assert torch.load(tmp_path / "ground.pt", weights_only=True)["step"] == 4


def test_ablations_share_one_pretrained_backbone(folder, trained, tmp_path):
    """Only `look` is trained anew; what `ground` taught is the same file."""
    ground = trained / "ground.pt"
    for change in (["tuning=full"], ["spatial=false"], ["decoupled=false"], ["geometry=none"]):
        where = tmp_path / change[0]
        args = arguments(folder, where, stage="look", ground=ground, set=change, look_steps=1)
        assert train.run(args) == 0
        model, _ = train.load_trained(where)
        stem = model.state_dict()["backbone.stem.weight"]
        taught = torch.load(ground, weights_only=True)["average"]["backbone.stem.weight"]
        torch.testing.assert_close(stem, taught, atol=1e-2 if "full" in change[0] else 0, rtol=0)
    with pytest.raises(ValueError, match="another architecture"):
        train.run(arguments(folder, tmp_path / "no", stage="look", ground=ground, set=["widths=8,8,16,32"]))


def test_what_ground_taught_travels_in_a_small_file(folder, trained, tmp_path):
    """In 16 bits, without what the optimiser remembers; both stages start from it."""
    small = tmp_path / "backbone.pt"
    assert export.run(argparse.Namespace(run=trained, output=tmp_path / "debug.onnx", backbone=small, look=None)) == 0
    assert small.stat().st_size < (trained / "ground.pt").stat().st_size / 4
    taught = torch.load(trained / "ground.pt", weights_only=True)["average"]["backbone.stem.weight"]
    for stage, steps in (("ground", "ground_steps"), ("look", "look_steps")):
        run_dir = tmp_path / stage
        train.run(arguments(folder, run_dir, stage=stage, ground=small, lr=1e-9, **{steps: 1}))
        stem = torch.load(run_dir / f"{stage}.pt", weights_only=True)["model"]["backbone.stem.weight"]
        torch.testing.assert_close(stem, taught, atol=1e-3, rtol=1e-3)
    (tmp_path / "again").mkdir()
    small.rename(tmp_path / "again/ground.pt")
    with pytest.raises(ValueError, match=r"again/ground\.pt: holds weights alone.*--ground"):
        train.run(arguments(folder, tmp_path / "again", stage="ground"))


def test_geometry_all_is_trained_with_all_of_it(folder, tmp_path, monkeypatch):
    seen = []
    encoder = model_module.SpatialEncoder.forward

    def spy(self, depth, intrinsics, pose, present):
        seen.append(present.clone())
        return encoder(self, depth, intrinsics, pose, present)

    monkeypatch.setattr(model_module.SpatialEncoder, "forward", spy)
    for geometry, mean in (("all", 1.0), ("none", 0.0)):
        seen.clear()
        run_dir = tmp_path / geometry
        train.run(arguments(folder, run_dir, set=[f"geometry={geometry}"], ground_steps=1, evaluate_every=100))
        assert torch.stack(seen[:6]).mean() == mean


@pytest.mark.timeout(120)
def test_two_processes_train_one_model(folder, tmp_path):
    """As torchrun starts them: each draws its own batches, both end with the same weights, one writes them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        "-m",
        "sapave_ros.learning.train",
        "--config",
        "debug",
        "--data",
        str(folder),
        "--run-dir",
        str(tmp_path),
    ]
    command += ["--ground-steps", "4", "--look-steps", "4", "--batch", "4", "--threads", "1", "--precision", "fp32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("2 x 4 a step") == 1
    assert torch.load(tmp_path / "look.pt", weights_only=True)["training"]["batch"] == 8
    alone = tmp_path / "alone"
    train.run(arguments(folder, alone, ground_steps=4, look_steps=4, batch=4))
    two, one = (torch.load(d / "ground.pt", weights_only=True)["model"] for d in (tmp_path, alone))
    assert any(not torch.equal(two[name], one[name]) for name in one)  # twice the batches, another result


def test_batches_depend_on_the_step_alone(folder):
    given = train.lessons([folder], CONFIGS["debug"].image_size)
    one, _ = given.batches("look", 20, 8, 3)
    two, _ = given.batches("look", 20, 8, 3)
    with Prefetch(one, 5, lambda step: 2 * step + 1) as ahead:
        taken = [ahead.take() for _ in range(3)]
    for batch, step in zip(taken, (11, 13, 15), strict=True):
        for name, value in two(step).items():
            assert torch.equal(value, batch[name]), name


def test_light_is_the_gain_and_shift_of_every_channel():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3), dtype=np.uint8)
    random = np.random.default_rng(1)
    got = light(rgb, np.random.default_rng(1))
    gain = random.uniform(0.85, 1.15, (3, 1, 1)) * random.uniform(0.95, 1.05, (3, 1, 3))
    shift = random.uniform(-8, 8, (3, 1, 1))
    expected = np.clip(rgb * gain[:, None] + shift[:, None], 0, 255).astype(np.uint8)
    assert np.array_equal(got, expected)


def test_what_goes_wrong_in_the_thread_reaches_the_loop():
    def source(step):
        if step == 2:
            raise ValueError("shard 7 is damaged")
        return {"step": torch.tensor(step)}

    with Prefetch(source, 0) as ahead:
        assert [ahead.take()["step"].item() for _ in range(2)] == [0, 1]
        with pytest.raises(ValueError, match="shard 7"):
            ahead.take()
    assert not any(t.name == "batches" for t in threading.enumerate())


def test_bench_measures_the_share_of_the_data(folder, tmp_path):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    out = tmp_path / "speed.json"
    words = ["--config", "debug", "--data", str(folder), "--batch", "8", "--steps", "4", "--threads", "1"]
    assert bench.run(parser.parse_args([*words, "--json", str(out)])) == 0
    figures = json.loads(out.read_text())
    for stage in train.LOOKED:
        assert 0 < figures[stage]["ratio"] < 3
        assert figures[stage]["samples_s"] > 0


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "debug.onnx"
    assert export.run(argparse.Namespace(run=trained, output=path, backbone=None, look=None)) == 0
    return path


def test_parity_of_torch_and_onnx(trained, exported):
    model, _ = train.load_trained(trained)
    policy = OnnxPolicy(exported)
    for seed in range(6):
        inputs = export.example_inputs(model.config, seed)
        if seed % 2:
            inputs["present"] = torch.tensor([[1.0, 0.0, 1.0]])
            inputs["weight_head"] = torch.zeros_like(inputs["weight_head"])
        with torch.no_grad():
            expected = dict(zip(export.OUTPUTS, model.eval()(inputs), strict=True))
        names = list(policy.manifest.outputs)
        got = dict(zip(names, policy._session.run(names, {k: v.numpy() for k, v in inputs.items()}), strict=True))
        for name, value in expected.items():
            assert np.abs(got[name] - value.numpy()).max() < 1e-4, name


def test_words_that_the_network_does_not_know_are_not_exported(trained, tmp_path):
    model, _ = train.load_trained(trained)
    words = tuple(f"word{i}" for i in range(model.config.vocabulary_size))
    with pytest.raises(ValueError, match="vocabulary"):
        export.export(model, tmp_path / "x.onnx", words, {}, {})
    assert not (tmp_path / "x.onnx").exists()


def test_export_carries_its_training(trained, exported, folder):
    m = OnnxPolicy(exported).manifest
    assert m.training["seed"] == 0
    assert m.training["pairs"] == PAIRS
    assert m.training["config"]["name"] == "debug"
    assert m.trained_heads == ("head",)
    assert max(m.other_bound_rad) == 0


def test_pairs_that_share_a_picture_are_seen_as_if_each_had_its_own(folder):
    """Looked at once or twice, the losses and the gradients are the same."""
    given = train.lessons([folder], CONFIGS["debug"].image_size)
    source, _ = given.batches("look", 20, 8, 0)
    shared = source(3)
    assert len(shared["rgb"]) == 8 // train.PER_PICTURE
    del shared["captions"]  # compared across the batch, so there four alike are not one
    own = shared["picture"]
    apart = {n: v[own] if len(v) == len(shared["rgb"]) else v for n, v in shared.items() if n != "picture"}
    results = []
    for batch in (shared, apart):
        torch.manual_seed(0)
        objective = Ground(model_module.SaPaVe(CONFIGS["debug"]))
        loss = objective(batch)["loss"]
        loss.backward()
        results.append((loss, objective.model.backbone.stem.weight.grad))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-5, rtol=1e-4)


def test_in_a_mirror_left_is_right_in_all_that_is_learned_from(folder):
    source, _ = train.lessons([folder], CONFIGS["debug"].image_size).batches("ground", 20, 32, 0)
    tokenizer = Tokenizer(language.vocabulary(), 20)
    left, right = (int(tokenizer.encode(word)[0]) for word in ("left", "right"))
    source.words[:, 0], source.words[::2, 1] = left, right
    source.nothing, source.unknown, both = 0.0, 0.0, []
    for source.mirrored in (1e-9, 1.0):
        both.append(source(2))
    plain, mirrored = both
    for name, axis in (("rgb", 2), ("item_coverage", 3), ("depth_m", 2), ("coverage", 2)):
        assert torch.equal(mirrored[name], plain[name].flip(axis)), name
    for name in ("words", "captions"):
        assert torch.equal(mirrored[name] == left, plain[name] == right), name
        rest = (plain[name] != left) & (plain[name] != right)
        assert torch.equal(mirrored[name][rest], plain[name][rest]), name
    assert torch.equal(mirrored["chunk"] * torch.tensor([-1.0, 1.0]), plain["chunk"])
    # A point on the other side of the robot is at the other side of the picture.
    there = torch.tensor([1.0, 0.3, 0.1, 1.0])
    seen = [
        b["intrinsics"] @ (torch.linalg.inv(b["camera_in_torso"]) @ point)[:, :3, None]
        for b, point in ((plain, there), (mirrored, there * torch.tensor([1.0, -1.0, 1.0, 1.0])))
    ]
    (u, v), (u_mirrored, v_mirrored) = ((s[:, :2, 0] / s[:, 2:, 0]).T for s in seen)
    torch.testing.assert_close(u + u_mirrored, torch.full_like(u, PICTURE_SIZE[1] - 1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(v_mirrored, v, atol=1e-3, rtol=0)


def test_unknown_words_come_between_and_in_place_of_those_that_tell_nothing(folder):
    source, test = train.lessons([folder], CONFIGS["debug"].image_size).batches("look", 20, 64, 0)
    assert not test.unknown
    tokenizer = Tokenizer(language.vocabulary(), 20)
    carriers = {tokenizer.id(word) for word in language.carriers()}
    assert carriers and not carriers & {tokenizer.id(word) for word in ("left", "not", "mug", "into", "red", "behind")}
    source.nothing, batches = 0.0, []
    for source.unknown in (1e-9, 1.0):
        batches.append(source(1)["words"].tolist())
    changed = 0
    for whole, unknown in zip(*batches):
        told = [w for w in unknown if w not in (0, 1)]
        assert [w for w in whole if w and w not in carriers] == [w for w in told if w not in carriers]
        assert set(told) <= set(whole) and sum(map(bool, unknown)) - sum(map(bool, whole)) in (0, 1, 2)
        changed += whole != unknown
    assert changed > 32


def test_words_that_were_known_keep_their_meaning_where_others_come(tmp_path):
    config = dataclasses.replace(CONFIGS["debug"], vocabulary_size=4)
    old, new = (model_module.SaPaVe(dataclasses.replace(config, vocabulary_size=n)) for n in (4, 5))
    state = {"stage": "ground", "step": 1, "config": plain(old.config), "vocabulary": ["find", "mug"]}
    state["training"] = {"stage": "ground", "steps": 1}
    checkpoint.write(tmp_path / "ground.pt", state | {"model": old.state_dict(), "average": {}, "optimiser": {}})
    fresh = new.backbone.text.word.weight.detach().clone()
    given = train.grounded(new, tmp_path / "ground.pt", ("cup", "find", "mug"), "ground")
    assert given == state["training"] | {"hash": given["hash"]}
    words = new.backbone.text.word.weight
    torch.testing.assert_close(words[[0, 1, 3, 4]], old.backbone.text.word.weight)
    torch.testing.assert_close(words[2], fresh[2])
    torch.testing.assert_close(new.backbone.stem.weight, old.backbone.stem.weight)
    with pytest.raises(ValueError, match="vocabulary"):
        train.grounded(new, tmp_path / "ground.pt", ("cup", "find", "mug"), "look")


def test_now_and_then_nothing_is_asked_and_then_nothing_is_right(folder):
    given = train.lessons([folder], CONFIGS["debug"].image_size)
    assert given.vocabulary == language.vocabulary()
    assert given.about["pairs"] == given.about["test_pairs"] == PAIRS
    learn, test = given.batches("look", 20, 64, 0)
    assert not test.nothing
    learn.nothing = 0.5
    batch = learn(0)
    nothing = (batch["words"] == 0).all(dim=1)
    assert 10 < nothing.sum() < 54
    assert not batch["chunk"][nothing].any() and not batch["coverage"][nothing].any()
    assert batch["chunk"][~nothing].any()
    with pytest.raises(ValueError, match="image_size"):
        train.lessons([folder], (48, 80))
