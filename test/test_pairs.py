"""Triples: a shard is a matter of its number alone, labels agree with pictures, files are whole or not there."""

from __future__ import annotations

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mujoco")
pytest.importorskip("pyarrow")

from fake_ray import FakeRay

from sapave_ros import cli, g1
from sapave_ros.crew import Alone, RayCluster
from sapave_ros.learning.pairs import card, labels, make, store
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, GRID, PATCH, PICTURE_SIZE, Device, View
from sapave_ros.learning.pairs.generate import ShardMaker, chunks
from sapave_ros.learning.pairs.labels import DT_S, STEPS, Visibility
from sapave_ros.learning.pairs.source import Rooms
from sapave_ros.learning.pairs.splits import ROOMS_PER_SHARD, SEEDS, SHARDS, SPLITS, split_of
from sapave_ros.learning.pairs.store import ShardError, ShardName
from sapave_ros.policy import gaze as flow
from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb
from sapave_ros.policy.tokenizer import Tokenizer
from sapave_ros.sim.objects import VARIANTS
from sapave_ros.sim.sights import REVEALED

poses = st.tuples(
    *(st.floats(low, high) for low, high in zip(g1.HEAD.lower.tolist(), g1.HEAD.upper.tolist(), strict=True))
)


@pytest.fixture(scope="module")
def maker():
    m = ShardMaker("train", Rooms(SPLITS["train"]))
    yield m
    m.close()


@pytest.fixture(scope="module")
def shard(maker):
    return maker.shard(0, 0, 60)


def rows(shard):
    return [{c: v[i] for c, v in shard.pairs.items()} for i in range(len(shard.pairs["text"]))]


def same(a, b) -> bool:
    return all(
        np.array_equal(np.asarray(x), np.asarray(y))
        for one, two in ((a.pairs, b.pairs), (a.pictures, b.pictures))
        for c in one
        for x, y in zip(one[c], two[c], strict=True)
    )


# --- what belongs to which split ----------------------------------------------------------------------------------


places = st.tuples(
    st.sampled_from(list(SPLITS)),
    st.integers(0, SEEDS - 1),
    st.integers(0, SHARDS - 1),
    st.integers(0, ROOMS_PER_SHARD - 1),
)


@given(places, places)
def test_no_two_splits_seeds_or_shards_share_a_room(a, b):
    numbers = [SPLITS[name].room_seed(*rest) for name, *rest in (a, b)]
    assert (numbers[0] == numbers[1]) == (a == b)
    assert [split_of(n) for n in numbers] == [a[0], b[0]]
    assert max(numbers) < 2**63


@pytest.mark.parametrize("place", [(SEEDS, 0, 0), (0, SHARDS, 0), (0, 0, ROOMS_PER_SHARD), (-1, 0, 0)])
def test_numbers_that_would_run_into_another_split_are_refused(place):
    with pytest.raises(ValueError, match="expected 0 to"):
        SPLITS["train"].room_seed(*place)


def test_what_is_held_out_is_in_the_last_split_alone():
    sources = {name: Rooms(split) for name, split in SPLITS.items()}
    assert not set(sources["train"].templates) & set(sources["test2"].templates)
    assert set(sources["train"].templates) == set(sources["val"].templates) == set(sources["test1"].templates)
    new = set(sources["test2"].kinds) - set(sources["train"].kinds)
    assert new
    room = sources["test2"].room(sources["test2"].templates[0], 5)
    assert {i.kind for i in room.scene.items} <= set(sources["test2"].kinds)
    asked = {r.phrasing for r in sources["test1"].requests(np.random.default_rng(0), room, 12)}
    assert asked <= {"test1"}


def test_the_first_test_has_shades_that_training_does_not():
    known, new = Rooms(SPLITS["train"]), Rooms(SPLITS["test1"])
    a, b = (source.room(known.templates[0], 7) for source in (known, new))
    assert a.scene.names == b.scene.names
    assert all(i.rgb != j.rgb for i, j in zip(a.scene.items, b.scene.items, strict=True) if max(i.rgb) > 0.02)


