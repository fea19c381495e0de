"""Ages and rates: it fails closed, and what it watches is what the table says."""

from __future__ import annotations

import pytest

from sapave_ros import g1
from sapave_ros.core.health import Health, Watch, joint_states_key
from sapave_ros.graph import CAMERA_INFO, HEAD_INCREMENTS, STREAMS, stream


def all_fresh(now_s: float) -> Health:
    health = Health()
    for key in health.watches:
        health.received(key, now_s)
    return health


def test_watches_every_bounded_stream_of_the_table() -> None:
    topics = {s.topic for s in STREAMS if "watchdog" in s.subscribers and s.stale_after_s is not None}
    watched = Health().watches
    assert {key.split(" ")[0] for key in watched} == topics
    assert {joint_states_key("head"), joint_states_key("arms")} <= watched.keys()
    for key, watch in watched.items():
        assert watch.stale_after_s == stream(key.split(" ")[0]).stale_after_s


def test_never_seen_is_stale() -> None:
    text = Health().stale(1000.0)
    for key, watch in Health().watches.items():
        assert (f"{key} never seen" in text) is watch.required


@pytest.mark.parametrize("key", [k for k, w in Health().watches.items() if w.required])
def test_each_stream_alone_goes_stale_at_its_bound(key) -> None:
    bound = Health().watches[key].stale_after_s
    health = all_fresh(100.0)
    for other in health.watches:
        if other != key:
            health.received(other, 100.0 + bound)
    assert health.stale(100.0 + bound - 1e-6) == ""
    text = health.stale(100.0 + bound + 1e-3)
    assert text.startswith(key)
    assert f"at most {bound:g} s" in text


def test_the_two_controllers_are_told_apart_by_their_joints() -> None:
    health = Health()
    health.joints_received(g1.HEAD.names, 1.0)
    assert health.watches[joint_states_key("head")].age_s(1.0) == 0.0
    assert health.watches[joint_states_key("arms")].age_s(1.0) == float("inf")
    health.joints_received(g1.OTHER.names[:-1], 2.0)  # a joint is missing: does not count
    assert health.watches[joint_states_key("arms")].age_s(2.0) == float("inf")
    health.joints_received(g1.OTHER.names[::-1], 3.0)
    assert health.watches[joint_states_key("arms")].age_s(3.0) == 0.0
    assert health.watches[joint_states_key("head")].age_s(3.0) == 2.0


def test_increments_are_needed_only_with_an_instruction_and_get_time_to_begin() -> None:
    health = all_fresh(0.0)
    bound = stream(HEAD_INCREMENTS).stale_after_s

    def fresh_but_increments(now_s):
        for key in health.watches:
            if key != HEAD_INCREMENTS:
                health.received(key, now_s)
        return health.stale(now_s)

    assert fresh_but_increments(100.0) == ""
    health.require(HEAD_INCREMENTS, True, 100.0)
    assert fresh_but_increments(100.0 + bound - 0.01) == ""
    health.require(HEAD_INCREMENTS, True, 100.0 + bound - 0.01)  # said again: no new time
    assert HEAD_INCREMENTS in fresh_but_increments(100.0 + bound + 0.01)
    health.received(HEAD_INCREMENTS, 102.0)
    assert fresh_but_increments(102.5) == ""
    health.require(HEAD_INCREMENTS, False, 103.0)
    assert fresh_but_increments(200.0) == ""


def test_rate_is_of_the_last_messages_and_falls_when_they_stop() -> None:
    watch = Watch("x", 1.0)
    assert watch.rate_hz(0.0) == 0.0
    for i in range(200):
        watch.received_s.append(i / 30.0)
    assert watch.rate_hz(199 / 30.0) == pytest.approx(30.0, rel=0.02)
    assert watch.rate_hz(199 / 30.0 + 10.0) < 5.0


def test_an_age_that_is_no_number_is_stale() -> None:
    watch = Watch("x", 1.0)
    watch.received_s.append(float("nan"))
    assert watch.stale(1.0)


def test_unwatched_stream_is_an_error() -> None:
    with pytest.raises(KeyError):
        Health().received("/nonsense", 0.0)
    assert CAMERA_INFO in Health().watches
