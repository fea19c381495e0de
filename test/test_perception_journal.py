"""The journal of `sapave bench perception`: an interrupted run goes on, and what is no journal of it is left alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from perception_actor import bench, result

from sapave_ros.bench import perception, perception_journal, perception_play
from sapave_ros.bench.lockstep import LoopTiming
from sapave_ros.bench.perception_cases import Pair
from sapave_ros.bench.perception_journal import Journal
from sapave_ros.bench.perception_play import (
    Perturbed,
    Result,
    Row,
    Settings,
    Swapped,
    Task,
    Unplayable,
    Untold,
    play,
)
from sapave_ros.learning.language import Goal


def same(a: Row, b: Row) -> bool:
    """Whether two rows are, exactly; arrays make dataclasses incomparable."""
    if isinstance(a, Result) and isinstance(b, Result):
        if a.views.dtype != b.views.dtype or not np.array_equal(a.views, b.views, equal_nan=True):
            return False
        a, b = replace(a, views=None), replace(b, views=None)
    return type(a) is type(b) and a == b


@hypothesis(max_examples=30)  # each writes to the disk and waits for it
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_infinity=False), st.just(np.nan)),
        min_size=1,
        max_size=5,
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
def test_rows_are_read_as_they_were_written(tmp_path_factory, views, number, text):
    one = replace(result("a", "val", 1, True), views=np.array(views), angle_deg=number, first_s=None)
    case = replace(one.case, text=text, head=(number, -0.0), goals=(Goal(item=1), Goal(direction="left"), Goal()))
    rows = {
        Task("score", "val", 1): [replace(one, case=case), replace(one, policy="b", reached_s=None)],
        Task("swap", "val", 1): [Swapped("a", Pair(case, one.case), (True, False), (np.bool_(True), False))],
        Task("empty", "val", 1): [Untold("a", case, False, number)],
        Task("perturb", "val", 1): [Perturbed("a", case, "focal length", 1.25, "none", True)],
        Task("score", "test2", 203): [Unplayable(Task("score", "test2", 203), text)],
        Task("score", "test2", 204): [],
    }
    path, settings = tmp_path_factory.mktemp("journal") / "deep" / "j.jsonl", Settings({}, ("still",))
    with Journal(path, settings) as journal:
        for task, of in rows.items():
            journal.add(task, of)
    with Journal(path, settings) as journal:
        assert list(journal.rows) == list(rows)
        for task, of in rows.items():
            assert all(map(same, of, journal.rows[task])) and len(of) == len(journal.rows[task])
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a worker was killed"), OSError("disk full")])
def test_an_interrupted_run_goes_on_and_says_what_one_in_one_go_does(actor, tmp_path, capsys, error):
    journal, whole, again = (tmp_path / name for name in ("j.jsonl", "whole.json", "again.json"))
    every = ["--cases", 30, "--swap", "--perturb"]
    assert bench(*every, "--json", whole, splits=("val", "test2")) == 0
    said = capsys.readouterr().out
    todo = list(actor.played)

    actor.played.clear()
    actor.ends = (70, error)
    code = bench(*every, "--json", again, "--journal", journal, splits=("val", "test2"))
    assert code == {KeyboardInterrupt: 130, RuntimeError: 1, OSError: 2}[type(error)]
    assert f"70 of {len(todo)} cases are kept in {journal}; to go on: sapave bench" in capsys.readouterr().err
    assert not again.exists()

    actor.ends = None
    assert bench(*every, "--json", again, "--journal", journal, splits=("val", "test2")) == 0
    assert actor.played == todo
    assert again.read_bytes() == whole.read_bytes()
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.startswith(f"70 of {len(todo)} cases are in {journal}") and rest == said


def test_without_a_journal_nothing_is_kept_and_ctrl_c_says_so(actor, capsys):
    actor.ends = (3, KeyboardInterrupt())
    assert bench("--quick") == 130
    assert "nothing is kept; --journal FILE" in capsys.readouterr().err


def test_only_what_is_missing_is_played(actor, tmp_path):
    words = ["--journal", tmp_path / "j.jsonl"]
    assert bench("--cases", 27, *words) == 0
    assert len(actor.played) == 27
    assert bench("--cases", 30, "--swap", *words, splits=("val", "test1")) == 0
    assert bench("--cases", 30, "--swap", "--perturb", *words, splits=("val", "test1")) == 0
    assert Counter(actor.played).most_common(1)[0][1] == 1
    assert set(actor.played) == set(perception.tasks(("val", "test1"), 30, True, True))
    assert bench("--cases", 27, *words) == 0  # fewer than there are
    assert len(actor.played) == len(set(actor.played))


def test_what_is_done_is_kept_while_an_earlier_case_is_still_searched_for(actor, monkeypatch):
    todo = [Task("score", "val", i) for i in range(4)]

    def backwards(workers, begin, of):
        return lambda work, tasks: ((t, actor(of).do(t)) for t in reversed(tasks))

    monkeypatch.setattr(perception_play, "Processes", backwards)
    kept: list[Task] = []
    rows = play(Settings({}, ("still",)), todo, 2, False, {}, lambda task, _: kept.append(task))
    assert kept == todo[::-1]
    assert [r.case.number for r in rows] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "field", "then", "now"),
    [
        (lambda s: replace(s, baselines=("still", "oracle")), "baselines", '["still"]', '["still", "oracle"]'),
        (lambda s: replace(s, chunking="rtc"), "chunking", '"plain"', '"rtc"'),
        (lambda s: replace(s, timing=LoopTiming(inference_delay_s=0.1)), "inference_delay_s", "0.06", "0.1"),
        (lambda s: replace(s, thresholds=True), "thresholds", "false", "true"),
        (lambda s: replace(s, perturbed=("a",)), "perturbed", "[]", '["a"]'),
        (lambda s: replace(s, memory=False), "memory", "true", "false"),
        (lambda s: replace(s, models=s.models | {"a": s.models["b"]}), "models.a", '"sha256 7', '"sha256 2'),
        (lambda s: replace(s, models={"a": s.models["a"]}), "models.b", '"sha256 2', "absent"),
        (lambda s: replace(s, models=dict(reversed(s.models.items()))), "the order of models", "a, b", "b, a"),
    ],
)
def test_the_journal_of_another_run_is_refused_and_stays_as_it_is(tmp_path, change, field, then, now):
    for name, text in (("a", "one"), ("b", "five")):
        (tmp_path / name).write_text(text)
    settings = Settings({n: tmp_path / n for n in ("a", "b")}, ("still",))
    journal = tmp_path / "j.jsonl"
    Journal(journal, settings).close()
    before = journal.read_bytes()
    with pytest.raises(ValueError, match="journal of another run") as refused:
        Journal(journal, change(settings))
    text = str(refused.value)
    start = text.index(f": {field} is {then}")
    assert f" there and {now}" in text[start:]
    assert text.endswith("remove it, or name another with --journal") and str(journal) in text
    assert journal.read_bytes() == before
    (tmp_path / "c").write_text("one")
    Journal(journal, replace(settings, models=settings.models | {"a": tmp_path / "c"})).close()  # the same, elsewhere


@pytest.mark.parametrize("name", ["FORMAT", "__version__"])
def test_another_version_is_another_run(monkeypatch, tmp_path, name):
    Journal(tmp_path / "j", Settings({}, ())).close()
    monkeypatch.setattr(perception_journal, name, "other")
    with pytest.raises(ValueError, match='is .* there and "other" now'):
        Journal(tmp_path / "j", Settings({}, ()))


def filled(path: Path, tasks: int = 3) -> list[bytes]:
    """A journal with so many tasks; its lines."""
    with Journal(path, Settings({}, ("still",))) as journal:
        for i in range(tasks):
            journal.add(Task("score", "val", i), [result("still", "val", i, False)])
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_that_was_cut_off_is_dropped_and_written_anew(tmp_path):
    path, settings = tmp_path / "j.jsonl", Settings({}, ("still",))
    lines = filled(path)
    for last in (0, 1, 3):
        for length in {0, 1, len(lines[last]) // 2, len(lines[last]) - 1}:
            path.write_bytes(b"".join(lines[:last]) + lines[last][:length])
            with Journal(path, settings) as journal:
                assert [t.number for t in journal.rows] == list(range(last - 1))
                for i in range(max(last - 1, 0), 3):
                    journal.add(Task("score", "val", i), [result("still", "val", i, False)])
            assert path.read_bytes() == b"".join(lines)


SPOILT = {
    "no JSON": (lambda line: line[:40] + b"\n", ""),
    "empty": (lambda _: b"\n", ""),
    "no text": (lambda _: b"\xff\x00\n", ""),
    "a list": (lambda _: b"[]\n", "expected an object with a task"),
    "no rows": (lambda _: b'{"task":{"what":"score","split":"val","number":1}}\n', "expected an object with a task"),
    "a task twice": (lambda line: line.replace(b'"number":1}', b'"number":0}', 1), "for the second time"),
    "a number as text": (lambda line: line.replace(b'"refused":0', b'"refused":"0"'), "rows[0].refused is"),
    "another row": (lambda line: line.replace(b'"Result"', b'"Outcome"'), "expected of Result, Swapped"),
    "no name of a row": (lambda line: line.replace(b'"Result"', b"[]"), "expected of Result, Swapped"),
    "a field too few": (lambda line: line.replace(b'"kind":"attribute",', b""), "rows[0].case is"),
    "a truth as number": (lambda line: line.replace(b'"success":false', b'"success":0'), "expected bool"),
    "a short head": (lambda line: line.replace(b'"head":[0.0,0.0]', b'"head":[0.0]'), "rows[0].case.head"),
    "a short view": (lambda line: line.replace(b'"views":[[0.0,', b'"views":[['), "rows[0].views"),
    "text in a view": (lambda line: line.replace(b'"views":[[0.0,', b'"views":[["0",'), "rows[0].views"),
    "flat views": (lambda line: line[: line.index(b'"views"')] + b'"views":[1.0]}]}\n', "rows[0].views"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_any_other_line_that_is_none_is_refused_with_its_number(tmp_path, name):
    path = tmp_path / "j.jsonl"
    lines = filled(path)
    spoil, said = SPOILT[name]
    assert spoil(lines[2]) != lines[2]
    path.write_bytes(lines[0] + lines[1] + spoil(lines[2]) + lines[3][:-9])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"j\.jsonl, line 3: ") as refused:
        Journal(path, Settings({}, ("still",)))
    assert said in str(refused.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["{\n}\n", "results", '{"a": 1}', "[]\n", "\n"])
def test_a_file_that_is_no_journal_is_left_alone(actor, tmp_path, capsys, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    assert bench("--quick", "--journal", path) == 2
    assert f"{path}, line 1: " in capsys.readouterr().err
    assert path.read_text() == content and not actor.played


def test_two_runs_do_not_write_into_one_journal(tmp_path):
    path, settings = tmp_path / "j.jsonl", Settings({}, ())
    with Journal(path, settings), pytest.raises(ValueError, match="another run is writing to it"):
        Journal(path, settings)
    Journal(path, settings).close()
