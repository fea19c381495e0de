"""Batches as the network's inputs: a function of the step, and a thread that has them ready."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sapave_ros import g1
from sapave_ros.learning.dataset import Dataset, Field
from sapave_ros.learning.language import DIRECTIONS
from sapave_ros.policy.tokenizer import PAD, UNKNOWN, Tokenizer


class Source(Protocol):
    """Where batches come from. The batch depends on the step alone, so that a run can be taken up anywhere.

    Always there: rgb (P, H, W, 3) uint8, depth_m (B, H/2, W/2), intrinsics (B, 3, 3), camera_in_torso (B, 4, 4),
    present (B, 3), words (B, L) int64, joint_positions (B, 28), chunk (B, k, 2) [rad], coverage (B, h, w) in 0..1.

    Optional: picture (B,) int64, ascending, the row of `rgb` that each is about, where several are about one; of up to
    n things in a picture, item_coverage (P, n, h, w) in 0..1, item_colour, item_kind, item_size (P, n) int64 with -1
    for unknown, and captions (P, n, L) int64 with zeros for none; and direction (B,) int64, which of
    `language.DIRECTIONS` the instruction tells, -1 for none.
    """

    def __call__(self, step: int) -> dict[str, Tensor]: ...


class Batches:
    """Endless shuffled batches of a data set, augmented; their order depends on the seed and the step alone.

    Geometry is dropped in random subsets, so that the policy takes any. Arms and hands are somewhere at
    random, so that where to look does not depend on them. per_picture: so many pairs of a batch share a picture, which
    is then looked at once. nothing: share of pairs whose instruction is taken away: there is nothing to see and nothing
    to do. mirrored: share of pictures seen in a mirror, in which left is right in the words too. A search begins on one
    side, so who learns to search sees none. unknown: share of instructions with words that nobody knows, in place of
    some of the carriers (words by which nothing is told) and among the others: people say more than a grammar does.
    """

    def __init__(
        self,
        data: Dataset,
        tokenizer: Tokenizer,
        batch: int,
        seed: int,
        per_picture: int = 1,
        nothing: float = 0.0,
        mirrored: float = 0.0,
        unknown: float = 0.0,
        carriers: Collection[str] = (),
    ):
        if batch % per_picture:
            raise ValueError(f"batch: {batch}, expected a multiple of {per_picture}, the pairs that share a picture")
        self.data, self.batch, self.seed, self.per_picture = data, batch, seed, per_picture
        self.nothing, self.mirrored, self.unknown = nothing, mirrored, unknown
        self._carriers = [tokenizer.id(word) for word in carriers]
        self._sides = tokenizer.id("left"), tokenizer.id("right")
        self._by_picture = np.argsort(data[Field.IMAGE], kind="stable")  # pairs, those of a picture together
        self._count = np.bincount(data[Field.IMAGE], minlength=len(data[Field.RGB]))
        self._first = np.cumsum(self._count) - self._count
        self.words = _encoded(tokenizer, data.texts)
        if data.things:
            captions = data.things.captions
            encoded = _encoded(tokenizer, captions.ravel().tolist()).astype(np.int16)
            self.captions = encoded.reshape(*captions.shape, -1)  # (n, m, L)

    def __call__(self, step: int) -> dict[str, Tensor]:
        d, random = self.data, np.random.default_rng([self.seed, step])
        # Pictures as often as they have pairs, then pairs of each.
        shown = d[Field.IMAGE][random.integers(len(self.words), size=self.batch // self.per_picture)]
        picture = np.repeat(np.arange(len(shown)), self.per_picture)
        image = shown[picture]
        # Different pairs of a picture, as far as it has so many.
        nth = np.tile(np.arange(self.per_picture), len(shown)) + np.repeat(
            random.integers(self._count[shown]), self.per_picture
        )
        pick = self._by_picture[self._first[image] + nth % self._count[image]]
        present = random.random((self.batch, 3)) > 0.25
        present[random.random(self.batch) < 0.5] = True
        q = d[Field.JOINTS][image].copy()
        low, high = g1.OTHER.lower, g1.OTHER.upper
        elsewhere = random.random(self.batch) < 0.5
        q[elsewhere, len(g1.HEAD) :] = random.uniform(low, high, (int(elsewhere.sum()), len(low)))
        rgb = light(d[Field.RGB][shown], random)
        batch = {
            "rgb": rgb,
            "picture": picture,
            "depth_m": d[Field.DEPTH][image].astype(np.float32),
            "intrinsics": d[Field.INTRINSICS][image],
            "camera_in_torso": d[Field.POSE][image],
            "present": present.astype(np.float32),
            "words": self.words[pick],
            "joint_positions": q,
            "chunk": d[Field.CHUNK][pick],
            "coverage": d[Field.COVERAGE][pick].astype(np.float32) / 255,
        }
        if things := self.data.things:
            batch["item_coverage"] = things.coverage(shown)
            for name in ("kind", "colour", "size"):
                batch[f"item_{name}"] = getattr(things, name)[shown]
            batch["captions"] = self.captions[shown].astype(np.int64)
        if (directions := self.data.directions) is not None:
            batch["direction"] = directions[pick]
        if self.mirrored:
            self._mirror(batch, random.random(len(shown)) < self.mirrored, random)
        if self.unknown:
            rows = random.random(self.batch) < self.unknown
            batch["words"][rows] = self._with_unknown(batch["words"][rows], random)
        if self.nothing:
            nothing = random.random(self.batch) < self.nothing
            for name in ("words", "chunk", "coverage"):
                batch[name][nothing] = 0
            if "direction" in batch:
                batch["direction"][nothing] = -1
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in batch.items()}

    def _mirror(self, batch: dict[str, np.ndarray], which: np.ndarray, random: np.random.Generator) -> None:
        """Exchanges left and right, in place, where `which` (P,) says so. Arms are then anywhere at random."""
        pairs = which[batch["picture"]]
        for name, rows, axis in _WIDTHS:
            if name in batch:
                own = which if rows == "pictures" else pairs
                batch[name][own] = np.flip(batch[name][own], axis)
        for name, own in (("words", pairs), ("captions", which)):
            if name in batch:
                batch[name][own] = self._other_side(batch[name][own])
        if "direction" in batch:
            batch["direction"][pairs] = _OTHER_DIRECTION[batch["direction"][pairs]]
        batch["intrinsics"][pairs, 0, 2] = batch["rgb"].shape[2] - 1 - batch["intrinsics"][pairs, 0, 2]
        batch["camera_in_torso"][pairs] = MIRROR_TORSO @ batch["camera_in_torso"][pairs] @ MIRROR_CAMERA
        yaw = g1.HEAD.names.index("head_yaw_joint")
        batch["chunk"][pairs, :, yaw] *= -1
        batch["joint_positions"][pairs, yaw] *= -1
        low, high = g1.OTHER.lower, g1.OTHER.upper
        batch["joint_positions"][pairs, len(g1.HEAD) :] = random.uniform(low, high, (int(pairs.sum()), len(low)))

    def _with_unknown(self, words: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Instructions (n, L) in which half of the carriers are unknown, and up to two unknown words come besides."""
        lost = np.isin(words, self._carriers) & (random.random(words.shape) < 0.5)
        length = (words != PAD).sum(1, keepdims=True)
        at = random.uniform(-1, length, (len(words), 2))  # behind the word of that number
        at[(random.random(at.shape) < 0.5) | (length + 2 > words.shape[1])] = np.inf
        order = np.argsort(np.hstack([np.broadcast_to(np.arange(words.shape[1]), words.shape), at]), 1, kind="stable")
        longer = np.pad(np.where(lost, UNKNOWN, words), ((0, 0), (0, 2)), constant_values=UNKNOWN)
        return np.take_along_axis(longer, order, 1)[:, : words.shape[1]]

    def _other_side(self, words: np.ndarray) -> np.ndarray:
        left, right = self._sides
        return np.select([words == left, words == right], [right, left], words)


