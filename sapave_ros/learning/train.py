"""Training in two stages: the backbone learns what things look like (`ground`), then, frozen, it is taught
where to look (`look`: camera adapter, spatial encoder, head decoder; stage 1 of the SaPaVe paper)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sapave_ros import g1
from sapave_ros.learning.data import Dataset, Field, load
from sapave_ros.learning.instructions import vocabulary
from sapave_ros.learning.model import CONFIGS, Config, SaPaVe, grounding_loss
from sapave_ros.policy.tokenizer import Tokenizer

STAGES = ("ground", "look")
LEARNING_RATE = {"ground": 2e-3, "look": 1.5e-3}
LAMBDA_GROUND = 0.3  # keeps the adapted backbone's grounding, which the operator sees, honest
REPEATS = 4
EMA_DECAY = 0.998
SAVE_EVERY_S = 60.0
WARM_UP_STEPS = 100


class Batches:
    """Endless shuffled batches as the network's inputs, augmented; their order depends on the seed and the step alone.

    Geometry is dropped in random subsets, so that the policy takes any. Arms and hands are somewhere at
    random, so that where to look does not depend on them. mirror: also left and right exchanged (only for
    grounding: the search goes around one way).
    """

    def __init__(self, data: Dataset, tokenizer: Tokenizer, batch: int, seed: int, mirror: bool, device: str = "cpu"):
        self.data, self.batch, self.seed, self.mirror, self.device = data, batch, seed, mirror, device
        self.words = np.stack([tokenizer.encode(text) for text in data.texts])

    def __call__(self, step: int) -> dict[str, Tensor]:
        d, random = self.data, np.random.default_rng([self.seed, step])
        pick = random.integers(len(d.texts), size=self.batch)
        image = d[Field.IMAGE][pick]
        present = random.random((self.batch, 3)) > 0.25
        present[random.random(self.batch) < 0.5] = True
        q = d[Field.JOINTS][image].copy()
        low, high = g1.OTHER.lower, g1.OTHER.upper
        elsewhere = random.random(self.batch) < 0.5
        q[elsewhere, len(g1.HEAD) :] = random.uniform(low, high, (int(elsewhere.sum()), len(low)))
        rgb = _light(d[Field.RGB][image], random)
        batch = {
            "rgb": rgb,
            "depth_m": d[Field.DEPTH][image].astype(np.float32),
            "intrinsics": d[Field.INTRINSICS][image],
            "camera_in_torso": d[Field.POSE][image],
            "present": present.astype(np.float32),
            "words": self.words[pick],
            "joint_positions": q,
            "chunk": d[Field.CHUNK][pick],
            "coverage": d[Field.COVERAGE][pick].astype(np.float32) / 255,
        }
        if self.mirror:
            flip = random.random(self.batch) < 0.5
            for name in ("rgb", "coverage"):
                batch[name][flip] = batch[name][flip][:, :, ::-1]
        return {name: torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for name, v in batch.items()}


def _light(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exposure and white balance of another camera, (B, H, W, 3) uint8."""
    n = len(rgb)
    gain = random.uniform(0.85, 1.15, (n, 1, 1, 1)) * random.uniform(0.95, 1.05, (n, 1, 1, 3))
    shift = random.uniform(-8, 8, (n, 1, 1, 1))
    return np.clip(rgb * gain.astype(np.float32) + shift.astype(np.float32), 0, 255).astype(np.uint8)


@dataclasses.dataclass
class Run:
    """One stage under way, all of it in its checkpoint: weights, averaged weights, optimiser, step, random state."""

    stage: str
    model: SaPaVe
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    path: Path
    step: int = 0

    def save(self, extra: dict[str, Any]) -> None:
        state = {
            "stage": self.stage,
            "step": self.step,
            "config": dataclasses.asdict(self.model.config),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            **extra,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def restore(self) -> None:
        state = torch.load(self.path, weights_only=True)
        if state["config"] != _plain(self.model.config):
            raise ValueError(f"config: {self.path} is of another configuration; use another --run or --fresh")
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]

    def average_step(self) -> None:
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if name in self.average:
                    self.average[name].lerp_(p, 1 - decay)