def test_the_first_test_has_sizes_that_training_does_not(maker):
    """Everything subtends as much more as its source says, meshes and primitives alike."""
    source = Rooms(SPLITS["test1"])
    larger = ShardMaker("test1", source)
    try:
        room = Rooms(SPLITS["train"]).room("desk", 2)
        seen = []
        for m in (maker, larger):
            m.guide.load(room.scene)
            for i in range(len(room.scene.items)):
                m.guide.best(m.guide.item(i), np.zeros(2))
            seen.append([m.guide._whole_sr[m.guide.item(i)] for i in range(len(room.scene.items))])
        ratio = np.array(seen[1]) / np.array(seen[0])
        assert source.scale not in (1.0, *VARIANTS)
        np.testing.assert_allclose(ratio, source.scale**2, rtol=0.12)
    finally:
        larger.close()


# --- movements ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(poses, poses), min_size=1, max_size=5))
def test_many_movements_at_once_are_those_one_by_one(pairs):
    heads, goals = (np.array([p[i] for p in pairs]) for i in (0, 1))
    look, search = flow.look_chunks(heads, goals, 16, 0.1), flow.search_chunks(heads, 16, 0.1)
    for i, (head, goal) in enumerate(zip(heads, goals, strict=True)):
        np.testing.assert_allclose(look[i], flow.look_chunk(head, goal, 16, 0.1), atol=1e-9)
        np.testing.assert_allclose(search[i], flow.search_chunk(head, 16, 0.1), atol=1e-6)


def test_centring_is_the_worlds(maker):
    room = Rooms(SPLITS["train"]).room("desk", 3)
    maker.guide.load(room.scene)
    for name in room.scene.names[:4]:
        np.testing.assert_allclose(maker.guide.goal(name), maker.guide.world.head_pose_towards(name), atol=1e-6)


def test_movement_and_goal_agree(shard):
    for row in rows(shard):
        head, goal = row["head"], row["goal"]
        assert (goal >= g1.HEAD.lower - 1e-9).all() and (goal <= g1.HEAD.upper + 1e-9).all()
        if row["search"]:
            np.testing.assert_allclose(row["chunk"], flow.search_chunk(head, STEPS, DT_S), atol=1e-5)
        else:
            np.testing.assert_allclose(row["chunk"], flow.look_chunk(head, goal, STEPS, DT_S), atol=1e-5)
            assert np.linalg.norm(head + row["chunk"].sum(0) - goal) <= max(
                0.02, np.linalg.norm(goal - head) - flow.LOOK_SPEED_RAD_S
            )


def test_movements_continue_closed_loop(shard):
    """A new plan half way continues the old one: labels are flows."""
    heads, goals = np.array(shard.pairs["head"]), np.array(shard.pairs["goal"])
    search = np.array(shard.pairs["search"])
    whole = chunks(heads, goals, search)
    again = chunks(heads + whole[:, :6].sum(1), goals, search)
    np.testing.assert_allclose(again[:, :-6], whole[:, 6:], atol=1e-4)


def test_what_does_not_show_is_searched_for_and_nothing_else(shard):
    for row in rows(shard):
        unseen = row["visibility"] in ("hidden", "out of view", "absent")
        assert row["search"] == unseen
        if row["visibility"] in ("in view", "partly occluded"):
            assert row["coverage"].any()
            u0, v0, u1, v1 = row["box"]
            assert 0 <= u0 <= u1 < PICTURE_SIZE[1] and 0 <= v0 <= v1 < PICTURE_SIZE[0]
            covered = np.argwhere(row["coverage"] > 0) * PATCH
            assert (covered.min(0) <= (v0, u0)).all() and (covered.max(0) + PATCH > (v1, u1)).all()
        else:
            assert row["visibility"] == "none" or row["visible_fraction"] < 0.5


def test_no_pose_around_shows_much_more_than_the_goal(maker):
    """Against a grid that the label does not look at."""
    guide = maker.guide
    for template, seed in (("cabinet", 2), ("open boxes", 1)):
        room = Rooms(SPLITS["train"]).room(template, seed)
        guide.load(room.scene)
        for i in range(0, len(room.scene.items), 2):
            thing = guide.item(i)
            best = guide.best(thing, np.zeros(2))
            offsets = [np.array((a, b)) for a in (-0.13, 0.0, 0.13) for b in (-0.13, 0.0, 0.13)]
            heads = [np.clip(best.head + o, g1.HEAD.lower, g1.HEAD.upper) for o in offsets]
            assert max(guide.glimpse(thing, q).fraction for q in heads) <= best.fraction + 0.25, thing.name


