"""What `sapave top` shows, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sapave_ros import graph
from sapave_ros.monitor import latency
from sapave_ros.monitor.banner import elapsed, permit_now
from sapave_ros.top.flows import Flow
from sapave_ros.top.processes import Load

STAGES = (
    ("exposure → increments", "sapave/inference", "exposure_to_increments_ms"),
    ("  of it the model", "sapave/inference", "model_ms"),
    ("exposure → servo command", "sapave/head", "exposure_to_write_median_ms"),
    ("arm frames, period", "sapave/arm", "frame_period_median_ms"),
    ("arm frames, period p99", "sapave/arm", "frame_period_p99_ms"),
)
"""Where the time goes: what it is called, the node that reports it on /diagnostics, and its name there."""

BUDGET = "sapave/latency"
"""Who reports the latency budget: the monitor, where it runs."""

_ENDS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
_REPORTING = graph.stream(graph.HEALTH).publishers
_STATES = {"ACTIVE": "green", "TELEOP": "green", "ESTOP": "red"}


@dataclass(frozen=True)
class Picture:
    """All that is shown at one time. reported: by node, what it said last on /diagnostics. wrong: by node, what it
    finds wrong, empty for nothing.
    """

    domain: int
    state: str
    reason: str
    flows: Sequence[Flow]
    wrong: Mapping[str, str]
    reported: Mapping[str, Mapping[str, str]]
    loads: Mapping[str, Load]

    @property
    def permit(self) -> tuple[str, str]:
        """State and reason, as long as permits come: who gives none any more permits nothing."""
        permit = next((f for f in self.flows if f.topic == graph.PERMIT), None)
        return permit_now(self.state, self.reason, math.inf if permit is None else permit.age_s)

    @property
    def there(self) -> bool:
        """Whether anything of the graph has been heard."""
        return bool(self.reported or self.wrong) or any(math.isfinite(f.age_s) for f in self.flows)


def silent(wrong: Mapping[str, str], reported: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """Processes that nothing was heard of, in /sapave/health or, of those who do not speak there, in /diagnostics."""
    heard = {*wrong, *(p.name for p in graph.PROCESSES if p.name not in _REPORTING and f"sapave/{p.name}" in reported)}
    return frozenset(p.name for p in graph.PROCESSES if p.ros) - heard


def lines(picture: Picture, colour: bool) -> list[str]:
    """The screen from top to bottom."""

    def paint(text: str, how: str) -> str:
        return f"\x1b[{_ENDS[how]}m{text}\x1b[0m" if colour and how else text

    if not picture.there:
        return [f"nothing of the graph in ROS_DOMAIN_ID {picture.domain}: is it up, and in this domain?"]
    state, reason = picture.permit
    out = [f"{paint(state, _STATES.get(state, 'yellow'))}  {reason}", ""]
    width = max(len(f.topic) for f in picture.flows)
    out.append(paint(f"{'stream':{width}}  {'rate':>9}  {'of':>5}  {'age':>9}", "bold"))
    for f in picture.flows:
        rate, age = (f"{f.rate_hz:.1f} Hz", elapsed(f.age_s)) if math.isfinite(f.age_s) else ("–", "–")
        line = f"{f.topic:{width}}  {rate:>9}  {f.nominal_hz:>5g}  {age:>9}"
        out.append(f"{line}  {paint(f.wrong, 'yellow')}" if f.wrong else line)
    out += ["", paint(f"{'process':10}  {'CPU':>6}  {'memory':>8}  health", "bold")]
    unheard = silent(picture.wrong, picture.reported)
    for p in graph.PROCESSES:
        load = picture.loads.get(p.name)
        cpu, memory = (f"{load.cpu:.0%}", f"{load.memory_mb:.0f} MB") if load else ("–", "–")
        if p.sim_only and load is None:
            continue
        if not p.ros:
            health = ""
        elif p.name in picture.wrong:
            health = paint(picture.wrong[p.name], "red") or "all is well"
        else:
            health = paint("not heard", "yellow") if p.name in unheard else ""
        out.append(f"{p.name:10}  {cpu:>6}  {memory:>8}  {health}".rstrip())
    out += ["", paint(f"{'latency':26}  {'median':>9}", "bold")]
    for name, node, key in STAGES:
        value = picture.reported.get(node, {}).get(key)
        out.append(f"{name:26}  {f'{float(value):.1f} ms' if value else '–':>9}")
    return out + _budgets(picture.reported.get(BUDGET))


def _budgets(reported: Mapping[str, str] | None) -> list[str]:
    """From picture to motion, stage by stage, of each group; only the monitor sees all of the road."""
    if reported is None:
        return ["each stage from exposure to motion: run `sapave monitor` beside"]
    out = []
    for key, whole in reported.items():
        if not key.endswith("_whole_ms"):
            continue
        group = key.removesuffix("_whole_ms")
        parts = [(stage, reported.get(f"{group}_{stage}_ms")) for stage in latency.STAGES]
        sum_of = " + ".join(f"{stage} {float(ms):.0f}" for stage, ms in parts if ms is not None)
        out.append(f"{group:26}  {float(whole):>6.1f} ms = {sum_of}")
    return out or ["each stage from exposure to motion: no chunk is followed"]


def figures(picture: Picture) -> dict[str, object]:
    """The same for programs."""
    return {
        "ros_domain": picture.domain,
        "state": picture.permit[0],
        "reason": picture.permit[1],
        "streams": {
            f.topic: {
                "rate_hz": f.rate_hz,
                "nominal_hz": f.nominal_hz,
                "age_s": f.age_s if math.isfinite(f.age_s) else None,
                "wrong": f.wrong,
            }
            for f in picture.flows
        },
        "processes": {
            name: {"cpu": x.cpu, "memory_mb": x.memory_mb, "pid": x.pid} for name, x in picture.loads.items()
        },
        "wrong": dict(picture.wrong),
        "reported": {node: dict(values) for node, values in picture.reported.items()},
    }