def _plain(config: Config) -> dict[str, Any]:
    return dataclasses.asdict(config)


def config_from(plain: dict[str, Any]) -> Config:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return Config(**values)


def _learning_rate(step: int, steps: int, peak: float) -> float:
    warm = min(1.0, (step + 1) / min(WARM_UP_STEPS, 1 + steps // 10))
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))


def evaluate(model: SaPaVe, batches: Batches, count: int = 4) -> dict[str, float]:
    """On data not trained on: loss of the grounding, share of named things found, error of the sampled chunk.

    mse_rad2: of the increments, the paper's measure. end_deg: mean angle between where the chunk ends and
    where it should.
    """
    model.eval()
    c = model.config
    total: dict[str, list[float]] = {"ground": [], "found": [], "mse_rad2": [], "end_deg": [], "end_deg_look": []}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for i in range(count):
            b = batches(10_000_000 + i)
            context, evidence = model.context(b)
            context, evidence = context.float(), evidence.float()
            total["ground"].append(grounding_loss(evidence, b["coverage"]).item())
            flat, shown = evidence.flatten(1), b["coverage"].flatten(1)
            visible = shown.sum(1) > 0
            hit = shown.gather(1, flat.argmax(1, keepdim=True))[:, 0] > 0
            says = flat.logsumexp(1) > 0
            total["found"].append(torch.where(visible, hit & says, ~says).float().mean().item())
            noise = torch.randn(b["chunk"].shape, generator=generator)
            zero = torch.zeros_like(noise)
            chunk = model.head_scale_rad * model.denoise(model.head_decoder, context, noise, zero, zero[..., 0])
            error = chunk - b["chunk"]
            total["mse_rad2"].append((error**2).mean().item())
            end = torch.rad2deg(error.sum(1).norm(dim=-1))
            total["end_deg"].append(end.mean().item())
            total["end_deg_look"].append(end[visible].mean().item())
    model.train()
    return {k: float(np.mean(v)) for k, v in total.items() if c is not None}


def train_stage(
    stage: str, run: Run, train: Batches, test: Batches, args: argparse.Namespace, extra: dict[str, Any]
) -> None:
    """Trains until args.<stage>_steps, saving every minute and at the end, and on Ctrl-C."""
    steps, model = getattr(args, f"{stage}_steps"), run.model
    model.train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    bar = tqdm(total=steps, initial=run.step, desc=stage, unit="step", mininterval=2.0, dynamic_ncols=True)
    saved_s = time.monotonic()
    log = (run.path.parent / f"{stage}.jsonl").open("a")
    try:
        while run.step < steps:
            b = train(run.step)
            for group in run.optimiser.param_groups:
                group["lr"] = _learning_rate(run.step, steps, args.lr or LEARNING_RATE[stage])
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                if stage == "ground":
                    _, evidence = model.backbone(b["rgb"], b["words"])
                    loss = grounding_loss(evidence.float(), b["coverage"])
                    parts = {"ground": loss}
                else:
                    context, evidence = model.context(b)
                    ground = grounding_loss(evidence.float(), b["coverage"])
                    flow = model.flow_loss(model.head_decoder, context, b["chunk"] / model.head_scale_rad, REPEATS)
                    loss = flow + LAMBDA_GROUND * ground
                    parts = {"flow": flow, "ground": ground}
            run.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            run.optimiser.step()
            run.step += 1
            run.average_step()
            bar.update()
            if run.step % 20 == 0:
                bar.set_postfix({k: f"{v.item():.4f}" for k, v in parts.items()})
            if run.step % args.evaluate_every == 0 or run.step == steps:
                with _Averaged(run):
                    scores = evaluate(model, test)
                record = {"step": run.step, **{k: round(v, 6) for k, v in scores.items()}}
                log.write(json.dumps(record) + "\n")
                log.flush()
                tqdm.write(f"{stage} {record}")
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                run.save(extra)
                saved_s = time.monotonic()
    finally:
        run.save(extra)
        log.close()
        bar.close()


