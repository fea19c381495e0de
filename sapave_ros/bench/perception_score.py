"""Figures of semantic active perception: shares with their intervals, by split, kind of instruction and visibility."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.bench.perception_play import Perturbed, Result, Swapped, Untold
from sapave_ros.types import Floats

PAPER: dict[str, dict[str, float]] = {
    "SaPaVe": {"val": 0.855, "test1": 0.891, "test2": 0.783},
    "Gemini-2.5-Pro": {"val": 0.733, "test1": 0.765, "test2": 0.682},
    "Qwen2.5-VL-72B": {"val": 0.639, "test1": 0.651, "test2": 0.580},
}
"""Success of the paper's model and of two others on its own data of the same names (arXiv 2603.12193): not the same
cases as ours, but the same question."""

_RESAMPLES = 2000


def bootstrap(values: ArrayLike, resamples: int = _RESAMPLES) -> tuple[float, float]:
    """95 % interval of the mean of (n,) outcomes, by resampling them; always the same for the same outcomes.

    Where all are 0 or all are 1, resampling says nothing, and the interval is Wilson's. Raises ValueError on none.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.size == 0:
        raise ValueError("values: none, expected at least one outcome")
    if v[0] in (0.0, 1.0) and (v == v[0]).all():
        return wilson(float(v[0]), v.size)
    random = np.random.default_rng([v.size, 0xB007])
    means = v[random.integers(v.size, size=(resamples, v.size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def share(values: Iterable[bool]) -> dict[str, Any]:
    """How many, which share of them, and its interval; None where there are none."""
    v = np.array(list(values), dtype=np.float64)
    if v.size == 0:
        return {"episodes": 0, "success": None, "success_95": None}
    return {"episodes": int(v.size), "success": float(v.mean()), "success_95": bootstrap(v)}


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """Success and times of some results; a failure counts as the whole time limit in the mean."""
    limit_s = LookCriterion().time_limit_s
    reached = [r.reached_s for r in results if r.success and r.reached_s is not None]
    times = reached + [limit_s] * (len(results) - len(reached))
    return {
        **share(r.success for r in results),
        "median_time_s": float(np.median(reached)) if reached else None,
        "mean_time_s": float(np.mean(times)) if times else None,
        "refused_chunks": sum(r.refused for r in results),
    }


def by(results: Sequence[Result], key: Callable[[Result], str], order: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`figures` of each group of results, in the given order; groups without results are left out."""
    groups = {name: [r for r in results if key(r) == name] for name in order}
    return {name: figures(own) for name, own in groups.items() if own}


def over_splits(results: Sequence[Result], splits: Sequence[str]) -> dict[str, Any]:
    """Mean of the splits' success, each counting as much, with its interval."""
    outcomes = [np.array([r.success for r in results if r.case.split == s], dtype=np.float64) for s in splits]
    outcomes = [o for o in outcomes if o.size]
    if not outcomes:
        return share([])
    n, mean = sum(o.size for o in outcomes), float(np.mean([o.mean() for o in outcomes]))
    low, high = _of_means(outcomes)
    return {"episodes": n, "success": mean, "success_95": (low, high) if low < high else wilson(mean, n)}


def difference(results: Sequence[Result], policy: str, to: str) -> dict[str, Any]:
    """Success of a policy less that of another in the same cases, with the interval of the difference; None where
    there are none."""
    gains = _gains(results, policy, to)
    if gains.size == 0:
        return {"difference": None, "difference_95": None}
    interval = _of_equal([gains]) if (gains == gains[0]).all() else bootstrap(gains)
    return {"difference": float(gains.mean()), "difference_95": interval}


def difference_over_splits(results: Sequence[Result], splits: Sequence[str], policy: str, to: str) -> dict[str, Any]:
    """Mean of the splits' `difference`, each counting as much, with its interval."""
    of_splits = [_gains([r for r in results if r.case.split == s], policy, to) for s in splits]
    gains = [g for g in of_splits if g.size]
    if not gains:
        return {"difference": None, "difference_95": None}
    interval = _of_equal(gains) if all((g == g[0]).all() for g in gains) else _of_means(gains)
    return {"difference": float(np.mean([g.mean() for g in gains])), "difference_95": interval}


def _gains(results: Sequence[Result], policy: str, to: str) -> Floats:
    """Of each case that both have played, by how much the one was better: -1, 0 or 1."""
    outcome = {(r.case.split, r.case.number): r.success for r in results if r.policy == to}
    pairs = [(r.success, outcome[r.case.split, r.case.number]) for r in results if r.policy == policy]
    return np.array([float(a) - float(b) for a, b in pairs])


def _of_equal(gains: Sequence[Floats]) -> tuple[float, float]:
    """Where all cases of a split end alike resampling says nothing: so many may be otherwise as when n are not."""
    mean = float(np.mean([g[0] for g in gains]))
    _, other_share = wilson(0.0, sum(g.size for g in gains))
    return max(-1.0, mean - other_share), min(1.0, mean + other_share)


def _of_means(outcomes: Sequence[Floats]) -> tuple[float, float]:
    """95 % interval of the mean of means, by resampling each; always the same for the same outcomes."""
    random = np.random.default_rng([sum(o.size for o in outcomes), 0xB008])
    means = [o[random.integers(o.size, size=(_RESAMPLES, o.size))].mean(axis=1) for o in outcomes]
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(low), float(high)


# -- from what was seen --------------------------------------------------------------------------


def wilson(p: float, n: int) -> tuple[float, float]:
    """95 % interval of a share p of n (Wilson 1927)."""
    z = 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def judged(views: NDArray[np.floating], criterion: LookCriterion) -> LookScore:
    """The score of an episode by any criterion, from its views (m, 3): time [s], angle [rad], how much shows.

    Exact where the episode went on until that criterion was decided and what shows was asked within its angle.
    """
    score = LookScore(criterion)
    for time_s, angle_rad, visible in views.tolist():
        if score.update(time_s, angle_rad, 0.0 if np.isnan(visible) else visible):
            break
    return score


def sensitivity(results: Sequence[Result], criteria: Sequence[LookCriterion]) -> Floats:
    """Success by each criterion, (len(criteria),)."""
    return np.array([np.mean([judged(r.views, c).success for r in results]) for c in criteria])


# -- what is used --------------------------------------------------------------------------------


def swapped(rows: Sequence[Swapped]) -> dict[str, Any]:
    """both: ended both times at what was asked for, by the criterion. one: at least once. nearer: both times nearer to
    it than to the other; who does not listen ends at the same place twice, which is 0 of both and of nearer.
    """
    return {
        "both": share(all(r.success) for r in rows),
        "one": share(any(r.success) for r in rows),
        "nearer": share(all(r.nearer) for r in rows),
    }


def untold(rows: Sequence[Untold]) -> dict[str, Any]:
    """stayed: share of starts. farthest_deg: of the head from its start, in the median and at the 95th percentile."""
    far = [r.farthest_deg for r in rows]
    return {
        "stayed": share(r.stayed for r in rows),
        "farthest_deg": {"p50": float(np.median(far)), "p95": float(np.percentile(far, 95))} if far else None,
    }


def perturbed(rows: Sequence[Perturbed]) -> list[dict[str, Any]]:
    """One entry for each change, level and knowledge, in the order of the rows."""
    keys = list(dict.fromkeys((r.change, r.level, r.knowledge) for r in rows))
    return [
        {"change": c, "level": x, "knowledge": k}
        | share(r.success for r in rows if (r.change, r.level, r.knowledge) == (c, x, k))
        for c, x, k in keys
    ]
