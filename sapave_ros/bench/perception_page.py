"""The results of semantic active perception as a folder that a browser opens: figures, plots and pictures.

The page says nothing that is not in the report and in the models' manifests, and the same report gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

import cv2
import numpy as np

from sapave_ros import __version__
from sapave_ros.bench.markup import Fact, Node, Row, el, listed, page, row, table
from sapave_ros.bench.perception_cases import NOT_YET_RAD
from sapave_ros.bench.perception_pictures import RULE, Shot
from sapave_ros.bench.perception_play import QUIET, Result
from sapave_ros.learning.pairs.labels import Visibility
from sapave_ros.learning.pairs.splits import SPLITS
from sapave_ros.policy import manifest as contract

INDEX, PICTURES = "index.html", "pictures"
"""What is written into the folder, besides plots."""

_JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 85),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),  # else thin lines lose their colour
)

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1100px; margin: 2em auto;
  padding: 0 1em; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; padding-bottom: .2em; }
p, dd, li { max-width: 75ch; } .wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1em 0; }
caption { text-align: left; font-weight: 600; padding: .3em 0; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } th:first-child { text-align: left; } tbody th { font-weight: 400; }
td[style] { border-left: 4px solid #fff;
  background: linear-gradient(to right, #d9e8f5 var(--share), transparent var(--share)); }
.main th, .main td { font-weight: 600; }
.paper th, .paper td { color: #666; } .paper th[colspan] { font-style: italic; padding-top: .8em; }
small { color: #666; font-weight: 400; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.2em; } dt { color: #666; } dd { margin: 0; }
code { font-size: .92em; overflow-wrap: anywhere; }
figure { margin: 0; } img { max-width: 100%; display: block; } .plot { margin: 1.5em 0; }
.shots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); gap: 1.4em 1em; }
.shots .two { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; } .shots img { width: 100%; }
.shots figcaption { font-size: 13px; line-height: 1.4; padding: .3em .5em; border-left: 4px solid; }
.reached figcaption { border-color: #2a8a3a; } .missed figcaption { border-color: #c0392b; }
q { font-weight: 600; }
"""


def write(
    folder: Path, report: Mapping[str, Any], command: str, shots: Sequence[Shot], plots: Mapping[str, str]
) -> Path:
    """Writes the page and its pictures, and returns its path; the folder is there, with the plots in it.

    report: as `--json` has it. command: that it was made with. plots: file name to what it shows.
    Raises ManifestError where a model of the report is none, OSError where nothing can be written.
    """
    (folder / PICTURES).mkdir(exist_ok=True)
    for shot in shots:
        for end, picture in (("start", shot.start), ("end", shot.end)):
            _, data = cv2.imencode(".jpg", picture, _JPEG)
            (folder / picture_name(shot, end)).write_bytes(data.tobytes())
    index = folder / INDEX
    index.write_text(html(report, command, shots, plots), encoding="utf-8")
    return index


def picture_name(shot: Shot, end: str) -> str:
    """In the folder. end: "start" or "end"."""
    case = shot.result.case
    return f"{PICTURES}/{case.split}_{case.number:04d}_{end}.jpg"


def html(report: Mapping[str, Any], command: str, shots: Sequence[Shot], plots: Mapping[str, str]) -> str:
    """The whole page, see `write`."""
    return page(
        "Semantic active perception, closed loop",
        _STYLE,
        *made(report, command),
        *missing(report),
        *scores(report),
        *groups(report),
        *exchanges(report),
        *cameras(report),
        *drawn(plots),
        *shown(shots),
    )


# -- parts ---------------------------------------------------------------------------------------


