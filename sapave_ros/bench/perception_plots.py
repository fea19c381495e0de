"""Pictures of semantic active perception: what is asked how, how strict the measure is, and other cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.perception_play import ANGLES_RAD, FRACTIONS, LEVELS, Perturbed, Result, Row, Settings
from sapave_ros.bench.perception_score import perturbed, sensitivity, share
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION

_COLOURS = {"val": "#4477aa", "test1": "#ee8866", "test2": "#228833"}
_STYLES = ("-", "--", ":", "-.")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(
    folder: Path, rows: Sequence[Row], splits: Sequence[str], settings: Settings, policies: Sequence[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """All plots that the rows are enough for. Returns file names with what they show, and what `thresholds` returns."""
    results = [r for r in rows if isinstance(r, Result)]
    changed = [r for r in rows if isinstance(r, Perturbed)]
    drawn = {}
    for policy in policies:
        kinds(folder / f"kinds_{policy}.png", results, splits, policy)
        drawn[f"kinds_{policy}.png"] = f"{policy}: success by kind of instruction, with intervals"
    lines = [*policies, *(p for p in ("oracle", "sweep") if p in settings.baselines and p not in policies)]
    figures = thresholds(folder / "thresholds.png", results, splits, lines)
    drawn["thresholds.png"] = "success over the angle and over how much must show"
    for policy in (p for p in settings.models if any(r.policy == p for r in changed)):
        cameras(folder / f"cameras_{policy}.png", changed, policy)
        drawn[f"cameras_{policy}.png"] = f"{policy}: success with cameras mounted otherwise, with geometry and without"
    return drawn, figures


def kinds(path: Path, results: Sequence[Result], splits: Sequence[str], policy: str) -> None:
    """Success of one policy by kind of instruction, all splits, with intervals."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
    width = 0.8 / len(splits)
    x = np.arange(len(KINDS_OF_INSTRUCTION))
    for i, split in enumerate(splits):
        own = [r for r in results if r.policy == policy and r.case.split == split]
        cells = [share(r.success for r in own if r.case.kind == kind) for kind in KINDS_OF_INSTRUCTION]
        height = np.array([np.nan if c["success"] is None else c["success"] for c in cells])
        ends = np.array([c["success_95"] or (np.nan, np.nan) for c in cells])
        error = np.abs(ends.T - height)
        place = x + (i - (len(splits) - 1) / 2) * width
        axis.bar(place, height, width * 0.92, color=_COLOURS[split], label=f"{split} ({len(own)})")
        axis.errorbar(place, height, error, fmt="none", ecolor="0.25", elinewidth=1.0, capsize=2)
    axis.set_xticks(x, KINDS_OF_INSTRUCTION)
    axis.set_ylim(0, 1)
    axis.set_ylabel("success, with 95 % interval")
    axis.set_title(f"{policy}: success by kind of instruction")
    axis.grid(axis="y", color="0.9")
    axis.set_axisbelow(True)
    figure.legend(frameon=False, ncols=len(splits), loc="outside lower center")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def thresholds(path: Path, results: Sequence[Result], splits: Sequence[str], policies: Sequence[str]) -> dict[str, Any]:
    """Success over the angle and over how much must show, the other as in `LookCriterion`; returns what is drawn.

    From what was seen in episodes that went on until the strictest was decided.
    """
    plt = _pyplot()
    nominal = LookCriterion()
    rows: dict[str, Any] = {"angle_deg": np.rad2deg(ANGLES_RAD).round(1).tolist(), "fraction": list(FRACTIONS)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    for split in splits:
        for policy, style in zip(policies, cycle(_STYLES)):
            own = [r for r in results if r.policy == policy and r.case.split == split]
            if not own:
                continue
            angle = sensitivity(own, [replace(nominal, max_angle_rad=a) for a in ANGLES_RAD])
            fraction = sensitivity(own, [replace(nominal, min_visible_fraction=f) for f in FRACTIONS])
            rows.setdefault(split, {})[policy] = {"by_angle": angle.tolist(), "by_fraction": fraction.tolist()}
            for axis, x, y in ((left, rows["angle_deg"], angle), (right, FRACTIONS, fraction)):
                axis.plot(x, y, style, color=_COLOURS[split], marker="o", markersize=3, label=f"{policy}, {split}")
    left.axvline(np.rad2deg(nominal.max_angle_rad), color="0.7", zorder=0)
    right.axvline(nominal.min_visible_fraction, color="0.7", zorder=0)
    left.set_xlabel("centre within this angle of the optical axis [deg]")
    right.set_xlabel("at least so much of it visible")
    left.set_ylabel("success (grey: the measure used)")
    left.set_ylim(0, 1.02)
    for axis in (left, right):
        axis.grid(color="0.93")
    figure.legend(
        *left.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=len(splits)
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return rows


def cameras(path: Path, rows: Sequence[Perturbed], policy: str) -> None:
    """Success of one policy over each change of the camera, with geometry and without."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(LEVELS), figsize=(12, 3.8), sharey=True, layout="constrained")
    cells = perturbed([r for r in rows if r.policy == policy])
    for axis, change in zip(axes, LEVELS, strict=True):
        drawn = 1.0 if change == "focal length" else 0.0
        for knowledge, colour in (("full", "#4477aa"), ("none", "#ee8866")):
            points = sorted(
                (c["level"] if c["change"] == change else drawn, c["success"], *c["success_95"])
                for c in cells
                if c["change"] in (change, "nothing") and c["knowledge"] == knowledge
            )
            x, y, low, high = np.array(points).T
            axis.plot(x, y, color=colour, marker="o", markersize=4, label=f"geometry: {knowledge}")
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.axvline(drawn, color="0.7", zorder=0)
        axis.set_xlabel(change)
        axis.set_ylim(0, 1.02)
        axis.grid(color="0.93")
    axes[0].set_ylabel("success (shaded: 95 %)")
    axes[0].legend(frameon=False, loc="lower left")
    figure.suptitle(f"{policy}: with cameras that are mounted otherwise, or have another lens")
    figure.savefig(path, dpi=110)
    plt.close(figure)
