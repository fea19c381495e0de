"""An evaluation as a folder that a browser opens: tables, and plots of what is compared step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sapave_ros import __version__
from sapave_ros.bench.markup import Node, Row, el, listed, page, table

INDEX = "index.html"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1100px; margin: 2em auto;
  padding: 0 1em; }
h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1em 0; } caption { text-align: left; font-weight: 600; padding: .3em 0; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.2em; } dt { color: #666; } dd { margin: 0; }
img { max-width: 100%; } .damage { color: #c0392b; }
"""


def write(folder: Path, result: Mapping[str, Any]) -> Path:
    """Writes the page and its plots; returns where it is."""
    content: list[Node] = [
        el("p", f"sapave_ros {__version__}. Increments are compared with what was "
           "commanded after the gate, where motion was permitted."),
        listed([(name, el("code", path)) for name, path in result["models"].items()]),
    ]  # fmt: skip
    content += [el("p", f"{bag}: {why}", class_="damage") for bag, why in result["unusable"].items()]
    for number, bag in enumerate(result["bags"]):
        content += _bag(folder, number, bag)
    index = folder / INDEX
    index.write_text(page("Offline evaluation", _STYLE, *content), encoding="utf-8")
    return index


def _bag(folder: Path, number: int, bag: Mapping[str, Any]) -> list[Node]:
    run = bag["run"]
    facts: list[tuple[str, Node]] = [("messages", str(sum(run["messages"].values())))]
    for name, figures in bag["models"].items():
        facts.append((f"session of {name}", ", ".join(f"{k} {v}" for k, v in figures["session"].items())))
    fast = bag["speed"]
    facts.append(("speed", f"{fast['times_real_time']:.1f} times real time, {fast['model_share']:.0%} of it the model"))
    if run["latency_s"]:
        facts.append(("exposure to chunk", ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in run["latency_s"].items())))
    if run["age_s"]:
        facts.append(
            ("exposure to the next chunk", ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in run["age_s"].items()))
        )
    for group, value in run["jerk_rad_s3"].items():
        if value is not None:
            facts.append((f"jerk of {group}", f"{value:.1f} rad/s³ (root mean square while it moved)"))
    looked = run.get("look")
    if looked:
        facts.append(("looked at", f"{looked['reached']} of {looked['of']} targets"))
    facts += [("said", text) for text in run["instructions"] if text]
    nodes: list[Node] = [el("h2", bag["bag"]), listed(facts)]
    nodes += [el("p", line, class_="damage") for line in run["damage"]]
    rows = [
        _row(f"{name}, {group}", of)
        for name, figures in bag["models"].items()
        for group, of in figures["groups"].items()
    ]
    columns = ("chunks", "steps compared", "error [mrad]", "jump p95 [mrad]", "refused")
    nodes.append(table("Predicted against commanded increments", columns, rows))
    same: list[Row] = [
        (f"{name}, {head}", [str(of["chunks"]), str(of["of"]), f"{of['largest_rad']:.2g}"], "")
        for name, figures in bag["models"].items()
        for head, of in figures["identical"].items()
    ]
    if same:
        nodes.append(table("The robot's own chunks", ("bit for bit", "of", "largest difference [rad]"), same))
    if looked:
        nodes.append(table("Gaze and targets", _LOOK_COLUMNS, map(_look_row, looked["targets"])))
        angles = _angles(folder / f"look_{number}.png", looked)
        nodes.append(el("p", el("img", src=angles.name, alt="angle between gaze and target over time")))
    if plot := _steps(folder / f"steps_{number}.png", bag):
        nodes.append(el("p", el("img", src=plot.name, alt="error by step of the chunk, for each model and group")))
    return nodes


def _row(name: str, of: Mapping[str, Any]) -> Row:
    error = "–" if of["error_rad"] is None else f"{1e3 * of['error_rad']:.2f}"
    jump = "–" if of["jump_rad"] is None else f"{1e3 * of['jump_rad']['p95']:.1f}"
    refused = ", ".join(f"{count} {why}" for why, count in of["refused"].items()) or "0"
    return name, [str(of["chunks"]), str(of["compared_steps"]), error, jump, refused], ""


_LOOK_COLUMNS = ("on target after [s]", "on target", "angle at first [°]", "at last [°]", "least [°]")


def _look_row(of: Mapping[str, Any]) -> Row:
    def text(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    angles = [text(of["angle_deg"][name], ".1f") for name in ("first", "last", "least")]
    values = [text(of["time_to_target_s"], ".2f"), text(of["share_on_target"], ".0%"), *angles]
    return f"{of['from_s']:.1f} to {of['to_s']:.1f} s", values, ""


def _angles(path: Path, looked: Mapping[str, Any]) -> Path:
    """The angle to each target over the bag's time, with what counts as on target."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(9, 3.0), layout="constrained")
    for of in looked["targets"]:
        over = of["over_time"]
        angles = [float("nan") if a is None else a for a in over["angle_deg"]]
        axis.plot([of["from_s"] + t for t in over["after_s"]], angles, color="tab:blue")
        axis.axvline(of["from_s"], color="0.7", linewidth=0.8)
    axis.axhspan(0.0, looked["on_target_deg"], color="tab:green", alpha=0.15)
    axis.set_xlabel("time in the bag [s]")
    axis.set_ylabel("gaze to target [°]")
    axis.set_ylim(bottom=0)
    axis.grid(color="0.9")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _steps(path: Path, bag: Mapping[str, Any]) -> Path | None:
    """Error by step of the chunk."""
    series = {
        f"{name}, {group}": of["error_rad_by_step"]
        for name, figures in bag["models"].items()
        for group, of in figures["groups"].items()
        if of["error_rad"] is not None
    }
    if not series:
        return None
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for label, values in series.items():
        known = [(i + 1, 1e3 * v) for i, v in enumerate(values) if v is not None]
        axis.plot(*zip(*known), marker="o", markersize=3, label=label)
    axis.set_xlabel("step of the chunk")
    axis.set_ylabel("mean |predicted - commanded| [mrad]")
    axis.set_ylim(bottom=0)
    axis.grid(color="0.9")
    figure.legend(frameon=False, loc="outside right upper")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