def made(report: Mapping[str, Any], command: str) -> list[Element]:
    """What was measured, how, and of what."""
    c, splits = report["criterion"], report["splits"]
    facts: list[Fact] = [
        ("command", el("code", command)),
        ("sapave_ros", __version__),
        ("cases", played(report)),
    ]
    facts += [(name, f"{SPLITS[name].meaning}") for name in splits]
    facts += [
        (
            "success",
            f"the target's centre is within {np.rad2deg(c['max_angle_rad']):.0f}° of the optical axis and at least "
            f"{c['min_visible_fraction']:.0%} of it shows, within {c['time_limit_s']:g} s, and still so "
            f"{c['hold_s']:g} s later",
        ),
        ("start", f"everything that fits is at least {np.rad2deg(NOT_YET_RAD):.0f}° off the optical axis"),
        ("chunks", f"{report['chunking']}, {1000 * report['inference_delay_s']:.0f} ms after the exposure"),
        ("intervals", "95 %, by resampling the cases (Wilson's where all cases ended alike)"),
    ]
    parts = [
        el(
            "p",
            "Each case is a room that no training has seen and a request in words. The head starts turned away from "
            "what is asked for; the policy sees what the head camera sees and moves the neck. The core that runs on "
            "the robot is stepped in lockstep with the simulation.",
        ),
        el("h2", "How it was made"),
        listed(facts),
    ]
    for name, path in report["models"].items():
        own, notes = trained(Path(path))
        parts += [el("h3", name), listed(own), el("details", el("summary", "notes of its training"), listed(notes))]
    for name, of in report["unknown_words"].items():
        unseen = {split: u for split, u in of.items() if u["requests"]}
        if unseen:
            counts = ", ".join(f"{u['requests']} of {u['of']} requests in {split}" for split, u in unseen.items())
            what = el("strong", f"{name} was not trained with all words")
            parts.append(el("p", what, f": {counts} have some that it never saw."))
    return parts


def played(report: Mapping[str, Any]) -> str:
    """How many cases were scored: those of each split that could be made."""
    asked = report["cases"]
    counts = {name: sum(of["played"]["kinds"].values()) for name, of in report["splits"].items()}
    text = f"{asked:,} of each split, the same for every policy"
    fewer = [f"{count:,} in {name}" for name, count in counts.items() if count < asked]
    return f"{text}; of these could be made {', '.join(fewer)}" if fewer else text


def missing(report: Mapping[str, Any]) -> list[Element]:
    """What could not be made, where there is any, and why."""
    found = report["unplayable"]
    if not found["cases"]:
        return []
    text = f"{len(found['cases'])} of {found['of']:,} cases could not be made"
    reasons = [el("li", f"{case['what']} {case['why']}") for case in found["cases"]]
    return [
        el("p", el("strong", text), ": no policy played them, and no figure counts them."),
        el("ul", *reasons),
    ]


def trained(path: Path) -> tuple[list[Fact], list[Fact]]:
    """What the manifest of a model says of it, and of its training."""
    m = contract.read(path)
    facts: list[Fact] = [
        ("file", el("code", path.name)),
        ("name", f"{m.name}, {m.weights_bytes / 1e6:.1f} MB"),
        ("weights", el("code", f"SHA-256 {m.weights_sha256}")),
        ("words", f"{len(m.vocabulary)} known, {m.max_words} read of an instruction"),
    ]
    notes: list[Fact] = []
    for key, value in sorted(m.training.items()):
        of = sorted(value.items()) if isinstance(value, dict) else []
        notes.append((key, el("code", ", ".join(f"{k} {_short(v)}" for k, v in of) if of else _short(value))))
    return facts, notes


