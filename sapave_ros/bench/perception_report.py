"""What `sapave bench perception` says: its figures by split, kind of instruction and visibility, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.perception_play import Perturbed, Result, Row, Settings, Swapped, Unplayable, Untold
from sapave_ros.bench.perception_score import (
    PAPER,
    by,
    difference,
    difference_over_splits,
    figures,
    over_splits,
    perturbed,
    swapped,
    untold,
)
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION
from sapave_ros.learning.pairs.labels import Visibility
from sapave_ros.policy.tokenizer import Tokenizer

_SHOWN_WORDS = 8


def summary(results: Sequence[Result], splits: Sequence[str], settings: Settings, cases: int) -> dict[str, Any]:
    """Success and times by split, policy, kind of instruction and visibility; and the paper's figures."""
    criterion = LookCriterion()
    visibilities = [v.value for v in Visibility]
    report: dict[str, Any] = {
        "cases": cases,
        "criterion": vars(criterion),
        "models": {name: str(path) for name, path in settings.models.items()},
        "chunking": settings.chunking,
        "inference_delay_s": settings.timing.inference_delay_s,
        "paper": PAPER,
        "splits": {},
    }
    for split in splits:
        of_split = [r for r in results if r.case.split == split]
        one = [r for r in of_split if r.policy == settings.policies[0]]
        played = {
            "kinds": dict(Counter(r.case.kind for r in one)),
            "visibilities": dict(Counter(r.case.visibility for r in one)),
        }
        policies = {}
        for policy in settings.policies:
            own = [r for r in of_split if r.policy == policy]
            policies[policy] = {
                **figures(own),
                "by_kind": by(own, lambda r: r.case.kind, KINDS_OF_INSTRUCTION),
                "by_visibility": by(own, lambda r: r.case.visibility, visibilities),
            }
        report["splits"][split] = {"played": played, "policies": policies}
    report["mean"] = {p: over_splits([r for r in results if r.policy == p], splits) for p in settings.policies}
    first = next(iter(settings.models), None)
    report["against"] = {
        model: {split: difference([r for r in results if r.case.split == split], model, first) for split in splits}
        | {"mean": difference_over_splits(results, splits, model, first)}
        for model in (*settings.models, *settings.told)
        if first is not None and model != first
    }
    return report


def unknown(results: Sequence[Result], tokenizers: dict[str, Tokenizer], splits: Sequence[str]) -> dict[str, Any]:
    """For each model and split: how many of its requests have words that it has never seen, and which."""
    found: dict[str, Any] = {}
    for name, tokenizer in tokenizers.items():
        for split in splits:
            texts = [r.case.text for r in results if r.policy == name and r.case.split == split]
            words = [tokenizer.unknown_words(t) for t in texts]
            found.setdefault(name, {})[split] = {
                "requests": sum(bool(w) for w in words),
                "of": len(texts),
                "words": sorted({w for own in words for w in own}),
            }
    return found


