"""A graph in shadow mode commands motion and sends nothing: counted by the simulated robot, for real."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from sapave_ros.bench.shadow import Count, silent
from sapave_ros.cli import main

QUIET = Count("shadow", 5.0, 100, 0.3, 0.01, 0, 0, 0, 500)


def test_silent_is_who_commanded_motion_and_sent_nothing() -> None:
    assert silent(QUIET)
    for field in ("arm_frames", "hand_frames", "servo_writes"):
        assert not silent(replace(QUIET, **{field: 1}))
    assert not silent(replace(QUIET, commands=0))
    assert not silent(replace(QUIET, commanded_rad=0.0))


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_shadow_sends_nothing_where_a_live_graph_moves(module_ros_domain, module_dds_domain, tmp_path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = main(
            [
                "bench",
                "shadow",
                "--seconds",
                "2",
                "--json",
                str(tmp_path / "f.json"),
                "--run-dir",
                str(tmp_path / "run"),
            ]
            + ["--ros-domain", str(module_ros_domain), "--dds-domain", str(module_dds_domain)]
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    shadow, live = (Count(**row) for row in json.loads((tmp_path / "f.json").read_text()))
    assert code == 0 and silent(shadow)
    assert min(live.arm_frames, live.hand_frames, live.servo_writes) > 0
