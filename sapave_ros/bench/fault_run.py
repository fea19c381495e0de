"""One row after the other on the running graph: into motion, the fault, what follows, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.bench.fault_judge import Seen
from sapave_ros.bench.fault_measure import (
    MOTION_RAD_S,
    SILENT_S,
    Measured,
    Wire,
    changed,
    measure,
    of_one_watchdog,
    positions,
)
from sapave_ros.bench.fault_rig import Rig, RigError
from sapave_ros.bench.fault_rows import SILENT, Row
from sapave_ros.nodes.operator import OperatorError
from sapave_ros.sim.faults import FaultError
from sapave_ros.sim.motors import Motors
from sapave_ros.sim.stage import TIMESTEP_S

TRIES = 5
"""A machine that is busy with something else holds the graph up before anything is broken, or keeps the simulator from
its time: then once more."""

LATE_S = 0.05
"""A robot does not stand still. Where the simulated one did for longer [s], its motors tell nothing about the graph."""

HEARD_S = 0.1
"""Within this time a busy machine has delivered what was sent [s]."""

STAYS_S = 1.0
"""After the fault is gone, nothing may move for this long, with chunks coming in [s]."""

SETTLES_RAD = 0.03
"""A joint that was off its target while its bus was broken gets there once it is mended; motion takes it further in a
tenth of a second."""

GOES_ON_S = 2.0
"""What resumes by itself does so within its time in the table and this [s]."""

UNDER_WAY_S = 0.3
"""Motion that has just begun is far enough by then to be told from settling [s]."""

Records = tuple[Motors, Wire]


class Runner:
    """Keeps a graph running for the rows. say: called with what happens, for people."""

    def __init__(self, rig: Rig, say: Callable[[str], None]) -> None:
        self._rig, self._say = rig, say
        self._running = self._started = False

    def run(self, row: Row) -> tuple[Seen, Records | None]:
        """Tries one row. What goes wrong with the graph is in the result. RigError where no graph starts at all."""
        for _ in range(TRIES):
            seen, records = self._once(row)
            if not seen.trouble:
                break
            self._say(f"{row.name}: {seen.trouble}")
        if seen.trouble and not self._started:
            raise RigError(seen.trouble)
        return seen, records

    def _once(self, row: Row) -> tuple[Seen, Records | None]:
        try:
            self._prepare(row)
        except (RigError, OperatorError, FaultError) as error:
            self._back()
            return Seen(trouble=f"not tried: {error}"), None
        try:
            seen, records = self._try(row)
        except (RigError, OperatorError, FaultError, ValueError) as error:
            self._end()
            return Seen(trouble=f"while it was tried: {error}"), None
        seen = replace(seen, trouble=_void(row, seen.measured))
        if row.action.final:
            self._end()
            return seen, records
        return replace(seen, recovery=self._back()), records

    def close(self) -> None:
        """Ends the graph."""
        self._end()

    def _prepare(self, row: Row) -> None:
        rig = self._rig
        if self._running and rig.by_command != row.by_command:
            self._end()
        if not self._running:
            self._say("the graph starts")
            self._running = True
            rig.start(row.by_command)
            self._started = True
        rig.arm()
        rig.make_room()
        row.start(rig)

    def _try(self, row: Row) -> tuple[Seen, Records]:
        rig = self._rig
        rig.told.clear()
        fault_s = row.action.begin(rig)
        rig.spin(max(0.0, row.watch_s - (time.monotonic() - fault_s)))
        motors, wire, end_s = rig.motors(), rig.wire(), time.monotonic()
        rig.spin(HEARD_S)  # what was said by then
        permits = [p for p in of_one_watchdog(rig.permits) if p.sent_s <= end_s]
        last = permits[-1] if permits else None
        silent = last is None or end_s - last.sent_s > SILENT_S
        seen = Seen(
            fault_s=fault_s,
            changed=changed(permits, fault_s),
            silent_s=max(0.0, last.sent_s - fault_s) + graph.PERMIT_STALE_AFTER_S if silent and last else None,
            reached=(SILENT, "") if silent or last is None else (last.state, last.reason),
            told=frozenset(rig.told),
            measured=measure(motors, wire, fault_s, TIMESTEP_S, row.free),
        )
        if row.action.final:
            return replace(seen, also=tuple(row.also(rig))), (motors, wire)
        row.action.end(rig)
        mended_s = time.monotonic()
        if row.goes_on:
            rig.spin(STAYS_S)
            rig.operator.wait(lambda: rig.state in (row.after or row.states) and rig.under_way(), self._patience_s(row))
            rig.spin(UNDER_WAY_S)
        else:
            rig.spin(STAYS_S)
        motors, wire = rig.motors(), rig.wire()
        seen = replace(seen, after=rig.state, moved_after=_moved(motors, mended_s))
        return replace(seen, also=tuple(row.also(rig))), (motors, wire)

    @staticmethod
    def _patience_s(row: Row) -> float:
        return GOES_ON_S + max((f.row.resumes_after_s or 0.0 for f in row.faults), default=0.0)

    def _back(self) -> str:
        """To STANDBY, or to an end where that fails; returns why it failed."""
        try:
            self._rig.recover()
        except RigError as error:
            self._end()
            return str(error)
        return ""

    def _end(self) -> None:
        self._running = False
        self._rig.stop()


def _void(row: Row, measured: Measured | None) -> str:
    """Why this trial tells nothing about the graph, or nothing."""
    if measured is None:
        return "void: nothing was measured"
    if measured.late_s > LATE_S and not row.disturbs:
        return f"void: the simulated robot itself stood still for {measured.late_s * 1e3:.0f} ms"
    if min(measured.speed_at_fault) < MOTION_RAD_S:
        head, arms = measured.speed_at_fault
        return f"void: not in motion when it broke, head at {head:.2f} and arms at {arms:.2f} rad/s"
    return ""


def _moved(motors: Motors, mended_s: float) -> dict[str, bool]:
    """By group, whether it left where it was when the fault was mended, by more than settling."""
    after = motors[motors.time_s >= mended_s]
    if not len(after):
        return {"head": False, "arms": False}
    way = np.abs(positions(after) - positions(after[:1])).max(axis=0)
    heads = len(g1.HEAD)
    return {"head": bool((way[:heads] > SETTLES_RAD).any()), "arms": bool((way[heads:] > SETTLES_RAD).any())}