def test_of_equal_views_the_nearest_to_the_axis_is_right(maker):
    guide = maker.guide
    room = Rooms(SPLITS["train"]).room("desk", 3)
    guide.load(room.scene)
    for i in range(len(room.scene.items)):
        thing = guide.item(i)
        best = guide.best(thing, np.zeros(2))
        centred = guide.glimpse(thing, guide.centring(thing.middle))
        if centred.fraction >= 0.95:
            np.testing.assert_array_equal(best.head, centred.head)
        else:
            assert best.fraction >= centred.fraction - 0.1


def test_insides_show_where_they_are_open(maker):
    """A box without a lid can be looked into from above; a drawer that is shut cannot."""
    guide = maker.guide
    fractions: dict[str, list[float]] = {"inside of the middle bin": [], "inside of the bottom drawer": []}
    for template in ("open boxes", "chest of drawers"):
        for seed in range(4):
            room = Rooms(SPLITS["train"]).room(template, seed)
            guide.load(room.scene)
            for i, mark in enumerate(room.landmarks):
                if mark.name in fractions:
                    fractions[mark.name].append(guide.best(guide.landmark(room.landmarks, i), np.zeros(2)).fraction)
    assert all(f >= REVEALED for f in fractions["inside of the middle bin"])
    assert min(fractions["inside of the bottom drawer"], default=0.0) < REVEALED


# --- pictures -----------------------------------------------------------------------------------------------------


def test_small_pictures_are_nearly_the_cameras_reduced(maker):
    room = Rooms(SPLITS["train"]).room("desk", 1)
    maker.guide.load(room.scene)
    for head in ((0.0, 0.4), (0.5, 0.7)):
        look = maker.guide.look(np.array(head))
        rgb, mm = maker.guide.eye.rgbd_of(maker.guide.world.data, look.view)
        full, full_mm = maker.guide.world.render()
        assert np.abs(rgb.astype(int) - reduce_rgb(full, PICTURE_SIZE)).mean() < 2.5
        mm, there = (1000 * reduce_depth(z / np.float32(1000), DEPTH_SIZE) for z in (mm, full_mm))
        assert np.median(np.abs(mm - there)[(mm > 0) & (there > 0)]) <= 4


def test_another_device_shifts_things_as_its_numbers_say(maker):
    """K and the pose of a camera decide where in the picture a thing is drawn: compared with the nominal one."""
    room = Rooms(SPLITS["train"]).room("desk", 2)
    shifts = []
    for device in (Device(), Device(1.03, (6.0, -5.0), (0.02, -0.03, 0.0), (0.004, 0.0, -0.004))):
        maker.guide.load(room.scene, device)
        at = {}
        for i in range(len(room.scene.items)):
            thing = maker.guide.item(i)
            look = maker.guide.look(maker.guide.centring(thing.middle))
            if maker.guide.sight(look, thing).visibility is not Visibility.IN_VIEW:
                continue
            v, u = np.argwhere(maker.guide.mask(look, thing)).mean(0)
            in_camera = look.view.pose[:3, :3].T @ (thing.middle - look.view.pose[:3, 3])
            at[i] = np.array([u, v]), (look.view.intrinsics @ (in_camera / in_camera[2]))[:2]
        shifts.append(at)
    both = shifts[0].keys() & shifts[1].keys()
    assert len(both) >= 2
    for i in both:
        drawn, computed = (shifts[1][i][n] - shifts[0][i][n] for n in (0, 1))
        assert np.linalg.norm(computed) > 4.0
        np.testing.assert_allclose(drawn, computed, atol=1.2)


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0.2, 3.0))
def test_a_view_contains_what_projects_into_it(x, y, z):
    view = View(np.eye(4), Device().intrinsics(PICTURE_SIZE), PICTURE_SIZE)
    u, v, _ = view.intrinsics @ np.array([x / z, y / z, 1.0])
    inside = -0.5 < u < PICTURE_SIZE[1] - 0.5 and -0.5 < v < PICTURE_SIZE[0] - 0.5
    assert view.contains(np.array([[x, y, z]]))[0] == inside
    assert not view.contains(np.array([[x, y, -z]]))[0]


# --- shards -------------------------------------------------------------------------------------------------------


def test_a_shard_depends_on_seed_and_number_alone(maker, shard):
    other = maker.shard(0, 1, 20)
    again = maker.shard(0, 0, 60)
    assert same(shard, again)
    assert not set(shard.pairs["room_seed"]) & set(other.pairs["room_seed"])