def scores(report: Mapping[str, Any]) -> list[Element]:
    """Success of every policy, the paper's figures beside it, and what further models lose."""
    splits, models = report["splits"], list(report["models"])
    many = len(splits) > 1
    rows: list[Row] = []
    for policy, mean in report["mean"].items():
        cells = [of["policies"][policy] for of in splits.values()]
        times = [c["median_time_s"] for c in cells if c["median_time_s"] is not None]
        time = f"{sum(times) / len(times):.2f} s" if times else "–"
        style = "main" if models[:1] == [policy] else ""
        rows.append((policy, [*map(share, (*cells, mean) if many else cells), time], style))
    columns = [*splits, *(["mean"] if many else []), "median time"]
    paper: list[Row] = []
    for name, values in report["paper"].items():
        own = [values[s] for s in splits]
        paper.append((name, [*(f"{100 * v:.1f} %" for v in ((*own, sum(own) / len(own)) if many else own)), "–"], ""))
    whole = table("", columns, rows)
    note = (
        "The paper's own figures (arXiv 2603.12193): another robot, other scenes and requests in splits of these names"
    )
    whole.append(el("tbody", el("tr", el("th", note, colspan=str(len(columns) + 1))), *map(row, paper), class_="paper"))
    parts = [el("h2", "Success"), el("div", whole, class_="wide")]
    parts.append(
        el("p", "Still, sweep and random do not look; oracle knows where the target is: what the neck itself allows.")
    )
    if report["against"]:
        less: list[Row] = [(p, [points(d) for d in of.values()], "") for p, of in report["against"].items()]
        parts.append(table(f"Less {models[0]}, in the same cases [points]", [*splits, "mean"], less))
    return parts


def groups(report: Mapping[str, Any]) -> list[Element]:
    """Success of each model, or of the first policy, by what is asked how and by what shows."""
    splits, parts = report["splits"], []
    directions = {Visibility.NONE.value: "a direction is asked for"}
    for key, title in (("by_kind", "By kind of instruction"), ("by_visibility", "By what shows at the start")):
        parts.append(el("h2", title))
        for i, policy in enumerate(report["models"] or list(report["mean"])[:1]):
            of = [s["policies"][policy][key] for s in splits.values()]
            names = list(dict.fromkeys(name for cells in of for name in cells))
            rows: list[Row] = [
                (directions.get(n, n), [share(cells.get(n), counted=True) for cells in of], "") for n in names
            ]
            whole = table(policy, list(splits), rows)
            parts.append(el("details", el("summary", policy), whole) if i else whole)
    return parts


def exchanges(report: Mapping[str, Any]) -> list[Element]:
    """Whether words are used, where that was measured."""
    parts = []
    if "swap" in report:
        rows: list[Row] = [
            (f"{policy}, {split}", [share(s[k], counted=True) for k in ("both", "one", "nearer")], "")
            for split, of in report["swap"].items()
            for policy, s in of.items()
        ]
        columns = ["at what was asked for, both times", "once at least", "nearer to it, both times"]
        parts += [
            el("h2", "Are the words used?"),
            el(
                "p",
                "Two requests from one start pose, for things far apart: who does not listen ends twice at one place.",
            ),
            el("div", table("", columns, rows), class_="wide"),
        ]
    if "empty" in report:
        degrees = float(np.rad2deg(QUIET.max_angle_rad))
        silent: list[Row] = [
            (f"{policy}, {split}", [share(e["stayed"], counted=True), *_far(e["farthest_deg"])], "")
            for split, of in report["empty"].items()
            for policy, e in of.items()
        ]
        columns = [
            f"stays within {degrees:.0f}° for {QUIET.hold_s:g} s",
            "farthest, median",
            "farthest, 95th percentile",
        ]
        parts += [el("p", "And without a word:"), el("div", table("", columns, silent), class_="wide")]
    return parts


def cameras(report: Mapping[str, Any]) -> list[Element]:
    """Success with changed cameras, by what the model is told of them, where that was measured."""
    if "perturb" not in report:
        return []
    parts = [
        el("h2", "Is geometry used?"),
        el(
            "p",
            "The camera is mounted otherwise or has another lens, and the model is told of depth, intrinsics and pose "
            "as they are, or of none of them.",
        ),
    ]
    for policy, cells in report["perturb"].items():
        told = list(dict.fromkeys(c["knowledge"] for c in cells))
        rows: list[Row] = []
        for change, level in dict.fromkeys((c["change"], c["level"]) for c in cells):
            own = {c["knowledge"]: c for c in cells if (c["change"], c["level"]) == (change, level)}
            title = "as drawn" if change == "nothing" else f"{change} {level:g}"
            rows.append((title, [share(own.get(t), counted=True) for t in told], ""))
        parts.append(table(policy, [f"geometry: {t}" for t in told], rows))
    return parts