_SIDES = {"left": "right", "right": "left"}
_OTHER_DIRECTION = np.array(
    [*(list(DIRECTIONS).index(" ".join(_SIDES.get(w, w) for w in name.split())) for name in DIRECTIONS), -1]
)
"""Number of the direction that each is in a mirror; the last for none, -1."""

_WIDTHS = (("rgb", "pictures", 2), ("item_coverage", "pictures", 3), ("depth_m", "pairs", 2), ("coverage", "pairs", 2))
"""What has a width: of pictures or of pairs, and the axis."""

MIRROR_TORSO = np.diag((1.0, -1.0, 1.0, 1.0)).astype(np.float32)  # y points to the left
MIRROR_CAMERA = np.diag((-1.0, 1.0, 1.0, 1.0)).astype(np.float32)  # x points to the right


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Numbers of words (n, L); no words for an empty text."""
    known = {text: tokenizer.encode(text) for text in set(texts)}
    return np.stack([known[text] for text in texts])


def light(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exposure and white balance of another camera, (B, H, W, 3) uint8. A new array."""
    n = len(rgb)
    gain = random.uniform(0.85, 1.15, (n, 1, 1)) * random.uniform(0.95, 1.05, (n, 1, 3))
    shift = random.uniform(-8, 8, (n, 1, 1))
    level = np.arange(256)[:, None]
    table = np.clip(level * gain + shift, 0, 255).astype(np.uint8)  # (B, 256, 3)
    out = np.empty_like(rgb)
    for i in range(n):  # one picture at a time stays in the cache
        for channel in range(3):
            np.take(table[i, :, channel], rgb[i, ..., channel], out=out[i, ..., channel])
    return out


class Prefetch:
    """Makes the batches of coming steps in a thread while the network learns from the last one.

    source is asked for `number(step)` with step counting up from `first`; its errors reach whoever takes the batch.
    """

    def __init__(self, source: Source, first: int, number: Any = int, device: str = "cpu", ahead: int = 2):
        self._source, self._number, self._device = source, number, torch.device(device)
        self._ready: queue.Queue[dict[str, Tensor] | BaseException] = queue.Queue(ahead)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._make, args=(first,), name="batches", daemon=True)
        self._thread.start()

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        while not self._ready.empty():  # the thread may be waiting for room
            self._ready.get_nowait()
        self._thread.join()

    def take(self) -> dict[str, Tensor]:
        """The next batch, on the device."""
        batch = self._ready.get()
        if isinstance(batch, BaseException):
            raise batch
        return {name: value.to(self._device, non_blocking=True) for name, value in batch.items()}

    def _make(self, step: int) -> None:
        while not self._closing.is_set():
            try:
                made: dict[str, Tensor] | BaseException = self._source(self._number(step))
                if self._device.type == "cuda" and not isinstance(made, BaseException):
                    made = {name: value.pin_memory() for name, value in made.items()}
            except BaseException as error:
                made = error
            while not self._closing.is_set():
                try:
                    self._ready.put(made, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(made, BaseException):
                return
            step += 1
