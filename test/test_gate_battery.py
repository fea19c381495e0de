"""One battery for the gate: commands of every kind against every state, judged by rules that know nothing of its code.

`Judge` is written from what must never be written to a motor, out of the robot's table and the numbers below, which
are stated once more on purpose. It judges every command that the gate lets out; the gate's own opinion, its reasons
and its constants do not count. The quick battery runs every joint at every boundary in every state, and random
sessions; `-m slow` runs more than a million commands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkFault
from sapave_ros.core.clearance import Clearance
from sapave_ros.core.command import Command
from sapave_ros.core.controller import ControllerConfig, JointController, Phase
from sapave_ros.core.gate import Gate
from sapave_ros.core.limiter import Limits
from sapave_ros.types import ActionChunk, JointState, Mode, Permit

GROUPS = {"head": (g1.HEAD, 0.01), "arms and hands": (g1.OTHER, 0.004)}
CLEARANCE = Clearance.from_urdf()

# What must never be exceeded, said independently of the gate.
PERMIT_S, STATE_S, EARLY_S = 0.1, 0.05, 0.1  # oldest word, oldest measurement, furthest future [s]
AUTHORITY_PER_S = 4.0
TORQUE_SHARE, TORQUE_PER_S = 0.8, 300.0
OVER = 1.02 + 1e-9
CLEAR_M = -0.001


@dataclass
class World:
    """What surrounds one command."""

    now_s: float
    mode: object
    permit_age_s: float
    state: JointState | None

    def permitted(self, n: int) -> bool:
        """Whether anything may be set in motion."""
        return self.mode is Mode.MOVE and -EARLY_S <= self.permit_age_s <= PERMIT_S and self.measured(n) is not None

    def measured(self, n: int) -> np.ndarray | None:
        """Joint positions that can be believed."""
        if self.state is None or not -EARLY_S <= self.now_s - self.state.received_s <= STATE_S:
            return None
        try:
            q = np.array(self.state.positions, dtype=float)
        except (TypeError, ValueError):
            return None
        return q if q.shape == (n,) and np.isfinite(q).all() else None


@dataclass
class Judge:
    """Follows what is written to one group and says what is illegal about it."""

    group: g1.JointGroup
    dt: float
    before: np.ndarray
    weight: float
    stiffness: float = 1.0
    judged: int = 0
    illegal: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        g = self.group
        self.speed, self.hard = g.column("velocity"), g.column("acceleration")
        self.reach, self.effort = g.column("max_tracking_error"), g.column("effort")
        self.low, self.high = np.minimum(g.lower, self.before), np.maximum(g.upper, self.before)
        self.v = np.zeros(len(g))
        self.torques = np.zeros(len(g))
        self.permitted_s = -np.inf
        # Jerk to full deceleration and back, then the deceleration; 0.05 s late; then the brake.
        self.stop_s = float((2 * self.hard / g.column("jerk") + 2 * self.speed / self.hard).max()) + 0.05 + 3 * self.dt

    def judge(self, command: Command, world: World) -> None:
        n, dt = len(self.group), self.dt
        self.judged += 1
        arrays = (command.positions, command.velocities, command.torques)
        if any(not isinstance(a, np.ndarray) or a.dtype != float or a.shape != (n,) for a in arrays):
            self.illegal.append(f"not {n} numbers")
            return
        q, v = command.positions, (command.positions - self.before) / dt
        permitted = world.permitted(n)
        self.permitted_s = world.now_s if permitted else self.permitted_s
        edge = (q <= self.group.lower + 1e-12) | (q >= self.group.upper - 1e-12)
        rules = {
            "finite": np.isfinite(arrays).all(),
            "position": np.all((q >= self.low) & (q <= self.high)),
            "speed": np.all(np.abs(v) <= self.speed * OVER + 1e-9),
            "acceleration": np.all((np.abs(v - self.v) <= self.hard * dt * OVER + 1e-9) | edge),
            "feed-forward speed": np.all(np.abs(command.velocities) <= self.speed * (1 + 1e-9)),
            "feed-forward of the step": np.all(np.abs(command.velocities) <= np.abs(v) + self.hard * dt * OVER + 1e-9),
            "torque": np.all(np.abs(command.torques) <= self.effort * TORQUE_SHARE + 1e-9),
            "torque's growth": np.all(np.abs(command.torques) <= np.abs(self.torques) + TORQUE_PER_S * dt + 1e-9),
        }
        for name in ("weight", "stiffness"):
            value, was = getattr(command, name), getattr(self, name)
            rules[name] = 0.0 <= value <= 1.0 and abs(value - was) <= AUTHORITY_PER_S * dt * (1 + 1e-9)
            rules[f"{name} without permission"] = permitted or value <= was
        if not permitted and not world.now_s <= self.permitted_s + self.stop_s:
            rules["at rest without permission"] = np.all(np.abs(v) <= 1e-5)
        measured = world.measured(n)
        if measured is not None:
            error = self.before - measured
            pushes = (np.abs(error) > self.reach) & (v * error > 0) & (np.abs(v) > 1e-5)
            rules["blocked joint"] = np.all(np.abs(v[pushes]) <= np.abs(self.v[pushes]) - self.hard[pushes] * dt + 1e-6)
        self.illegal += [f"{rule} at {world.now_s:.3f} s" for rule, kept in rules.items() if not kept]
        self.before, self.v, self.torques = q.copy(), v, command.torques.copy()
        self.weight, self.stiffness = command.weight, command.stiffness
        self.low = np.where(q >= self.group.lower, self.group.lower, self.low)
        self.high = np.where(q <= self.group.upper, self.group.upper, self.high)


def middle(group) -> np.ndarray:
    """Arms at zero, where they have room around them; all else in the middle of its range."""
    q = (group.lower + group.upper) / 2
    q[[i for i, joint in enumerate(group.joints) if joint.motor is not None]] = 0.0
    return q


# ---- every joint, at every boundary, in every state ----

JOINTS = [(name, i) for name, (group, _) in GROUPS.items() for i in range(len(group))]
INSIDE, AT, OUTSIDE = 1 - 1e-6, 1.0, 1.03
MODES = (*Mode, "move", None)
PERMIT_AGES = (0.0, PERMIT_S, PERMIT_S + 1e-9, np.inf, np.nan, -EARLY_S - 1e-6, -1e9)


def states(q: np.ndarray, now_s: float) -> list[JointState | None]:
    still, wrong = np.zeros(len(q)), q.copy()
    wrong[0] = np.nan
    times = (now_s, now_s - STATE_S, now_s - STATE_S - 1e-6, now_s + EARLY_S + 1e-6, np.nan)
    values = (wrong, q[:-1], np.append(q, 0.0), q[None], np.full(len(q), np.inf), [None] * len(q), "positions")
    return [None, *(JointState(t, q, still) for t in times), *(JointState(now_s, value, still) for value in values)]


def worlds(joint: int, count: int) -> list[tuple[int, int, int]]:
    """Indices of mode, age and state: one thing wrong at a time, then that many of all together."""
    modes, ages, kinds = len(MODES), len(PERMIT_AGES), len(states(np.zeros(2), 0.0))
    move, fresh, good = MODES.index(Mode.MOVE), 0, 1
    alone = [(m, fresh, good) for m in range(modes)] + [(move, a, good) for a in range(ages)]
    together = list(product(range(modes), range(ages), range(kinds)))
    rng = np.random.default_rng(joint)
    rng.shuffle(together)
    return alone + [(move, fresh, k) for k in range(kinds)] + [tuple(w) for w in together[:count]]  # type: ignore


@pytest.mark.parametrize("count", [10, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize(("name", "joint"), JOINTS, ids=[GROUPS[name][0].names[i] for name, i in JOINTS])
def test_every_boundary_of_every_joint_in_every_state(name, joint, count) -> None:
    group, dt = GROUPS[name]
    step = Limits.of(group).acceleration[joint] * dt**2
    now_s = 100.0
    for boundary, sign, share in product(("position", "acceleration", "speed"), (-1, 1), (INSIDE, AT, OUTSIDE)):
        start = middle(group)
        move = share * step
        if boundary == "position":
            start[joint] = group.upper[joint] if sign > 0 else group.lower[joint]
            start[joint] -= sign * 0.5 * step
            move = 0.5 * step * (share if share < OUTSIDE else 1.5)
        elif boundary == "speed":
            move = share * Limits.of(group).velocity[joint] * dt
        wanted = start.copy()
        wanted[joint] += sign * move
        seen = states(start, now_s)
        for mode_, age_, state_ in worlds(joint, count):
            mode, age_s, state = MODES[mode_], PERMIT_AGES[age_], seen[state_]
            gate = Gate(Limits.of(group), dt)
            gate.start(start, weight=1.0)
            world = World(now_s, mode, age_s, state)
            judge = Judge(group, dt, start, 1.0)
            zeros = np.zeros(len(group))
            verdict = gate.check(Command(wanted, zeros, zeros), now_s, state, mode, age_s)  # type: ignore[arg-type]
            judge.judge(verdict.command, world)
            assert not judge.illegal, (boundary, sign, share, mode, age_s, state)
            if not world.permitted(len(group)):
                assert verdict.refused
                np.testing.assert_array_equal(verdict.command.positions, start)
            elif boundary != "speed" and share is INSIDE:
                assert verdict.reason is None, verdict  # what is allowed is done
                np.testing.assert_array_equal(verdict.command.positions, wanted)
            elif share is OUTSIDE:
                assert verdict.reason is not None


ODD = {
    "nothing": None,
    "a list": [0.0, 0.0],
    "words": Command("a", "b", "c", "d", "e"),  # type: ignore[arg-type]
    "objects": Command(*[np.array([object(), object()])] * 3),
    "of unequal length": Command([[1.0], [1.0, 2.0]], np.zeros(2), np.zeros(2)),  # type: ignore[arg-type]
    "complex": Command(np.array([1j, 0.0]), np.zeros(2), np.zeros(2)),  # type: ignore[arg-type]
    "truth values": Command(np.array([True, False]), np.zeros(2), np.zeros(2)),  # type: ignore[arg-type]
    "a scalar": Command(0.0, np.zeros(2), np.zeros(2)),  # type: ignore[arg-type]
    "two rows": Command(np.zeros((2, 2)), np.zeros(2), np.zeros(2)),
    "no arrays": Command(None, None, None),  # type: ignore[arg-type]
    "largest float32": Command(np.full(2, np.finfo(np.float32).max, np.float32), np.zeros(2), np.zeros(2)),  # type: ignore
    "largest float64": Command(np.full(2, np.finfo(float).max), np.zeros(2), np.zeros(2)),
    "huge whole numbers": Command([10**400, 0], np.zeros(2), np.zeros(2)),  # type: ignore[arg-type]
    "a weight of arrays": Command(np.zeros(2), np.zeros(2), np.zeros(2), np.ones(2)),  # type: ignore[arg-type]
    "a huge weight": Command(np.zeros(2), np.zeros(2), np.zeros(2), 10**400),
    "no weight": Command(np.zeros(2), np.zeros(2), np.zeros(2), None),  # type: ignore[arg-type]
    "no stiffness": Command(np.zeros(2), np.zeros(2), np.zeros(2), 1.0, "stiff"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_command_at_all_is_refused(odd) -> None:
    gate, q = Gate(Limits.of(g1.HEAD), 0.01), np.array([0.1, 0.2])
    gate.start(q, weight=1.0)
    verdict = gate.check(ODD[odd], 0.0, JointState(0.0, q, np.zeros(2)), Mode.MOVE, 0.0)  # type: ignore[arg-type]
    assert verdict.refused
    np.testing.assert_array_equal(verdict.command.positions, q)
    assert (verdict.command.weight, verdict.command.stiffness) == (1.0, 1.0)


@pytest.mark.parametrize("kind", [list, np.float32, np.int64, tuple])
def test_numbers_of_any_kind_are_taken_as_what_they_say(kind) -> None:
    gate, q = Gate(Limits.of(g1.HEAD), 0.01), np.array([-0.0, 0.0])
    gate.start(q, weight=1.0)
    as_given = kind(q) if kind in (list, tuple) else q.astype(kind)
    wanted = Command(as_given, as_given, as_given)  # type: ignore[arg-type]
    verdict = gate.check(wanted, 0.0, JointState(0.0, q, q), Mode.MOVE, 0.0)
    assert verdict.reason is None
    assert verdict.command.positions.dtype == np.float64


def test_nobody_changes_a_command_after_it_was_judged() -> None:
    gate, q = Gate(Limits.of(g1.HEAD), 0.01), np.zeros(2)
    gate.start(q, weight=1.0)
    asked = Command(np.zeros(2), np.zeros(2), np.zeros(2))
    verdict = gate.check(asked, 0.0, JointState(0.0, q, q), Mode.MOVE, 0.0)
    asked.positions[:] = 1.0
    np.testing.assert_array_equal(verdict.command.positions, 0.0)
    assert gate.previous is not None
    np.testing.assert_array_equal(gate.previous.positions, 0.0)


# ---- random sessions ----


def session(seed: int, ticks: int, clearance: Clearance | None = None) -> tuple[Judge, int, np.ndarray]:
    """One gate from start to end: its judge, how many commands passed as they were, and what was written."""
    rng = np.random.default_rng(seed)
    group, dt = GROUPS["head"] if seed % 3 == 0 and clearance is None else GROUPS["arms and hands"]
    n, limits = len(group), Limits.of(group)
    start = (
        middle(group) + rng.uniform(-0.05, 0.05, n) if rng.random() < 0.8 else rng.uniform(limits.lower, limits.upper)
    )
    gate = Gate(limits, dt, clearance=clearance)
    weight = float(rng.choice([0.0, 1.0]))
    gate.start(start, weight)
    judge = Judge(group, dt, np.array(start), weight)
    written, passed = [np.array(start)], 0
    kinds, dice = rng.integers(0, 24, ticks), rng.random((ticks, 4))
    jitter, spread = rng.normal(0.0, 1.0, (ticks, n)), rng.choice([0.0, 0.0, 0.1, 0.5], ticks)
    now_s, v, mode, age_s = 1000.0, np.zeros(n), Mode.MOVE, 0.0
    permit_dead = state_dead = 0
    state: JointState | None = JointState(now_s, written[-1], np.zeros(n))
    odd_values = (np.nan, np.inf, -np.inf, 1e300, -3.4e38)
    stuck = start + rng.uniform(-0.5, 0.5, n)
    for i in range(ticks):
        d = dice[i]
        now_s += dt
        kind = kinds[i]
        # The world: faults last for a while.
        permit_dead = permit_dead - 1 if permit_dead else (int(d[0] * 4000) if d[0] < 0.02 else 0)
        state_dead = state_dead - 1 if state_dead else (int(d[1] * 4000) if d[1] < 0.02 else 0)
        age_s = (
            (0.0, PERMIT_S, -0.01)[i % 3]
            if not permit_dead
            else (PERMIT_S * 1.01, np.inf, np.nan, -0.2)[permit_dead % 4]
        )
        if d[2] < 0.01:
            mode = list(Mode)[int(d[2] * 400)]
        elif d[2] < 0.06:
            mode = Mode.MOVE
        seen = written[-1] + spread[i] * jitter[i] if seed % 5 else stuck
        state = JointState(now_s, seen, v)
        if state_dead:
            state = (
                None,
                JointState(now_s - 0.06, seen, v),
                JointState(now_s + 0.2, seen, v),
                JointState(now_s, seen[:-1], v),
                JointState(now_s, np.full(n, np.nan), v),
            )[state_dead % 5]
        # The command: mostly one that goes on within the limits, else of the kind that the die says.
        if d[3] < 0.3:
            v = np.clip(v + jitter[i] * limits.acceleration * dt, -limits.velocity, limits.velocity)
        q = written[-1] + v * dt
        velocities, torques, w, k = v, np.zeros(n), gate.previous.weight, gate.previous.stiffness  # type: ignore[union-attr]
        j = int(d[3] * n)
        if kind == 0:
            q = q + jitter[i]
        elif kind == 1:
            q[j] = odd_values[i % 5]
        elif kind == 2:
            velocities = np.where(np.arange(n) == j, odd_values[i % 5], v)
        elif kind == 3:
            torques = jitter[i] * 30.0
        elif kind == 4:
            torques[j] = odd_values[i % 5]
        elif kind == 5:
            w = float(d[3] * 2 - 0.5)
        elif kind == 6:
            k = float(d[3] * 2 - 0.5)
        elif kind == 7:
            w, k = (max(0.0, w - 0.01), k) if d[3] < 0.5 else (w, max(0.0, k - 0.01))
        elif kind == 8:
            w, k = min(1.0, w + 0.01), min(1.0, k + 0.01)
        elif kind == 9:
            q = (q[: n - 1], np.append(q, 0.0), q[None], q[:0], q[::-1])[i % 5]
        elif kind == 10:
            q = group.lower + (group.upper - group.lower) * d[3]
        elif kind == 11:
            v = v * 1.5
            q = written[-1] + v * dt
        elif kind == 12:
            q = written[max(0, len(written) - 50)]  # stale
        elif kind == 13:
            q = written[-1]  # the same twice
        elif kind == 14:
            velocities = velocities + jitter[i]
        check_s = now_s
        if kind == 15 and d[3] < 0.2:
            check_s = (np.nan, np.inf, now_s - 1.0, -np.inf)[i % 4]
        verdict = gate.check(Command(q, velocities, torques, w, k), check_s, state, mode, age_s)
        passed += verdict.reason is None
        judge.judge(verdict.command, World(now_s, mode, age_s, state))  # whatever time the gate was told
        written.append(verdict.command.positions)
        if verdict.refused:
            v = verdict.command.velocities
    return judge, passed, np.array(written)


def run_battery(commands: int, ticks: int, share_with_model: float) -> tuple[int, int]:
    """(commands judged, of those as asked). Prints the tally; no illegal command is tolerated."""
    judged = passed = seed = 0
    illegal: list[str] = []
    while judged < commands:
        model = CLEARANCE if seed % 1000 < 1000 * share_with_model else None
        judge, as_asked, written = session(seed, ticks, model)
        judged, passed, seed = judged + judge.judged, passed + as_asked, seed + 1
        illegal += [f"session {seed - 1}: {text}" for text in judge.illegal]
        if model is not None:
            room = model.room(written)
            if np.any(room.min(axis=0) < np.minimum(room[0], 0.0) + CLEAR_M):
                illegal.append(f"session {seed - 1}: too close")
    print(f"\n{judged} commands generated, {passed} written as asked, {len(illegal)} illegal ones written")
    assert not illegal, illegal[:10]
    return judged, passed


def test_no_illegal_command_is_written() -> None:
    judged, passed = run_battery(12_000, 300, 0.2)
    assert passed > judged / 20  # a gate that lets nothing through would be easy


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_illegal_command_out_of_a_million_is_written() -> None:
    judged, passed = run_battery(1_000_000, 500, 0.1)
    assert judged >= 1_000_000
    assert passed > judged / 20


# ---- chunks, through the whole road ----


def odd_chunk(rng: np.random.Generator, now_s: float, names: tuple[str, ...]) -> tuple[ActionChunk, ChunkFault | None]:
    """A chunk and why it has to be refused; None where that depends on what went before."""
    some = tuple(rng.permutation(names)[: rng.integers(1, len(names) + 1)].tolist())
    steps = rng.uniform(-0.1, 0.1, (8, len(some)))
    stamp_s = now_s - rng.uniform(0.0, 0.2)
    kind = rng.integers(0, 12)
    if kind == 0:
        return ActionChunk(stamp_s, 0.1, (*some[:-1], "left_hip_pitch_joint"), steps), ChunkFault.NAMES
    if kind == 1:
        return ActionChunk(stamp_s, 0.1, (*some, some[0]), np.c_[steps, steps[:, :1]]), ChunkFault.NAMES
    if kind == 2:
        return ActionChunk(stamp_s, 0.1, (), np.zeros((8, 0))), ChunkFault.NAMES
    if kind == 3:
        return ActionChunk(stamp_s, 0.1, some, steps[:, :-1]), ChunkFault.SHAPE
    if kind == 4:
        steps[rng.integers(0, 8), 0] = rng.choice([np.nan, np.inf, -np.inf])
        return ActionChunk(stamp_s, 0.1, some, steps), ChunkFault.NOT_FINITE
    if kind == 5:
        return ActionChunk(stamp_s, float(rng.choice([0.0, -0.1, np.nan, 10.0])), some, steps), ChunkFault.DT
    if kind == 6:
        return ActionChunk(now_s + rng.uniform(0.1, 5.0), 0.1, some, steps), ChunkFault.FUTURE
    if kind == 7:
        return ActionChunk(now_s - rng.uniform(1.0, 9.0), 0.1, some, steps), ChunkFault.PAST
    if kind == 8:
        return ActionChunk(stamp_s, 0.1, some, steps * 100.0), ChunkFault.BOUND
    return ActionChunk(stamp_s, 0.1, some, steps), None


def chunk_session(seed: int, ticks: int) -> Judge:
    rng = np.random.default_rng(seed)
    shared = seed % 2 == 0
    group, dt = GROUPS["arms and hands" if shared else "head"]
    clearance = CLEARANCE if shared else None
    controller = JointController(group, dt, ControllerConfig(engage_s=0.5), shared=shared, clearance=clearance)
    q = np.array(middle(group))
    judge: Judge | None = None
    path, t, mode, last = [q], 50.0, Mode.MOVE, None
    permit_s = t
    for i in range(ticks):
        t += dt
        permit_s = t if rng.random() < 0.98 or t - permit_s > 0.3 else permit_s
        if i > 200 and rng.random() < 0.005:
            mode = list(Mode)[rng.integers(0, len(Mode))]
        elif rng.random() < 0.02:
            mode = Mode.MOVE
        if i % 15 == 0:
            chunk, fault = odd_chunk(rng, 1000.0 + t, group.names)
            before = controller.executor.reference(1000.0 + t)
            refusal = controller.offer(last if last is not None and rng.random() < 0.2 else chunk, 1000.0 + t)
            if fault is not None and controller.phase is Phase.ACTIVE and not controller.holding and refusal is None:
                assert last is not None  # only the one that was sent again may have been taken
            if refusal is not None:
                after = controller.executor.reference(1000.0 + t)
                np.testing.assert_array_equal(np.array(before), np.array(after))
            last = chunk
        state = JointState(t - (0.2 if rng.random() < 0.01 else 0.0), q, np.zeros(len(q)))
        permit = Permit(permit_s, i, "STATE", "battery", mode, mode, sent_s=permit_s)
        command = controller.tick(1000.0 + t, t, state, permit)
        if command is None:
            judge = None if judge is None or not judge.illegal else judge
            continue
        if judge is None:
            judge = Judge(group, dt, q, 0.0 if shared else 1.0)
        judge.judge(command, World(t, mode, t - permit_s, state))
        q = command.positions
        path.append(q)
    if clearance is not None:
        room = clearance.room(np.array(path))
        assert np.all(room >= CLEAR_M)
    assert judge is None or not judge.illegal, judge.illegal[:5]
    return judge or Judge(group, dt, q, 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_no_chunk_leads_to_an_illegal_command(seed) -> None:
    chunk_session(seed, 700)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_no_chunk_out_of_many_leads_to_an_illegal_command(first) -> None:
    for seed in range(first, first + 20):
        chunk_session(seed, 1500)


@pytest.mark.parametrize("seed", range(40))
def test_a_chunk_that_makes_no_sense_is_refused_for_what_is_wrong(seed) -> None:
    rng = np.random.default_rng(seed)
    group, dt = GROUPS["head"]
    for _ in range(12):
        controller = JointController(group, dt, ControllerConfig(), shared=False)
        t = 50.0
        for i in range(150):
            t += dt
            state, permit = (
                JointState(t, np.zeros(2), np.zeros(2)),
                Permit(t, i, "", "", Mode.MOVE, Mode.MOVE, sent_s=t),
            )
            controller.tick(1000.0 + t, t, state, permit)
        chunk, fault = odd_chunk(rng, 1000.0 + t, group.names)
        refusal = controller.offer(chunk, 1000.0 + t)
        assert (None if refusal is None else refusal.fault) is fault