class _Averaged:
    """The model with its averaged weights, inside a `with`."""

    def __init__(self, run: Run):
        self.run = run

    def __enter__(self) -> None:
        self.kept = {n: p.detach().clone() for n, p in self.run.model.named_parameters() if n in self.run.average}
        load_parameters(self.run.model, self.run.average)

    def __exit__(self, *_: object) -> None:
        load_parameters(self.run.model, self.kept)


def load_parameters(model: SaPaVe, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in values:
                p.copy_(values[name])


def _start(stage: str, model: SaPaVe, run_dir: Path, args: argparse.Namespace) -> Run:
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if stage == "ground":
        trainable = {n: p for n, p in trainable.items() if n.startswith("backbone.")}
    else:
        trainable = {n: p for n, p in trainable.items() if not n.startswith("other_decoder.")}
    for n, p in model.named_parameters():
        p.requires_grad_(n in trainable)
    optimiser = torch.optim.AdamW(trainable.values(), weight_decay=0.01, betas=(0.9, 0.98))
    average = {n: p.detach().clone() for n, p in trainable.items()}
    run = Run(stage, model, average, optimiser, run_dir / f"{stage}.pt")
    if run.path.exists():
        run.restore()
    return run


def load_look(run_dir: Path) -> tuple[SaPaVe, dict[str, Any]]:
    """The model of a training run with its averaged weights, and the checkpoint. FileNotFoundError if there is none."""
    path = run_dir / "look.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: train the stage `look` first")
    checkpoint = torch.load(path, weights_only=True)
    model = SaPaVe(config_from(checkpoint["config"]))
    model.freeze_backbone()
    model.load_state_dict(checkpoint["model"])
    load_parameters(model, checkpoint["average"])
    return model, checkpoint


def _commit() -> str:
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", choices=sorted(CONFIGS), default="nano")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[Path("out/data/look")], help="folders made by `sapave data`"
    )
    parser.add_argument(
        "--run-dir", "--run", dest="run_dir", type=Path, default=Path("out/runs/nano"), help="checkpoints and logs"
    )
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--ground-steps", type=int, default=7200)
    parser.add_argument("--look-steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, help=f"peak learning rate (default: {LEARNING_RATE})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    parser.add_argument("--fresh", action="store_true", help="start over instead of resuming")


def run(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    words = vocabulary()
    config = dataclasses.replace(CONFIGS[args.config], vocabulary_size=len(words) + 2)
    tokenizer = Tokenizer(words, config.max_words)
    train_data, test_data = load(args.data, config.image_size)
    print(f"{len(train_data.texts)} pairs to train on, {len(test_data.texts)} to test on")
    args.run_dir.mkdir(parents=True, exist_ok=True)
    if args.fresh:
        for stage in STAGES:
            (args.run_dir / f"{stage}.pt").unlink(missing_ok=True)
    model = SaPaVe(config)
    extra = {
        "vocabulary": list(words),
        "head_bound_rad": np.abs(train_data[Field.CHUNK]).max(axis=(0, 1)).astype(float).round(5).tolist(),
        "training": {
            "seed": args.seed,
            "commit": _commit(),
            "pairs": len(train_data.texts),
            "data": [str(p) for p in args.data],
            "ground_steps": args.ground_steps,
            "look_steps": args.look_steps,
            "batch": args.batch,
        },
    }
    for stage in _stages(args.stage):
        if stage == "look":
            ground = args.run_dir / "ground.pt"
            if not ground.exists():
                raise FileNotFoundError(f"{ground} is not there: train the stage `ground` first")
            load_parameters(model, torch.load(ground, weights_only=True)["average"])
            model.freeze_backbone()
        train = Batches(train_data, tokenizer, args.batch, args.seed, mirror=stage == "ground")
        test = Batches(test_data, tokenizer, 64, args.seed + 1, mirror=False)
        train_stage(stage, _start(stage, model, args.run_dir, args), train, test, args, extra)
    return 0


def _stages(name: str) -> Iterator[str]:
    return iter(STAGES if name == "all" else (name,))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
