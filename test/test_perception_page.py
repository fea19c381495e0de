"""The page of semantic active perception: all that was measured and nothing else, failures as failures."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from sapave_ros.bench import perception, perception_page, perception_plots, perception_report
from sapave_ros.bench.perception_cases import CELLS, SPLITS, Case, Pair
from sapave_ros.bench.perception_pictures import Shot, choose
from sapave_ros.bench.perception_play import KNOWLEDGE, Perturbed, Result, Settings, Swapped, Untold
from sapave_ros.bench.perception_score import PAPER
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION, Goal
from sapave_ros.policy import manifest as contract
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.share import share_path

CASES = 27
SHARP = "<b>look & see</b>"
DIRECTION = KINDS_OF_INSTRUCTION.index("direction")


def result(policy: str, split: str, number: int, success: bool) -> Result:
    kind, visibility = CELLS[number % len(CELLS)]
    text = f"{SHARP} {split} {number}"
    case = Case(split, number, "tabletop", 1, (0.0, 0.0), text, kind, "mug", (Goal(item=0),), visibility.value, 0.5)
    reached_s = 1.0 if success else None
    first_s = reached_s if success or number % 2 else 0.5
    return Result(policy, case, success, first_s, reached_s, 3.0 if success else 30.0, 0, np.zeros((1, 3)))


def played(models: dict[str, Path], splits=SPLITS) -> list[Result]:
    return [
        result(p, s, i, p == "oracle" or (p != "still" and (i + j) % 3 > 0))
        for s in splits
        for j, p in enumerate((*models, "still", "oracle"))
        for i in range(CASES)
    ]


def report_of(models: dict[str, Path], splits=SPLITS, extras: bool = True) -> tuple[dict, list[Result]]:
    rows = played(models, splits)
    report = perception_report.summary(rows, splits, Settings(models, ("still", "oracle"), thresholds=True), CASES)
    report["unplayable"] = perception_report.unplayable(rows, CASES * len(splits))
    report["unknown_words"] = {m: {s: {"requests": 3, "of": CASES, "words": []} for s in splits} for m in models}
    if extras:
        case = rows[0].case
        swaps = [
            Swapped(m, Pair(replace(case, split=s), case), (True, False), (True, True)) for m in models for s in splits
        ]
        silent = [Untold(m, replace(case, split=s), True, 1.25) for m in models for s in splits]
        report["swap"], report["empty"] = perception_report.exchanged([*swaps, *silent], splits)
        levels = (("nothing", 0.0), ("pitch [deg]", 4.0))
        changed = [Perturbed(m, case, c, x, k, k == "full") for m in models for c, x in levels for k in KNOWLEDGE]
        report["perturb"] = perception_report.changed(changed)
    return report, rows


def shots_of(rows: list[Result], policy: str, splits=SPLITS) -> list[Shot]:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (192, 320, 3), dtype=np.uint8) for _ in range(2)]
    return [Shot(r, *pictures, 20, 2.5, True) for r in choose(rows, splits, policy)]


MODEL = share_path(SHIPPED)


@pytest.fixture(scope="module")
def whole() -> tuple[dict, list[Shot]]:
    report, rows = report_of({"model": MODEL, "without_depth": MODEL})
    return report, shots_of(rows, "model")


class Reader(HTMLParser):
    """What a browser shows: texts, pictures, and each figure's class with its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.figures: list[list[str]] = []
        self.texts: list[str] = []
        self._open = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        of = dict(attrs)
        if tag == "img":
            self.sources.append(unquote(of["src"]))
        if tag == "figure":
            self.figures.append([of.get("class", ""), ""])
            self._open = True

    def handle_endtag(self, tag):
        if tag == "figure":
            self._open = False

    def handle_data(self, data):
        self.texts.append(data)
        if self._open:
            self.figures[-1][1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def test_every_chosen_case_shows_up_once_with_both_its_pictures(whole, tmp_path):
    report, shots = whole
    assert {s.result.success for s in shots} == {True, False}
    index = perception_page.write(tmp_path, report, "sapave", shots, {})
    page = Reader(index.read_text(encoding="utf-8"))
    texts = [text for style, text in page.figures if style in ("reached", "missed")]
    for s in shots:
        assert sum(f"{s.result.case.text}\n" in t for t in texts) == 1
    assert len(texts) == len(shots)
    assert len(page.sources) == len(set(page.sources)) == 2 * len(shots)
    for source in page.sources:
        assert (tmp_path / source).stat().st_size > 0


def test_failures_are_called_so_and_nothing_else_is(whole):
    report, shots = whole
    page = Reader(perception_page.html(report, "sapave", shots, {}))
    verdicts = {f"{s.result.case.text}\n": s.result.success for s in shots}
    shown = [(style, text) for style, text in page.figures if style != "plot"]
    for style, text in shown:
        success = next(v for t, v in verdicts.items() if t in text)
        assert style == ("reached" if success else "missed")
        assert ("Failure:" in text) != success and ("Success:" in text) == success
    assert page.text.count("ended otherwise") == 0
    other = Reader(perception_page.html(report, "sapave", [replace(shots[0], agrees=False), *shots[1:]], {}))
    assert other.text.count("ended otherwise") == 1


def test_a_split_without_failures_says_none():
    rows = played({})
    shots = shots_of(rows, "oracle")
    assert all(s.result.success for s in shots)
    report, _ = report_of({}, extras=False)
    assert Reader(perception_page.html(report, "sapave", shots, {})).texts.count("None.") == len(SPLITS)


def test_the_same_input_gives_the_same_bytes(whole, tmp_path):
    report, shots = whole
    written = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        perception_page.write(folder, report, "sapave", shots, {"kinds.png": "kinds"})
        written.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]
    assert perception_page.write(folder, report, "sapave", shots, {"kinds.png": "kinds"}).read_bytes() in (
        written[0].values()
    )


