"""`sapave bench data`: how fast triples are made, as a share of what MuJoCo alone renders, and how fast they are read.

Three rates of the same rooms and poses, in seconds of one core: the picture of each pose and the segmentations that
labels need, drawn and read back and nothing else (raw); shards made whole; and how that grows with a second
process. Times are of the processor, so that others on the machine count little; what two processes bring is
wall-clock time, and does depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sapave_ros.cli import json_argument
from sapave_ros.crew import Processes
from sapave_ros.learning.pairs import make
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, PICTURE_SIZE, View
from sapave_ros.learning.pairs.generate import ShardMaker
from sapave_ros.learning.pairs.labels import Guide
from sapave_ros.learning.pairs.source import Rooms
from sapave_ros.learning.pairs.splits import SPLITS
from sapave_ros.learning.pairs.store import ShardName
from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb
from sapave_ros.sim.rendering import HEAD_CAMERA

_BATCH = 64


def raw(guide: Guide, view: View, count: int) -> float:
    """Seconds of one core for a picture with depth of the guide's present room: drawn, read back and nothing else."""
    eye, data = guide.eye, guide.world.data
    pixels, depth = np.empty((*view.size, 3), np.uint8), np.empty(view.size, np.float32)

    def picture() -> None:
        viewport = eye._aim(data, view, eye._everything)
        mujoco.mjr_readPixels(pixels, depth, viewport, eye._context)

    return _seconds(picture, count)


def generator(triples: int) -> dict[str, Any]:
    """One process: the share of its time in which MuJoCo draws, and rates per second of one core."""
    os.environ.update({"LP_NUM_THREADS": "0"})
    maker = ShardMaker("train", Rooms(SPLITS["train"]))
    try:
        maker.shard(0, 0, 40)
        # The same renders and reads alone: the time inside MuJoCo's own functions.
        drawn = _InMuJoCo()
        with drawn:
            start = time.process_time()
            shard = maker.shard(0, 1, triples)
            total_s = time.process_time() - start
        pictures = len(shard.pictures["picture"])
        guide = maker.guide
        looks = [guide.look(q) for q in np.random.default_rng(0).uniform((-0.7, -0.1), (0.7, 0.9), (12, 2))]
        full, small = [], []
        for look in looks:
            guide.look(look.head)
            small.append(raw(guide, look.view, 3))
            full.append(_seconds(guide.world.render, 3))
        return {
            "triples_per_s": triples / total_s,
            "pictures_per_s": pictures / total_s,
            "triples_per_picture": triples / pictures,
            "renders_per_picture": drawn.calls / pictures,
            "raw_pictures_per_s": 1 / float(np.mean(small)),
            "raw_camera_pictures_per_s": 1 / float(np.mean(full)),
            "rendering_share": drawn.seconds / total_s,
            "triples_over_raw_pictures": triples / total_s * float(np.mean(small)),
            "triples_over_raw_camera_pictures": triples / total_s * float(np.mean(full)),
        }
    finally:
        maker.close()


class _InMuJoCo:
    """Adds up the processor time inside MuJoCo's renderer, inside a `with`."""

    names = ("mjr_render", "mjr_readPixels", "mjv_updateScene")

    def __enter__(self) -> _InMuJoCo:
        self.seconds, self.calls = 0.0, 0
        self._before = {n: getattr(mujoco, n) for n in self.names}
        for n, function in self._before.items():
            setattr(mujoco, n, self._timed(function, n == "mjr_render"))
        return self

    def __exit__(self, *_: object) -> None:
        for n, function in self._before.items():
            setattr(mujoco, n, function)

    def _timed(self, function: Callable[..., Any], counts: bool) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.process_time()
            result = function(*args)
            self.seconds += time.process_time() - start
            self.calls += counts
            return result

        return timed


