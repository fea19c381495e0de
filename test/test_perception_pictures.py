"""Pictures of what a policy saw: cases are chosen by a rule, played as they were scored, and drawn where things are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.perception_cases import CELLS, SPLITS, VISIBILITIES, Case
from sapave_ros.bench.perception_pictures import (
    _HEAT,
    _TARGET,
    Moment,
    Watched,
    choose,
    draw,
    heated,
    outline,
    shoot,
    shot,
)
from sapave_ros.bench.perception_play import Player, Result, Settings
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION, Goal
from sapave_ros.learning.pairs.camera import GRID

SIZE = (192, 320, 3)


def result(split: str, number: int, success: bool, policy: str = "model") -> Result:
    kind, visibility = CELLS[number % len(CELLS)]
    case = Case(
        split, number, "tabletop", 1, (0.0, 0.0), f"look {number}", kind, "mug", (Goal(item=0),), visibility.value, 0.5
    )
    return Result(policy, case, success, None, 1.0 if success else None, 30.0, 0, np.zeros((1, 3)))


OUTCOMES = st.lists(st.booleans(), min_size=27, max_size=120)


# -- the rule ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(OUTCOMES, OUTCOMES)
def test_every_kind_shows_a_success_and_a_failure_where_there_is_one(val, test2):
    rows = [result(s, i, ok) for s, of in (("val", val), ("test2", test2)) for i, ok in enumerate(of)]
    others = [result(s, i, True, "oracle") for s in ("val", "test2") for i in range(27)]
    chosen = choose([*others, *rows], ("val", "test2"), "model")
    assert all(r.policy == "model" for r in chosen)
    shown = {(r.case.split, r.case.kind, r.success) for r in chosen}
    assert len(shown) == len(chosen)  # one of each
    assert shown == {(r.case.split, r.case.kind, r.success) for r in rows}


@settings(deadline=None)
@given(OUTCOMES)
def test_nobody_picks(outcomes):
    rows = [result("val", i, ok) for i, ok in enumerate(outcomes)]
    chosen = choose(rows, SPLITS, "model")
    assert choose(rows[::-1], SPLITS, "model") == chosen
    for r in chosen:
        wanted = VISIBILITIES[KINDS_OF_INSTRUCTION.index(r.case.kind) % len(VISIBILITIES)].value
        alike = [x for x in rows if x.case.kind == r.case.kind and x.success == r.success]
        first = next((x for x in alike if x.case.visibility == wanted), alike[0])
        assert r is first


# -- drawing -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, GRID[0] - 1), st.integers(0, GRID[1] - 1))
def test_the_frame_is_around_the_most_likely_patch(row, column):
    grounding = np.full(GRID, 0.1, np.float32)
    grounding[row, column] = 0.9
    before = np.full(SIZE, 60, np.uint8)
    after = heated(before, grounding)
    framed = np.argwhere((after == _HEAT).all(axis=2))
    patch = np.array([SIZE[0] // GRID[0], SIZE[1] // GRID[1]])
    assert (framed.min(axis=0) == patch * (row, column)).all()
    assert (framed.max(axis=0) == patch * (row + 1, column + 1) - 1).all()
    assert (before == 60).all()


def test_a_map_that_finds_nothing_hides_nothing():
    picture = np.random.default_rng(0).integers(0, 255, SIZE, dtype=np.uint8)
    same = (heated(picture, np.zeros(GRID, np.float32)) == picture).all(axis=2)
    assert same.mean() > 0.99  # all but the frame


def test_an_outline_is_around_what_is_masked_and_nothing_around_nothing():
    picture, mask = np.zeros(SIZE, np.uint8), np.zeros(SIZE[:2], bool)
    outline(picture, mask)
    assert not picture.any()
    mask[50:90, 100:160] = True
    outline(picture, mask)
    assert not picture[mask].any()
    edge = np.zeros_like(mask)
    edge[48:92, 98:162] = True
    np.testing.assert_array_equal(picture.any(axis=2), edge & ~mask)


# -- playing again -------------------------------------------------------------------------------

NUMBERS = (0, 8, 9)
"""Out of view, a direction, and in view."""


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    player = Player(Settings({}, ("still", "oracle")))
    yield player
    player.close()


@pytest.fixture(scope="module")
def rows(player) -> list[Result]:
    return [r for n in NUMBERS for r in player.score("val", n)]


def test_what_is_played_again_ends_as_it_was_scored(player, rows):
    turned: dict[str, list[float]] = {"still": [], "oracle": []}
    for r in rows:
        s = shot(player, r)
        assert s.result is r and s.agrees
        assert s.start.shape == s.end.shape == SIZE
        assert s.looks > 1 and 0 < s.end_s <= LookCriterion().time_limit_s + LookCriterion().hold_s
        turned[r.policy].append(float(np.abs(s.start.astype(int) - s.end).mean()))
    # Who stands still sinks a little.
    assert all(a > 2 * b for a, b in zip(turned["oracle"], turned["still"], strict=True))


def test_who_found_it_has_it_outlined_in_the_ring_and_not_at_the_start(player, rows):
    for r in rows:
        s = shot(player, r)
        middle = (slice(56, 136), slice(110, 210))  # 10 degrees are some 40 pixels
        assert (s.end[middle] == _TARGET).all(axis=2).any() == (r.policy == "oracle"), r.case
        if r.case.visibility == "out of view":
            assert not (s.start == _TARGET).all(axis=2).any()
        if r.case.visibility == "in view":
            assert (s.start == _TARGET).all(axis=2).any()


def test_pictures_are_the_same_every_time(player, rows):
    again = shoot(Settings({}, ("still", "oracle", "sweep")), rows[:2], bar=False)
    for a, r in zip(again, rows, strict=False):
        b = shot(player, r)
        np.testing.assert_array_equal(a.start, b.start)
        np.testing.assert_array_equal(a.end, b.end)


def test_moments_are_those_of_one_episode(player, rows):
    watched: list[Watched] = []

    def watch(looker):
        watched.append(Watched(looker))
        return watched[-1]

    oracle = next(r for r in rows if r.policy == "oracle")
    for _ in range(2):
        player.again(oracle, watch)
    first, second = (w.moments for w in watched)
    assert first[0].time_s == 0.0
    assert [m.time_s for m in first] == [m.time_s for m in second] == sorted(m.time_s for m in first)
    assert all(m.grounding is None for m in first)  # it does not look


def test_the_map_of_a_moment_is_drawn(player, rows):
    oracle = next(r for r in rows if r.policy == "oracle")
    watched: list[Watched] = []

    def watch(looker):
        watched.append(Watched(looker))
        return watched[-1]

    _, target = player.again(oracle, watch)
    judge, last = player.cases.judge("val"), watched[0].moments[-1]
    grounding = np.zeros(GRID, np.float32)
    grounding[2, 3] = 1.0
    plain = draw(judge, target, last)
    hot = draw(judge, target, Moment(last.time_s, last.qpos, grounding))
    changed = np.argwhere((plain != hot).any(axis=2))
    assert len(changed) and (math.dist(changed.mean(axis=0), (2.5 * 16, 3.5 * 16)) < 4)
