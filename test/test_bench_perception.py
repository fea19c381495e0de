"""Semantic active perception: its cases are what they claim to be, and its scores follow from what was seen."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perception_actor import bench, result

from sapave_ros import g1
from sapave_ros.bench import (
    lookers,
    perception,
    perception_cases,
    perception_pictures,
    perception_play,
    perception_plots,
    perception_report,
)
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.judge import between_axes
from sapave_ros.bench.lockstep import Eyes, HeadLoop, LoopTiming
from sapave_ros.bench.perception_cases import APART_RAD, CELLS, NOT_YET_RAD, SEED, SPLITS, Case, NoSuchCase
from sapave_ros.bench.perception_play import (
    ANGLES_RAD,
    FRACTIONS,
    KNOWLEDGE,
    LEVELS,
    QUIET,
    Perturbed,
    Player,
    Result,
    Settings,
    Task,
    Unplayable,
    play,
)
from sapave_ros.bench.perception_score import (
    bootstrap,
    difference,
    difference_over_splits,
    judged,
    over_splits,
    perturbed,
    swapped,
)
from sapave_ros.cli import main
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION, MAX_WORDS, resolve, vocabulary
from sapave_ros.learning.pairs import splits
from sapave_ros.learning.pairs.camera import NOMINAL, PICTURE_SIZE, Device
from sapave_ros.learning.pairs.labels import Visibility
from sapave_ros.sim.targets import HeadPose
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Observation

NUMBERS = (0, 7, 8, 13, 22)
"""One of each visibility, a direction, a landmark and one with several things that fit among them."""


@pytest.fixture(scope="module")
def player() -> Player:
    return Player(Settings({}, ("still", "oracle")))


@pytest.fixture(scope="module")
def cases(player) -> list[Case]:
    return [player.cases.case("val", n) for n in NUMBERS]


# -- cases ---------------------------------------------------------------------------------------


def test_a_case_follows_from_its_number_alone(player, cases):
    assert [player.cases.case("val", n) for n in reversed(NUMBERS)] == cases[::-1]
    pair = player.cases.pair("val", 3)
    player.cases.case("val", 1)
    assert player.cases.pair("val", 3) == pair


def test_every_kind_of_instruction_is_asked_for_in_every_visibility():
    assert sorted({k for k, _ in CELLS}) == sorted(KINDS_OF_INSTRUCTION)
    assert len(set(CELLS)) == len(CELLS) == len(KINDS_OF_INSTRUCTION) * len({v for _, v in CELLS})


def test_cases_are_of_the_kind_and_visibility_of_their_number(cases):
    for case in cases:
        kind, visibility = CELLS[case.number % len(CELLS)]
        assert case.kind == kind
        assert case.visibility == (Visibility.NONE if kind == "direction" else visibility).value


@given(
    st.sampled_from(SPLITS),
    st.integers(0, splits.SHARDS - 1),
    st.integers(0, perception_cases._ROOMS - 1),
    st.integers(0, SEED - 1),
    st.integers(0, splits.SHARDS - 1),
    st.integers(0, splits.ROOMS_PER_SHARD - 1),
)
def test_no_room_is_in_any_data(split, number, attempt, seed, shard, room):
    own = splits.split_named(split).room_seed(SEED, number, attempt)
    assert splits.split_of(own) == split != "train"
    assert own not in {s.room_seed(seed, shard, room) for s in splits.SPLITS.values()}
    assert own != splits.SPLITS["train"].room_seed(SEED, shard, room)


def test_what_is_asked_for_is_meant_and_far_off_at_the_start(player, cases):
    for case in cases:
        assert splits.split_of(case.room_seed) == "val"
        room = player.cases.load(case)
        assert set(case.goals) <= set(resolve(case.text, room))
        target, world = player.cases.target(case, room), player.cases.judge("val").world
        assert target.angle_rad(world) >= NOT_YET_RAD - 1e-3
        assert target.angle_rad(world) == pytest.approx(case.angle_rad, abs=1e-3)
        if case.direction is None:
            assert player.cases.fits(case, room)


def test_pairs_share_the_start_and_no_pose_fulfils_both(player):
    for number in range(2):
        pair = player.cases.pair("val", number)
        assert (pair.first.room_seed, pair.first.head) == (pair.second.room_seed, pair.second.head)
        room = player.cases.load(pair.first)
        world = player.cases.judge("val").world
        goals = [player.cases.target(c, room).goal(world) for c in (pair.first, pair.second)]
        assert between_axes(player.cases.kinematics, *goals) >= APART_RAD > 2 * LookCriterion().max_angle_rad


# -- playing -------------------------------------------------------------------------------------


def test_who_knows_gets_there_who_stands_still_does_not_and_neither_is_shown_anything(player, cases, monkeypatch):
    monkeypatch.setattr(World, "render", lambda *_: pytest.fail("drawn for nobody"))
    for case in cases[1:4]:
        for row in player.score(case.split, case.number):
            assert row.case == case
            assert row.success == (row.policy == "oracle"), case
            assert row.refused == 0
            assert judged(row.views, LookCriterion()).success == row.success


def test_a_robot_alone_moves_as_the_one_in_the_room(player, cases):
    case, maker = cases[0], player.cases
    room = maker.load(case)
    target, world = maker.target(case, room), maker.judge("val").world
    player._stand(case)
    traces = []
    for body in (None, player._body):
        world.reset()
        loop = HeadLoop(world, maker.kinematics, LoopTiming(), body)
        traces.append(loop.run(lookers.Oracle(), case.text, target, LookCriterion()).trace)
    np.testing.assert_allclose(traces[0][:, :3], traces[1][:, :3], atol=1e-9)
    # The room's own bodies are drawn where they were one step of the physics before.
    np.testing.assert_allclose(traces[0][:, 3], traces[1][:, 3], atol=1e-3)


class Deaf:
    """Turns to one place, whatever it is told; keeps what it was shown."""

    sees = True

    def __init__(self, goal: np.ndarray) -> None:
        self._oracle = lookers.Oracle()
        self._goal = goal
        self.seen: list[Observation] = []

    def start(self, world, target) -> None:
        self._oracle.start(world, HeadPose("", self._goal))

    def look(self, observation: Observation) -> ActionChunk | None:
        self.seen.append(observation)
        return self._oracle.look(observation)


def test_exchanged_requests_find_out_who_does_not_listen(player, monkeypatch):
    pair = player.cases.pair("val", 0)
    room = player.cases.load(pair.first)
    goal = player.cases.target(pair.first, room).goal(player.cases.judge("val").world)
    monkeypatch.setattr(player, "_models", {"deaf": Deaf(goal)})
    monkeypatch.setattr(World, "render", lambda _: (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)))
    rows = {r.policy: r for r in player.swap("val", 0)}
    assert rows["oracle"].success == rows["oracle"].nearer == (True, True)
    assert rows["deaf"].success == rows["deaf"].nearer == (True, False)
    assert swapped([rows["deaf"]])["both"]["success"] == 0.0 < swapped([rows["deaf"]])["one"]["success"]


def test_who_turns_without_a_word_is_found_out(player, monkeypatch):
    monkeypatch.setattr(player, "_models", {"restless": Deaf(np.array([0.8, 0.0]))})
    monkeypatch.setattr(World, "render", lambda _: (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)))
    rows = {r.policy: r for r in player.empty("val", 0)}
    assert rows["still"].stayed and not rows["restless"].stayed
    assert rows["restless"].farthest_deg > math.degrees(QUIET.max_angle_rad)


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_a_changed_camera_is_told_of_as_it_is_or_not_at_all(player, cases, knowledge):
    case, judge = cases[0], player.cases.judge("val")
    player.cases.load(case)
    judge.mount(Device(focal=1.25, tilt_rad=(0.1, 0.0, 0.0)))
    world = judge.world

    def take():
        view = judge.view(world.positions(g1.HEAD))
        return *judge.eye.rgbd_of(world.data, view), judge.device.intrinsics(PICTURE_SIZE)

    looker = Deaf(np.array(case.head))
    eyes = Eyes(take, judge.camera_in_torso)
    here = HeadPose("", np.array(case.head))
    once = replace(QUIET, hold_s=0.0)
    HeadLoop(world, player.cases.kinematics, LoopTiming(), eyes=eyes, told=KNOWLEDGE[knowledge]).run(
        looker, "", here, once, beyond=[replace(QUIET, hold_s=0.05)]
    )
    seen = looker.seen[0]
    assert seen.rgb.shape == (*PICTURE_SIZE, 3)
    assert (seen.depth_m is not None) == (knowledge in ("full", "all", "depth"))
    assert (seen.intrinsics is not None) == (seen.camera_in_torso is not None) == (knowledge in ("full", "all", "kt"))
    if seen.camera_in_torso is None:
        return
    nominal = player.cases.kinematics.camera_in_torso(np.array(case.head))
    assert seen.intrinsics[0, 0] == pytest.approx(1.25 * NOMINAL.intrinsics(PICTURE_SIZE)[0, 0])
    assert math.acos(seen.camera_in_torso[:3, 2] @ nominal[:3, 2]) == pytest.approx(0.1, abs=1e-6)


def test_the_first_model_is_played_told_in_part_too(player, cases, monkeypatch):
    own, further, alone = Deaf(np.zeros(2)), Deaf(np.zeros(2)), Deaf(np.zeros(2))
    settings = Settings({"model": Path("a"), "nano": Path("b")}, (), parts=("none", "depth"))
    assert settings.policies == ("model", "nano", "model-none", "model-depth")
    monkeypatch.setattr(player, "_settings", settings)
    monkeypatch.setattr(player, "_models", {"model": own, "nano": further})
    monkeypatch.setattr(player, "_told", {"model": alone})
    monkeypatch.setattr(World, "render", lambda _: (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)))
    assert [r.policy for r in player.score("val", cases[0].number)] == list(settings.policies)
    assert {o.depth_m is None for o in own.seen + further.seen} == {False}
    assert {(o.depth_m is None, o.intrinsics is None) for o in alone.seen} == {(True, True), (False, True)}


@pytest.mark.parametrize("memory", [True, False])
def test_who_is_told_in_part_has_no_gaze_memory(monkeypatch, memory):
    for name in ("CaseMaker", "World"):
        monkeypatch.setattr(perception_play, name, lambda *_, **__: None)
    monkeypatch.setattr(lookers, "Model", lambda path, parameters: (path, parameters.gaze_memory))
    settings = Settings({"a": Path("a"), "b": Path("b")}, (), parts=("all", "kt"), memory=memory)
    made = Player(settings)
    assert made._models == {"a": (Path("a"), memory), "b": (Path("b"), memory)}
    assert made._told == {"a": (Path("a"), False)}
    assert [made._policy(p)[0] for p in settings.policies] == [*made._models.values(), *2 * [(Path("a"), False)]]


@pytest.mark.parametrize(("perturbed_models", "seen"), [((), {"a", "b", "oracle"}), (("b",), {"b", "oracle"})])
def test_changed_cameras_are_for_the_models_that_are_named(player, cases, monkeypatch, perturbed_models, seen):
    models = {"a": Path("a"), "b": Path("b")}
    monkeypatch.setattr(player, "_settings", Settings(models, (), perturbed=perturbed_models))
    monkeypatch.setattr(player, "_models", {name: lookers.Still() for name in models})
    monkeypatch.setattr(perception_play, "LEVELS", {"focal length": {1.25: Device(focal=1.25)}})
    rows = list(player.perturb("val", 0))
    assert {r.policy for r in rows} == seen
    assert {(r.change, r.knowledge) for r in rows if r.policy == "b"} == {
        (change, knowledge) for change in ("nothing", "focal length") for knowledge in ("full", "none")
    }
    player.cases.judge("val").mount()


@pytest.mark.parametrize("change", LEVELS)
def test_things_are_where_a_changed_camera_sees_them(player, cases, change):
    judge, tried = player.cases.judge("val"), 0
    for case in cases:
        if case.direction or case.goals[0].item is None:
            continue
        room = player.cases.load(case)
        thing = judge.thing(room, case.goals[0])
        for device in LEVELS[change].values():
            judge.mount(device)
            if not player.cases.fits(case, room):
                continue  # something stands before it, seen from there
            tried += 1
            view = judge.view(judge.best(thing, np.array(case.head)).head)
            rows, columns = np.nonzero(np.isin(judge.eye.geoms_of(judge.world.data, view), thing.geoms))
            k, (height, width) = view.intrinsics, view.size
            # In the middle of the picture of this camera, not of the one that was drawn.
            off = np.array([columns.mean() - (width - 1) / 2, rows.mean() - (height - 1) / 2])
            assert np.linalg.norm(off) / k[0, 0] < math.radians(4.0)
    judge.mount()
    assert tried


def test_changes_of_the_camera_do_what_they_are_called(player, cases):
    player.cases.load(cases[0])
    judge, head = player.cases.judge("val"), np.zeros(2)
    judge.mount()
    drawn = judge.camera(head)
    for change, sign in (("pitch [deg]", 8.0), ("height [cm]", 10.0)):
        judge.mount(LEVELS[change][sign])
        pose = judge.camera(head)
        if change.startswith("pitch"):
            assert pose[2, 2] > drawn[2, 2]  # looks higher
            np.testing.assert_allclose(pose[:3, 3], drawn[:3, 3])
        else:
            assert np.linalg.norm(pose[:3, 3] - drawn[:3, 3]) == pytest.approx(0.1)
            assert pose[2, 3] > drawn[2, 3] + 0.05
    judge.mount()


# -- scores --------------------------------------------------------------------------------------

VIEWS = st.lists(
    st.tuples(st.sampled_from([*ANGLES_RAD, 0.5]), st.sampled_from([*FRACTIONS, 0.0, 1.0])), min_size=20, max_size=240
).map(lambda rows: np.array([(i / 30, *row) for i, row in enumerate(rows)]))
CRITERIA = st.tuples(st.sampled_from(ANGLES_RAD), st.sampled_from(FRACTIONS))


@given(VIEWS, CRITERIA, CRITERIA)
def test_who_meets_the_stricter_measure_meets_the_looser_one(views, one, other):
    views = views[np.repeat(np.arange(len(views)), 12)[:240]]  # stay a while
    views[:, 0] = np.arange(len(views)) / 30
    strict = LookCriterion(min(one[0], other[0]), max(one[1], other[1]))
    loose = LookCriterion(max(one[0], other[0]), min(one[1], other[1]))
    hard, easy = judged(views, strict), judged(views, loose)
    assert easy.success or not hard.success
    if hard.success:
        assert easy.reached_s <= hard.reached_s


@given(st.lists(st.booleans(), min_size=2, max_size=200))
def test_the_interval_holds_the_share(outcomes):
    low, high = bootstrap(outcomes)
    assert -1e-9 <= low <= np.mean(outcomes) + 1e-9
    assert np.mean(outcomes) - 1e-9 <= high <= 1 + 1e-9
    assert low < high
    assert bootstrap(outcomes) == (low, high)


@given(st.integers(3, 37))
def test_the_interval_is_near_the_textbook_one_and_shrinks(k):
    few, many = np.arange(40) < k, np.arange(640) < 16 * k
    low, high = bootstrap(few)
    p = k / 40
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(p * (1 - p) / 40), rel=0.25)
    low_many, high_many = bootstrap(many)
    assert (high - low) / (high_many - low_many) == pytest.approx(4.0, rel=0.25)


def test_no_outcomes_have_no_interval():
    with pytest.raises(ValueError, match="none"):
        bootstrap([])


def test_differences_are_those_of_the_same_cases():
    a = [result("a", "val", i, i % 3 == 0) for i in range(60)]
    b = [result("b", "val", i, i % 3 != 1) for i in range(60)]
    same = difference([*a, *(replace(r, policy="b") for r in a)], "b", "a")
    assert same["difference"] == 0.0
    low, high = same["difference_95"]
    assert -1 < low < 0 < high < 1 and low == -high, "where nothing differed, either may be better"
    more = difference([*a, *b], "b", "a")
    assert more["difference"] == pytest.approx(1 / 3)
    assert 0 < more["difference_95"][0] < 1 / 3 < more["difference_95"][1] < 1


def test_differences_count_each_split_as_much_in_the_mean():
    a = [result("a", split, i, i % 3 == 0) for split, n in (("val", 30), ("test1", 90)) for i in range(n)]
    b = [result("b", split, i, i % 3 != 1) for split, n in (("val", 30),) for i in range(n)]
    b += [result("b", "test1", i, i % 3 == 0) for i in range(90)]
    mean = difference_over_splits([*a, *b], ("val", "test1", "test2"), "b", "a")
    assert mean["difference"] == pytest.approx((1 / 3 + 0.0) / 2), "and a split that nobody played is none"
    low, high = mean["difference_95"]
    assert 0.0 < low < 1 / 6 < high < 1 / 3
    same = difference_over_splits([*a, *(replace(r, policy="b") for r in a)], ("val", "test1"), "b", "a")
    assert same["difference"] == 0.0 and -1 < same["difference_95"][0] < 0.0 < same["difference_95"][1] < 1
    assert difference_over_splits(a, ("test2",), "b", "a") == {"difference": None, "difference_95": None}


def test_each_split_counts_as_much_in_the_mean():
    rows = [result("a", "val", i, True) for i in range(100)] + [result("a", "test1", i, False) for i in range(10)]
    mean = over_splits(rows, ("val", "test1"))
    assert mean["success"] == 0.5 and mean["episodes"] == 110
    low, high = over_splits(rows[:100], ("val",))["success_95"]
    assert low < 1.0 and high == pytest.approx(1.0)


def test_the_report_and_the_plots_hold_what_was_played(tmp_path):
    settings = Settings({"model": tmp_path / "m.onnx"}, ("still",), thresholds=True)
    rows = [result(p, s, i, p == "model" and i % 2 == 0) for s in SPLITS for p in ("model", "still") for i in range(54)]
    report = perception_report.summary(rows, SPLITS, settings, 54)
    assert report["splits"]["val"]["policies"]["model"]["success"] == 0.5
    assert report["splits"]["val"]["policies"]["model"]["median_time_s"] == 1.0
    assert set(report["splits"]["test2"]["policies"]["model"]["by_kind"]) == set(KINDS_OF_INSTRUCTION)
    assert report["splits"]["test1"]["played"]["kinds"] == dict.fromkeys(KINDS_OF_INSTRUCTION, 6)
    perception_report.print_scores(report, SPLITS)
    perception_plots.kinds(tmp_path / "kinds.png", rows, SPLITS, "model")
    drawn = perception_plots.thresholds(tmp_path / "thresholds.png", rows, SPLITS, ("model", "still"))
    assert drawn["val"]["model"]["by_angle"] == [0.5 if a > 0.05 else 0.0 for a in ANGLES_RAD]
    assert drawn["val"]["model"]["by_fraction"] == [0.5 if f < 0.8 else 0.0 for f in FRACTIONS]
    levels = [("nothing", 0.0), *((c, x) for c, of in LEVELS.items() for x in of)]
    changed = [Perturbed("model", rows[0].case, c, x, k, k == "full") for c, x in levels for k in KNOWLEDGE]
    assert len(perturbed(changed)) == len(levels) * len(KNOWLEDGE)
    perception_plots.cameras(tmp_path / "cameras.png", changed, "model")
    assert {p.name for p in tmp_path.iterdir()} == {"kinds.png", "thresholds.png", "cameras.png"}


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cases", "5"], "at least 27"),
        (["--quick", "--workers", "0"], "--workers 0"),
        (["--quick", "--model", "/nowhere/model.onnx"], "/nowhere/model.onnx is not there"),
        (["--quick", "--models", "ablation"], "NAME=PATH"),
        (["--quick", "--models", "still=a.onnx"], "name of another policy"),
        (["--quick", "--policies", "oracle", "--models", "a=/nowhere.onnx"], "/nowhere.onnx is not there"),
        (["--quick", "--perturb", "small"], "--perturb small; expected of the models: model"),
        (["--quick", "--perturb", "oracle", "--policies", "oracle"], "--perturb oracle; expected of the models: none"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_is(words, said, capsys):
    assert main(["bench", "perception", *words]) == 2
    assert said in capsys.readouterr().err


def stand_in(monkeypatch, **fields) -> None:
    manifest = {"vocabulary": vocabulary(), "max_words": MAX_WORDS, "trained_heads": ("head",)} | fields
    monkeypatch.setattr(lookers, "OnnxPolicy", lambda _: SimpleNamespace(manifest=SimpleNamespace(**manifest)))


def test_a_model_must_move_the_head_and_know_the_words(monkeypatch, tmp_path):
    stand_in(monkeypatch, trained_heads=("other",))
    with pytest.raises(ValueError, match="no trained head"):
        perception.fit("model", tmp_path, unknown_words=True)
    stand_in(monkeypatch, vocabulary=vocabulary()[3:])
    with pytest.raises(ValueError, match=f"without 3 of {len(vocabulary())} words"):
        perception.fit("model", tmp_path, unknown_words=False)
    assert perception.fit("model", tmp_path, unknown_words=True).unknown_words(vocabulary()[0])
    stand_in(monkeypatch, max_words=12)
    with pytest.raises(ValueError, match="reads 12 words"):
        perception.fit("model", tmp_path, unknown_words=False)
    stand_in(monkeypatch)
    perception.fit("model", tmp_path, unknown_words=False)


def test_unknown_words_are_counted_by_request(monkeypatch, tmp_path):
    stand_in(monkeypatch, vocabulary=("look",))
    tokenizer = perception.fit("model", tmp_path, unknown_words=True)
    found = perception_report.unknown(
        [result("model", "val", i, True) for i in range(3)], {"model": tokenizer}, ("val",)
    )
    assert found == {"model": {"val": {"requests": 3, "of": 3, "words": ["there"]}}}


def test_every_case_pair_and_camera_is_a_task_once():
    all_of = perception.tasks(SPLITS, 540, swap=True, perturb=True)
    assert len(set(all_of)) == len(all_of) == 3 * (540 + 2 * 108) + 54
    assert {t.split for t in all_of if t.what == "perturb"} == {"val"}


@pytest.mark.slow
def test_many_processes_play_what_one_does():
    settings = Settings({}, ("oracle", "random"))
    todo = [Task("score", split, 0) for split in SPLITS] + [Task("swap", "val", 0)]
    alone, shared = play(settings, todo, 1, bar=False), play(settings, todo, 2, bar=False)
    assert len(alone) == len(shared) == 7
    for a, b in zip(alone, shared, strict=True):
        if isinstance(a, Result):
            np.testing.assert_array_equal(a.views, b.views)
            a, b = replace(a, views=None), replace(b, views=None)
        assert a == b


# -- cases that cannot be made -------------------------------------------------------------------


def test_a_case_that_no_room_has_is_a_row_and_any_other_error_is_raised(player, monkeypatch):
    monkeypatch.setattr(perception_cases, "_ROOMS", 0)
    for what in ("score", "swap", "empty", "perturb"):
        task = Task(what, "val", 4)
        (row,) = player.do(task)
        assert isinstance(row, Unplayable) and row.task == task and row.why.startswith("val 4: no")

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(player.cases, "case", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        player.do(Task("score", "val", 4))


def test_a_candidate_that_cannot_be_made_is_passed_over(player, cases, monkeypatch):
    thing = next(c for c in cases if c.direction is None)

    def case(_, number):
        if number % 3 < 2:
            raise NoSuchCase("rare")
        return thing

    monkeypatch.setattr(player.cases, "case", case)
    assert player._for_any_camera("val", 5, [NOMINAL]) == thing


def test_cases_that_could_not_be_made_count_for_nobody(actor, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(perception_pictures, "shoot", lambda *_: [])
    actor.lost = frozenset({Task("score", "val", 3), Task("swap", "val", 5)})
    words = ["--cases", 200, "--swap", "--json", tmp_path / "r.json", "--page", tmp_path]
    words += ["--journal", tmp_path / "j.jsonl"]
    texts = []
    for _ in range(2):  # from the journal too
        assert bench(*words) == 0
        texts.append((tmp_path / "r.json").read_bytes())
        assert capsys.readouterr().out.endswith(
            "\n2 of 280 cases could not be made:\n  score val 3: no room has it\n  swap val 5: no room has it\n"
        )
    assert texts[0] == texts[1] and len(actor.played) == 280
    report = json.loads(texts[0])
    assert report["unplayable"]["of"] == 280
    assert [(c["what"], c["split"], c["number"]) for c in report["unplayable"]["cases"]] == [
        ("score", "val", 3),
        ("swap", "val", 5),
    ]
    for policy, cell in report["splits"]["val"]["policies"].items():
        wins = 199 if policy == "oracle" else sum((i * 7919) % 3 > 0 for i in range(200) if i != 3)
        assert cell["episodes"] == 199 and cell["success"] == pytest.approx(wins / 199)
        assert sum(k["episodes"] for k in cell["by_kind"].values()) == 199
        assert report["mean"][policy]["episodes"] == 199
        assert report["swap"]["val"][policy]["both"]["episodes"] == 39
        assert report["empty"]["val"][policy]["stayed"]["episodes"] == 40
    assert sum(report["splits"]["val"]["played"]["kinds"].values()) == 199
    assert {e["case"]["number"] for e in report["episodes"]} == set(range(200)) - {3}
    page = (tmp_path / "index.html").read_text()
    assert "2 of 280 cases could not be made" in page and "swap val 5: no room has it" in page
    assert "of these could be made 199 in val" in page


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_too_many_cases_that_could_not_be_made_are_a_failure(actor, lost, code):
    actor.lost = frozenset(Task("score", "val", i) for i in range(lost))
    assert bench("--cases", 200) == code


def test_a_split_of_which_nothing_could_be_made_is_left_blank(actor, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(perception_pictures, "shoot", lambda *_: [])
    monkeypatch.setattr(lookers, "Model", lambda path, *_: SimpleNamespace(manifest=contract))
    contract = SimpleNamespace(vocabulary=vocabulary(), max_words=MAX_WORDS)
    shipped = perception.share_path(perception.SHIPPED)
    actor.lost = frozenset(t for t in perception.tasks(("test1",), 27, True, False))
    words = ["--cases", 27, "--swap", "--page", tmp_path, "--json", tmp_path / "r.json", "--models", f"b={shipped}"]
    assert bench(*words, splits=("val", "test1"), policies=("model", "still")) == 1
    report = json.loads(
        (tmp_path / "r.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the report")
    )
    assert report["splits"]["test1"]["policies"]["still"]["success"] is None
    assert report["against"]["b"]["test1"]["difference"] is None
    assert report["mean"]["still"]["episodes"] == 27
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