def fidelity(poses: int = 24) -> dict[str, float]:
    """How far pictures drawn small are from the camera's reduced ones: grey levels, and millimetres of depth."""
    maker = ShardMaker("train", Rooms(SPLITS["train"]))
    guide, random = maker.guide, np.random.default_rng(7)
    grey: list[np.ndarray] = []
    depth: list[np.ndarray] = []
    try:
        source = Rooms(SPLITS["train"])
        for i in range(poses):
            if i % 4 == 0:
                guide.load(source.room(source.templates[i // 4 % len(source.templates)], i).scene)
            look = guide.look(random.uniform((-0.7, -0.1), (0.7, 0.9)))
            rgb, mm = guide.eye.rgbd_of(guide.world.data, look.view)
            full, full_mm = guide.world.render(HEAD_CAMERA)
            grey.append(np.abs(rgb.astype(int) - reduce_rgb(full, PICTURE_SIZE)).ravel())
            here, there = (1000 * reduce_depth(z / np.float32(1000), DEPTH_SIZE) for z in (mm, full_mm))
            both = (here > 0) & (there > 0)
            depth.append(np.abs(here[both] - there[both]))
    finally:
        maker.close()
    g, d = np.concatenate(grey), np.concatenate(depth)
    return {
        "grey_mean": float(g.mean()),
        "grey_p99": float(np.percentile(g, 99)),
        "depth_median_mm": float(np.median(d)),
        "depth_p99_mm": float(np.percentile(d, 99)),
    }


def scaling(triples: int, folder: Path) -> dict[str, float]:
    """One process and two, once their models are compiled: triples per second of wall-clock time, and processor time
    for a triple. The first needs a machine with nothing else to do; the second says whether they hinder each other."""
    rates: dict[int, float] = {}
    costs: dict[int, float] = {}
    for workers in (1, 2):
        shards = 4 * workers
        names = [ShardName(folder / str(workers), "train", 0, i) for i in range(shards)]
        at: list[float] = []
        spent: list[float] = []
        for done in make.made_by(Processes(workers), [make.Task(n, Rooms, triples) for n in names]):
            at.append(time.perf_counter())
            spent.append(done.processor_s)
        # Up to the first round the processes start.
        rates[workers] = (shards - workers) * triples / (at[-1] - at[workers - 1])
        costs[workers] = float(np.mean(spent[workers:])) / triples
    return {
        "one_per_s": rates[1],
        "two_per_s": rates[2],
        "ratio": rates[2] / rates[1],
        "one_processor_s": costs[1],
        "two_processor_s": costs[2],
    }


def loading(folder: Path, batches: int = 60) -> dict[str, float]:
    """Pairs per second that arrive as batches, mapped from disk and from arrays in memory."""
    from sapave_ros.learning.language import vocabulary
    from sapave_ros.learning.pairs.read import PairDataset
    from sapave_ros.learning.training.batches import Batches
    from sapave_ros.policy.tokenizer import Tokenizer

    start = time.perf_counter()
    mapped = PairDataset([folder])
    first_s = time.perf_counter() - start
    start = time.perf_counter()
    PairDataset([folder])
    again_s = time.perf_counter() - start
    memory = PairDataset([folder], mapped=False)
    tokenizer = Tokenizer(vocabulary(), 20)
    rates: dict[str, list[float]] = {"mapped": [], "memory": []}
    sources = {"mapped": Batches(mapped, tokenizer, _BATCH, 0), "memory": Batches(memory, tokenizer, _BATCH, 0)}
    for source in sources.values():
        for step in range(batches):
            source(step)
    for round_ in range(5):
        for name, source in sources.items():
            start = time.process_time()
            for step in range(batches):
                source(1000 * round_ + step)
            rates[name].append(batches * _BATCH / (time.process_time() - start))
    own, plain = (float(np.median(rates[n])) for n in ("mapped", "memory"))
    return {
        "pairs": len(mapped.texts),
        "decode_s": first_s,
        "open_s": again_s,
        "mapped_per_s": own,
        "memory_per_s": plain,
        "share": own / plain,
    }


def _seconds(function: Callable[[], Any], count: int) -> float:
    function()
    start = time.process_time()
    for _ in range(count):
        function()
    return (time.process_time() - start) / count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench data`."""
    parser.add_argument("--triples", type=int, default=1000, help="to make for the generator's rate")
    parser.add_argument("--no-loading", action="store_true", help="leave reading out (it needs torch)")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Exit code 0: it measures, it does not judge."""
    if args.triples < 100:
        raise ValueError(f"--triples: {args.triples}, expected at least 100")
    report: dict[str, Any] = {"generator": generator(args.triples), "fidelity": fidelity()}
    g, f = report["generator"], report["fidelity"]
    print(f"made: {g['triples_per_s']:.0f} triples/s per core, {g['triples_per_picture']:.1f} of a picture")
    print(
        f"raw MuJoCo: {g['raw_pictures_per_s']:.0f} pictures/s per core at the size drawn, "
        f"{g['raw_camera_pictures_per_s']:.0f} at the camera's"
    )
    print(
        f"triples over raw pictures: {g['triples_over_raw_pictures']:.2f} (over the camera's: "
        f"{g['triples_over_raw_camera_pictures']:.2f}); {g['rendering_share']:.0%} of the time is MuJoCo's rendering"
    )
    print(
        f"drawn small, not reduced: grey levels off by {f['grey_mean']:.2f} on average, {f['grey_p99']:.0f} in one "
        f"pixel of a hundred; depth by {f['depth_median_mm']:.0f} mm in the median"
    )
    with tempfile.TemporaryDirectory() as folder:
        report["scaling"] = s = scaling(args.triples // 2, Path(folder))
        print(
            f"processes: one {s['one_per_s']:.0f}, two {s['two_per_s']:.0f} triples/s: {s['ratio']:.2f} times; one "
            f"costs {1e3 * s['one_processor_s']:.1f} and {1e3 * s['two_processor_s']:.1f} ms of processor time"
        )
        if not args.no_loading:
            report["loading"] = r = loading(Path(folder) / "2")
            print(
                f"read: {r['mapped_per_s']:.0f} pairs/s per core mapped, {r['memory_per_s']:.0f} from memory, "
                f"so {r['share']:.2f}; decoding {r['pairs']} once took {r['decode_s']:.1f} s, then {r['open_s']:.2f} s"
            )
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0