def test_rows_are_as_many_as_asked_for_and_refer_to_pictures(shard):
    assert len(shard.pairs["text"]) == 60
    assert set(shard.pairs["picture"]) == set(shard.pictures["picture"])
    assert all(
        shard.pictures["room_seed"][p] == s
        for p, s in zip(shard.pairs["picture"], shard.pairs["room_seed"], strict=True)
    )
    assert len(set(shard.pairs["template"])) > 1


@pytest.fixture
def name(tmp_path):
    return ShardName(tmp_path, "train", 0, 3)


def test_what_is_written_is_what_is_read(shard, name):
    store.write(name, shard)
    store.check(name)
    pairs, pictures = store.read(name, "pairs"), store.read(name, "pictures")
    for c in ("text", "kind", "visibility", "room_seed", "search", "picture", "difficulty"):
        assert store.array(pairs, c).tolist() == [getattr(v, "item", lambda v=v: v)() for v in shard.pairs[c]]
    np.testing.assert_array_equal(store.array(pairs, "chunk").reshape(-1, STEPS, 2), np.stack(shard.pairs["chunk"]))
    np.testing.assert_array_equal(store.array(pairs, "coverage"), [c.ravel() for c in shard.pairs["coverage"]])
    np.testing.assert_array_equal(store.rgb(store.array(pictures, "rgb")), np.stack(shard.pictures["rgb"]))
    np.testing.assert_array_equal(store.depth_mm(store.array(pictures, "depth_mm")), shard.pictures["depth_mm"])
    metadata = json.loads(pairs.schema.metadata[b"sapave"])
    assert metadata["schema"] == store.SCHEMA_VERSION and metadata["index"] == 3


def test_the_same_shard_has_the_same_bytes(shard, tmp_path):
    names = [ShardName(tmp_path / f, "train", 0, 0) for f in "ab"]
    for n in names:
        store.write(n, shard)
    assert store.data_hash(names[:1]) == store.data_hash(names[1:])


@pytest.mark.parametrize("damage", ["flip", "cut", "no pictures", "no note", "broken note", "old"])
def test_a_damaged_shard_is_named_with_the_command_that_makes_it_anew(shard, name, damage):
    store.write(name, shard)
    path = name.file("pictures")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:1000])
    elif damage == "no pictures":
        path.unlink()
    elif damage == "no note":
        name.note.unlink()
    elif damage == "broken note":
        name.note.write_text("{")
    else:
        name.note.write_text(json.dumps(json.loads(name.note.read_text()) | {"schema": 0}))
    command = f"sapave data --split train --seed 0 --shards 3 4 --output {name.folder}"
    with pytest.raises(ShardError, match="train-0-00003.*" + command):
        store.check(name)
    if damage not in ("flip", "no note"):
        with pytest.raises(ShardError, match=command):
            store.read(name, "pictures")


def test_a_full_disk_leaves_nothing_half_written(shard, name, monkeypatch):
    write_table = store.pq.write_table

    def full(table, path, **options):
        write_table(table, path, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.pq, "write_table", full)
    with pytest.raises(OSError, match="disk full.*train-0-00003"):
        store.write(name, shard)
    assert list(name.folder.iterdir()) == []


# --- making many --------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch, shard):
    """Shards are made at no cost; returns what was made."""
    made: list[int] = []

    class Maker:
        def __init__(self, split, source):
            pass

        def shard(self, seed, index, triples):
            made.append(index)
            return shard

        def close(self):
            pass

    monkeypatch.setattr(make, "ShardMaker", Maker)
    monkeypatch.setattr(make, "_makers", {})
    return made


def names_in(folder: Path, count: int) -> list[ShardName]:
    return [ShardName(folder, "train", 0, i) for i in range(count)]


def test_interrupted_work_goes_on_where_it_stopped(fake, tmp_path, shard):
    names = names_in(tmp_path, 4)

    class Interrupted(Alone):
        def __call__(self, work, tasks):
            for n, done in enumerate(super().__call__(work, tasks)):
                if n == 2:
                    (tmp_path / "train-0-00003.pairs.partial").write_bytes(b"half")
                    raise KeyboardInterrupt
                yield done

    with pytest.raises(KeyboardInterrupt):
        make.make(names, Rooms, Interrupted(), bar=False)
    assert not list(tmp_path.glob("*.partial"))
    names[1].file("pairs").write_bytes(b"damaged")
    store.write(names[3], shard)
    names[3].note.unlink()  # killed before it was whole
    fake.clear()
    make.make(names, Rooms, Alone(), bar=False)
    assert fake == [1, 3]
    make.make(names, Rooms, Alone(), bar=False)
    assert fake == [1, 3]
    for n in names:
        store.check(n)