def test_texts_are_escaped(whole):
    report, shots = whole
    text = perception_page.html(report, "sapave --model '<script>'", shots, {"a b.png": "<i>"})
    assert SHARP not in text and "<script>" not in text and "<i>" not in text
    page = Reader(text)
    assert {"b", "script", "i"}.isdisjoint(page.tags)
    assert "sapave --model '<script>'" in page.text and SHARP in page.text
    assert page.sources[0] == "a b.png"


def test_every_figure_of_every_policy_is_there_with_its_interval(whole):
    report, _ = whole
    text = Reader(perception_page.html(report, "sapave", [], {})).text
    for of in report["splits"].values():
        for figures in of["policies"].values():
            low, high = (100 * x for x in figures["success_95"])
            assert f"{100 * figures['success']:.1f} % {low:.1f}–{high:.1f}" in text
    for name, values in PAPER.items():
        assert f"{name} " + " ".join(f"{100 * values[s]:.1f} %" for s in SPLITS) in text
    assert "another robot, other scenes" in text
    assert "without_depth" in text and "Less model" in text
    for kind in KINDS_OF_INSTRUCTION:
        assert kind in text


def test_how_it_was_made_is_told_by_the_manifest(whole):
    report, _ = whole
    text = Reader(perception_page.html(report, "sapave bench perception --swap", [], {})).text
    manifest = contract.read(MODEL)
    assert "sapave bench perception --swap" in text
    assert manifest.weights_sha256 in text and manifest.training["commit"] in text
    assert f"{CASES} of each split" in text
    assert str(MODEL.parent) not in text  # the same bytes from any folder


PARTS = {
    "Are the words used?": "swap",
    "And without a word": "empty",
    "Is geometry used?": "perturb",
    "Plots": "plots",
    "saw": "shots",
    "Less ": "against",
    "Orange": "shots",
}


def test_what_was_not_measured_is_left_out(whole):
    full = Reader(perception_page.html(*whole[:1], "sapave", whole[1], {"kinds.png": ""})).text
    assert all(part in full for part in PARTS)
    report, _ = report_of({}, ("val",), extras=False)
    few = Reader(perception_page.html(report, "sapave", [], {})).text
    assert not [part for part in PARTS if part in few]
    assert "SHA-256" not in few and "test1" not in few
    assert "oracle" in few


# -- the command ---------------------------------------------------------------------------------


def parsed(words: list[str]):
    import argparse

    parser = argparse.ArgumentParser()
    perception.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--quick", "--splits", "val", "test2", "--page", "out/a b"],
        ["--cases", "54", "--models", "a=x.onnx", "b=y.onnx", "--swap", "--perturb", "--chunking", "rtc"],
        ["--policies", "still", "oracle", "--delay", "0.1", "--unknown-words", "--json", "f.json", "--plots", "p"],
    ],
)
def test_the_command_on_the_page_does_the_same(words):
    import shlex

    args = parsed(words)
    typed = shlex.split(perception.command(args))
    assert typed[:3] == ["sapave", "bench", "perception"]
    assert parsed(typed[3:]) == args
    assert perception.command(parsed([*words, "--workers", "77"])) == perception.command(args)


def test_a_page_has_the_plots_of_its_folder(monkeypatch, tmp_path):
    rows = [replace(r, views=np.array([(t, 0.05, 0.8) for t in np.arange(0, 7.2, 0.1)])) for r in played({}, ("val",))]
    monkeypatch.setattr(perception, "play", lambda *_: rows)
    monkeypatch.setattr(perception.perception_pictures, "shoot", lambda _, chosen: [
        Shot(r, np.zeros((192, 320, 3), np.uint8), np.zeros((192, 320, 3), np.uint8), 1, 0.0, True) for r in chosen
    ])  # fmt: skip
    folder = tmp_path / "new" / "page"
    words = ["--quick", "--splits", "val", "--policies", "still", "oracle", "--page", str(folder)]
    assert perception.run(parsed([*words, "--json", str(folder / "results.json")])) == 0
    page = Reader((folder / "index.html").read_text(encoding="utf-8"))
    assert {"kinds_still.png", "thresholds.png"} < set(page.sources)
    for source in page.sources:
        assert (folder / source).is_file()
    assert (folder / "results.json").is_file()


def test_plots_are_named_with_what_they_show(tmp_path):
    rows = [replace(r, views=np.zeros((1, 3))) for r in played({"model": MODEL}, ("val",))]
    settings = Settings({"model": MODEL}, ("still", "oracle"), thresholds=True)
    names, _ = perception_plots.draw(tmp_path, rows, ("val",), settings, ("model",))
    assert set(names) == {p.name for p in tmp_path.iterdir()} == {"kinds_model.png", "thresholds.png"}
    assert all(names.values())