def exchanged(rows: Sequence[Row], splits: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Requests exchanged, and none: by split and policy."""
    pairs = [r for r in rows if isinstance(r, Swapped)]
    silent = [r for r in rows if isinstance(r, Untold)]
    return (
        {
            s: {p: swapped([r for r in pairs if r.pair.first.split == s and r.policy == p]) for p in _policies(pairs)}
            for s in splits
        },
        {
            s: {p: untold([r for r in silent if r.case.split == s and r.policy == p]) for p in _policies(silent)}
            for s in splits
        },
    )


def changed(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Changed cameras, by policy."""
    own = [r for r in rows if isinstance(r, Perturbed)]
    return {p: perturbed([r for r in own if r.policy == p]) for p in _policies(own)}


def unplayable(rows: Sequence[Row], tasks: int) -> dict[str, Any]:
    """Of that many tasks those whose cases could not be made, with why; no other figure counts them."""
    return {"of": tasks, "cases": [{**vars(r.task), "why": r.why} for r in rows if isinstance(r, Unplayable)]}


def _policies(rows: Sequence[Swapped] | Sequence[Untold] | Sequence[Perturbed]) -> list[str]:
    return list(dict.fromkeys(r.policy for r in rows))


def episode(r: Result) -> dict[str, Any]:
    case = r.case.to_dict()
    return {
        "policy": r.policy,
        "case": case,
        "success": r.success,
        "first_s": r.first_s,
        "reached_s": r.reached_s,
        "angle_deg": round(r.angle_deg, 2),
    }


# -- in words ------------------------------------------------------------------------------------


def print_scores(report: dict[str, Any], splits: Sequence[str]) -> None:
    names = [*report["mean"], *PAPER]
    width = max(len(n) for n in names) + 7
    print(f"{'success':{width}} " + " ".join(f"{s:>24}" for s in splits) + f" {'mean':>24} {'median time':>12}")
    for policy, mean in report["mean"].items():
        cells = [report["splits"][s]["policies"][policy] for s in splits]
        times = [c["median_time_s"] for c in cells if c["median_time_s"] is not None]
        time = f"{sum(times) / len(times):.2f} s" if times else "–"
        print(f"{policy:{width}} " + " ".join(f"{_percent(c):>24}" for c in (*cells, mean)) + f" {time:>12}")
    for name, values in PAPER.items():
        own = [values[s] for s in splits]
        shares = " ".join(f"{f'{100 * v:.1f} %':>24}" for v in (*own, sum(own) / len(own)))
        print(f"{name + ' (paper)':{width}} {shares}")
    for key, title in (("by_kind", "by kind of instruction"), ("by_visibility", "by what shows at the start")):
        for policy in report["models"] or list(report["mean"])[:1]:
            groups = list(dict.fromkeys(g for s in splits for g in report["splits"][s]["policies"][policy][key]))
            print(f"\n{policy}, {title}")
            for group in groups:
                cells = [report["splits"][s]["policies"][policy][key].get(group) for s in splits]
                print(f"  {group:{width - 2}} " + " ".join(f"{_percent(c):>24}" for c in cells))
    if report["against"]:
        print(f"\nless {next(iter(report['models']))}, in the same cases [points]")
    for policy, of in report["against"].items():
        print(f"  {policy:{width - 2}} " + " ".join(f"{_points(d):>24}" for d in of.values()))


def _points(d: dict[str, Any]) -> str:
    if d["difference"] is None:
        return "–"
    low, high = d["difference_95"]
    return f"{100 * d['difference']:+.1f} ({100 * low:+.1f} .. {100 * high:+.1f})"


def _percent(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["success"] is None:
        return "–"
    low, high = cell["success_95"]
    return f"{100 * cell['success']:.1f} % ({100 * low:.1f} .. {100 * high:.1f})"


def print_unknown(found: dict[str, Any]) -> None:
    for name, of in found.items():
        for split, u in of.items():
            if u["requests"]:
                words = some(u["words"])
                print(f"{name}, {split}: {u['requests']} of {u['of']} requests have words it never saw ({words})")


def print_swap(report: dict[str, Any]) -> None:
    for split, policies in report["swap"].items():
        for policy, s in policies.items():
            print(
                f"swap, {split}, {policy}: at what was asked for both times {_percent(s['both'])}, "
                f"once at least {_percent(s['one'])}, nearer to it both times {_percent(s['nearer'])}"
            )
    for split, policies in report["empty"].items():
        for policy, e in policies.items():
            print(
                f"no instruction, {split}, {policy}: stays {_percent(e['stayed'])}, "
                f"farthest {_far(e['farthest_deg'])} in the median"
            )


def _far(farthest: dict[str, float] | None) -> str:
    return "–" if farthest is None else f"{farthest['p50']:.1f}°"


def print_perturb(of: dict[str, list[dict[str, Any]]]) -> None:
    """Success with each camera, by what the model is told of it."""
    for policy, cells in of.items():
        told = list(dict.fromkeys(c["knowledge"] for c in cells))
        print(f"\n{policy + ', geometry':24} " + " ".join(f"{t:>24}" for t in told))
        for change, level in dict.fromkeys((c["change"], c["level"]) for c in cells):
            own = {c["knowledge"]: c for c in cells if (c["change"], c["level"]) == (change, level)}
            title = "as drawn" if change == "nothing" else f"{change} {level:g}"
            print(f"  {title:22} " + " ".join(f"{_percent(own.get(t)):>24}" for t in told))


def print_unplayable(found: dict[str, Any]) -> None:
    """How many cases could not be made, and why each; nothing where all could."""
    if found["cases"]:
        print(f"\n{len(found['cases'])} of {found['of']} cases could not be made:")
    for case in found["cases"]:
        print(f"  {case['what']} {case['why']}")


def some(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN_WORDS]) + (", ..." if len(words) > _SHOWN_WORDS else "")