def test_past_one_machine_shards_come_back_as_bytes(fake, tmp_path):
    names = names_in(tmp_path, 2)
    make.make(names, Rooms, RayCluster("head:1", FakeRay()), bar=False)
    for n in names:
        store.check(n)


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(shard, maker, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs")
    store.write(ShardName(path, "train", 0, 0), shard)
    store.write(ShardName(path, "train", 0, 1), maker.shard(0, 1, 40))
    return path


def test_batches_are_those_that_training_takes(folder):
    pytest.importorskip("torch")
    from sapave_ros.learning.dataset import Field
    from sapave_ros.learning.language import vocabulary
    from sapave_ros.learning.pairs.read import PairDataset
    from sapave_ros.learning.training.batches import Batches

    mapped, memory = PairDataset([folder], check=True), PairDataset([folder], mapped=False)
    assert len(mapped.texts) == 100
    for f in Field:
        np.testing.assert_array_equal(mapped[f], memory[f])
    tokenizer = Tokenizer(vocabulary(), 20)
    a, b = (Batches(d, tokenizer, 8, 0)(5) for d in (mapped, memory))
    assert a["rgb"].shape == (8, *PICTURE_SIZE, 3) and a["chunk"].shape == (8, STEPS, 2)
    assert all((a[k] == b[k]).all() for k in a)
    # Each pair has the picture that it was made from.
    at = mapped[Field.SCENE][mapped[Field.IMAGE]]
    assert {split_of(int(s)) for s in at} == {"train"}
    np.testing.assert_allclose(mapped[Field.JOINTS][mapped[Field.IMAGE]][:, :2], mapped.rows["head"], atol=1e-5)


@pytest.fixture
def packed(folder, tmp_path):
    """The folder as `sapave data` leaves it: without what reading it unpacks."""
    return shutil.copytree(folder, tmp_path / "packed", ignore=shutil.ignore_patterns(".arrays"))


def test_processes_that_train_together_unpack_once(packed, monkeypatch):
    pytest.importorskip("torch")
    from sapave_ros.learning.dataset import Field
    from sapave_ros.learning.pairs import read

    filled, fill = [], read._fill
    monkeypatch.setattr(read, "_fill", lambda *given: (filled.append(given), fill(*given)))
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda _: read.PairDataset([packed])[Field.RGB].sum(), range(3)))
    assert len(filled) == 1 and len(set(together)) == 1 and together[0] > 0