def drawn(plots: Mapping[str, str]) -> list[Element]:
    """The plots, as they were drawn into the folder."""
    figures = [el("figure", el("img", src=quote(name), alt=what), class_="plot") for name, what in plots.items()]
    return [el("h2", "Plots"), *figures] if figures else []


def shown(shots: Sequence[Shot]) -> list[Element]:
    """What the policy saw, by split: successes, and failures."""
    if not shots:
        return []
    parts = [
        el("h2", f"What it saw: {shots[0].result.policy}"),
        el(
            "p",
            f"Left its first picture, right its last. {RULE} Failures are chosen like successes, and shown as such.",
        ),
        el(
            "p",
            "Magenta: the outline of what is right to look at, where it shows; a cross where a direction is asked for. "
            "White ring: where the centre of the target counts. Orange: where the policy sees what it was told, "
            "by its grounding map, with a frame around the most likely patch.",
        ),
    ]
    for split in dict.fromkeys(s.result.case.split for s in shots):
        parts.append(el("h3", split))
        for success, title in ((True, "Successes"), (False, "Failures")):
            own = [s for s in shots if s.result.case.split == split and s.result.success == success]
            figures = [figure(s) for s in own] or [el("p", "None.")]
            parts += [el("h4", f"{title}, {split}"), el("div", *figures, class_="shots")]
    return parts


def figure(shot: Shot) -> Element:
    """One case: two pictures and what became of it."""
    r, case = shot.result, shot.result.case
    images = [el("img", src=picture_name(shot, end), alt=f"{end}: {case.text}") for end in ("start", "end")]
    start_deg = float(np.rad2deg(case.angle_rad))
    lines: list[Node] = [el("q", case.text), el("br")]
    lines += [f"{case.kind}; {case.name}" + (f", {case.visibility}" if case.direction is None else ""), el("br")]
    lines += [f"{verdict(r)} {start_deg:.0f}° off the axis at the start, {r.angle_deg:.0f}° at the end; "]
    lines += [f"{shot.looks} looks in {shot.end_s:.1f}\u00a0s. ", el("small", f"case {case.number}")]
    if not shot.agrees:
        lines += [el("br"), el("strong", "Played again for these pictures, it ended otherwise.")]
    two = el("div", *images, class_="two")
    return el("figure", two, el("figcaption", *lines), class_="reached" if r.success else "missed")


def verdict(r: Result) -> str:
    """How a result ended, in words."""
    if r.success:
        return f"Success: reached for good after {r.reached_s:.1f}\u00a0s."
    if r.first_s is None:
        return "Failure: never had it."
    return f"Failure: had it after {r.first_s:.1f}\u00a0s and did not stay."


# -- cells ---------------------------------------------------------------------------------------


def share(cell: Mapping[str, Any] | None, counted: bool = False) -> Element:
    """A cell with a share, its interval and, if `counted`, of how many."""
    if cell is None or cell["success"] is None:
        return el("td", "–")
    low, high = (round(100 * x, 1) + 0.0 for x in cell["success_95"])  # and never -0
    value = 100 * cell["success"]
    of = f" of {cell['episodes']}" if counted else ""
    return el("td", f"{value:.1f} % ", el("small", f"{low:.1f}–{high:.1f}{of}"), style=f"--share: {value:.1f}%")


def points(d: Mapping[str, Any]) -> str:
    """A difference of shares with its interval, in points."""
    if d["difference"] is None:
        return "–"
    low, high = (100 * x for x in d["difference_95"])
    return f"{100 * d['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def _far(farthest: Mapping[str, float] | None) -> list[str]:
    return ["–", "–"] if farthest is None else [f"{farthest['p50']:.1f}°", f"{farthest['p95']:.1f}°"]


def _short(value: Any) -> str:
    """As JSON; a list of equal values as one of them."""
    if isinstance(value, list) and len(value) > 2 and value.count(value[0]) == len(value):
        return f"{len(value)} x {json.dumps(value[0])}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