def test_what_cannot_be_unpacked_leaves_nothing(packed, monkeypatch):
    pytest.importorskip("torch")
    from sapave_ros.learning.pairs import read

    def full(fd, first, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(read.os, "posix_fallocate", full)
        with pytest.raises(OSError, match=r"disk full: unpacked pictures take .* GB in .*packed"):
            read.PairDataset([packed])
    path = ShardName(packed, "train", 0, 1).file("pictures")
    whole = path.read_bytes()
    path.write_bytes(whole[:999] + bytes([whole[999] ^ 1]) + whole[1000:])
    with pytest.raises(ShardError, match="train-0-00001.*checksum"):
        read.PairDataset([packed])
    assert [left.name for left in (packed / ".arrays").iterdir() if left.name != "lock"] == []


def test_a_number_that_is_missing_between_others_is_named(packed):
    for table in ("pairs.parquet", "pictures.parquet", "json"):
        (packed / f"train-0-00001.{table}").rename(packed / f"train-0-00002.{table}")
    pytest.importorskip("torch")
    from sapave_ros.learning.pairs.read import PairDataset

    with pytest.raises(ShardError, match="train-0-00001: is missing.*sapave data .*--shards 1 2"):
        PairDataset([packed])


def test_things_are_where_they_show(folder):
    """What was asked for is among the foremost things of the patches in which it shows."""
    pytest.importorskip("torch")
    from sapave_ros.learning import language
    from sapave_ros.learning.dataset import Field
    from sapave_ros.learning.language.lexicon import default
    from sapave_ros.learning.pairs.read import PairDataset
    from sapave_ros.learning.training.batches import Batches

    data = PairDataset([folder])
    things, kinds, colours = data.things, list(default().kinds), list(default().colours)
    same = []
    for pair in np.flatnonzero((data.rows["target_kind"] != "") & (data.rows["box"].reshape(-1, 4)[:, 0] >= 0)):
        picture, (u0, v0, u1, v1) = data[Field.IMAGE][pair], data.rows["box"].reshape(-1, 4)[pair] // PATCH
        inside = things.foremost[picture, v0 : v1 + 1, u0 : u1 + 1].ravel()
        seen = {(kinds[things.kind[picture, n]], colours[things.colour[picture, n]]) for n in inside if n != 255}
        same.append((str(data.rows["target_kind"][pair]), str(data.rows["target_colour"][pair])) in seen)
    assert len(same) > 20 and np.mean(same) > 0.9  # what hardly shows may be foremost nowhere
    assert ((things.foremost == labels.NO_ITEM) == (things.share == 0)).all()
    assert {w for c in things.captions.ravel() for w in c.split()} <= set(language.vocabulary())
    batch = Batches(data, Tokenizer(language.vocabulary(), 20), 10, 0, per_picture=5)(0)
    assert batch["item_coverage"].shape == (2, things.kind.shape[1], *GRID)
    assert batch["captions"].shape == (2, things.kind.shape[1], 20)


@pytest.mark.parametrize("mirrored", [0.0, 1.0])
def test_directions_are_told_from_where_the_head_goes(folder, mirrored):
    """In a mirror too: left is right there, in the words, the way of the head and the direction's number."""
    pytest.importorskip("torch")
    from sapave_ros.learning import language
    from sapave_ros.learning.pairs.read import PairDataset
    from sapave_ros.learning.training.batches import Batches

    data, tokenizer = PairDataset([folder]), Tokenizer(language.vocabulary(), 20)
    batch = Batches(data, tokenizer, 400, 0, mirrored=mirrored)(0)
    told = batch["direction"] >= 0
    assert told.any() and not told.all()
    poses = np.array(list(language.DIRECTIONS.values()))[batch["direction"][told]]
    end = (batch["joint_positions"][:, :2] + batch["chunk"].sum(1))[told]
    np.testing.assert_allclose(end, poses, atol=0.03)  # the ways to them end slowly
    for side in ("left", "right"):
        said = (batch["words"] == tokenizer.id(side)).any(1)[told].numpy()
        meant = np.array([side in name for name in language.DIRECTIONS])[batch["direction"][told]]
        assert (said == meant).all()
    silent = Batches(data, tokenizer, 40, 0, nothing=1.0)(0)
    assert (silent["direction"] == -1).all() and not silent["words"].any() and not silent["chunk"].any()


def test_filters_choose_pairs(folder):
    pytest.importorskip("torch")
    from sapave_ros.learning.dataset import Field
    from sapave_ros.learning.pairs.read import PairDataset

    shown = PairDataset([folder], where={"visibility": {"in view"}, "difficulty": {0, 1}})
    assert set(shown.rows["visibility"]) == {"in view"} and set(shown.rows["difficulty"]) <= {0, 1}
    knowing = PairDataset([folder], where={"visibility": {"out of view"}}, unseen="goal")
    there = knowing.rows["goal_fraction"] >= REVEALED
    ends = knowing.rows["head"] + knowing[Field.CHUNK].sum(1)
    distance = np.linalg.norm(knowing.rows["goal"] - ends, axis=1)[there]
    assert np.median(distance) < 0.1
    with pytest.raises(ValueError, match="where: 'colour'.*visibility"):
        PairDataset([folder], where={"colour": {"red"}})
    with pytest.raises(ValueError, match="leaves no pair"):
        PairDataset([folder], where={"kind": {"song"}})
    with pytest.raises(FileNotFoundError, match="sapave data"):
        PairDataset([folder], split="val")


def test_the_card_counts_what_is_there(folder):
    path = card.write(folder, "train")
    figures = json.loads(path.with_suffix(".json").read_text())
    assert figures["triples"] == 100 == sum(figures["counts"]["visibility"].values())
    assert figures["hash"] in path.read_text()
    assert all((folder / f"card-train-{kind}.png").exists() for kind in figures["counts"]["kind"])


def test_the_command_checks_and_names_what_is_damaged(folder, tmp_path, capsys):
    assert cli.main(["data", "--check", "--output", str(folder)]) == 0
    assert "2 shards" in capsys.readouterr().out
    copy = ShardName(tmp_path, "train", 0, 1)
    for path in folder.glob("train-0-00001.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    assert cli.main(["data", "--check", "--output", str(tmp_path)]) == 2
    assert copy.command in capsys.readouterr().err
    assert cli.main(["data", "--shards", "2", "1"]) == 2
