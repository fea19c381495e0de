"""The network: any subset of geometry, a frozen backbone, independent decoders, chunks that continue."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from sapave_ros.learning import export  # noqa: E402
from sapave_ros.learning.model import CONFIGS, SaPaVe, grounding_loss  # noqa: E402


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SaPaVe(CONFIGS["debug"]).eval()


def inputs(seed: int = 0, batch: int = 1) -> dict:
    one = export.example_inputs(CONFIGS["debug"], seed)
    return {k: v.repeat(batch, *[1] * (v.dim() - 1)) for k, v in one.items()}


def plain(b: dict) -> dict:
    return b | {name: torch.zeros_like(b[name]) for name in ("weight_head", "weight_other")}


def test_every_configuration_is_whole():
    for name, c in CONFIGS.items():
        assert c.chunk_steps == 16, name
        assert c.image_size[0] % 8 == 0
        assert c.image_size[1] % 8 == 0


@pytest.mark.parametrize("present", list(itertools.product([0.0, 1.0], repeat=3)))
def test_absent_geometry_does_not_matter(model, present):
    """What is flagged absent may hold anything: the output stays the same and finite."""
    one, other = inputs(1), inputs(1)
    for b in (one, other):
        b["present"] = torch.tensor([present])
    for flag, name in zip(present, ("depth_m", "intrinsics", "camera_in_torso"), strict=True):
        if not flag:
            other[name] = other[name] * 1.7 + 0.3
    with torch.no_grad():
        for a, b in zip(model(one), model(other), strict=True):
            assert torch.isfinite(a).all()
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["depth_m", "intrinsics", "camera_in_torso"])
def test_present_geometry_matters(model, name):
    one, other = inputs(1), inputs(1)
    other[name] = other[name] * 1.3
    with torch.no_grad():
        assert (model(one)[0] - model(other)[0]).abs().max() > 1e-7


def test_weight_one_keeps_the_previous_chunk_and_weight_zero_ignores_it(model):
    b = inputs(2)
    b["weight_head"] = torch.cat([torch.ones(1, 8), torch.zeros(1, 8)], dim=1)
    with torch.no_grad():
        kept = model(b)[0]
        free = model(plain(b))[0]
        another = model(plain(b | {"previous_head": b["previous_head"] + 1}))[0]
    assert torch.equal(free, another)
    error_kept = (kept - b["previous_head"])[:, :8].abs().mean()
    error_free = (free - b["previous_head"])[:, :8].abs().mean()
    assert error_kept < 0.2 * error_free  # 1 - g / steps = 0.15 in the last step


def test_decoders_are_decoupled(model):
    """What one head starts from or continues does not reach the other."""
    b = inputs(3)
    with torch.no_grad():
        head, other, _ = model(b)
        head_2, other_2, _ = model(b | {"noise_other": b["noise_other"] + 1, "previous_other": b["previous_other"] + 1})
        head_3, other_3, _ = model(b | {"noise_head": b["noise_head"] + 1, "weight_head": b["weight_head"] * 0})
    assert torch.equal(head, head_2)
    assert not torch.equal(other, other_2)
    assert torch.equal(other, other_3)
    assert not torch.equal(head, head_3)


def test_adapter_starts_as_the_backbone_itself_and_only_it_trains():
    torch.manual_seed(1)
    model = SaPaVe(CONFIGS["debug"]).eval()
    b = inputs(4)
    with torch.no_grad():
        before = model(b)
    model.freeze_backbone()
    with torch.no_grad():
        for a, c in zip(before, model(b), strict=True):
            torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-5)
    trainable = [n for n, p in model.backbone.named_parameters() if p.requires_grad]
    assert trainable
    assert all(n.endswith(("down.weight", "up.weight")) for n in trainable)


def test_folded_adapter_is_the_same_function():
    torch.manual_seed(2)
    model = SaPaVe(CONFIGS["debug"]).eval()
    model.freeze_backbone()
    for p in model.backbone.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    b = inputs(5)
    with torch.no_grad():
        before = model(b)
        export.fold_adapter(model)
        after = model(b)
    assert not any("down" in n and "up" in n for n, _ in model.backbone.named_parameters())
    for a, c in zip(before, after, strict=True):
        torch.testing.assert_close(a, c, atol=1e-5, rtol=1e-4)


def test_flow_loss_shares_a_context_between_its_repeats(model):
    """R chunks in one call see what each would see alone."""
    b = inputs(6, batch=2)
    b["joint_positions"][1] += 0.2
    context, _ = model.context(b)
    decoder = model.head_decoder
    x, t = torch.randn(6, 16, 2), torch.rand(6)
    with torch.no_grad():
        together = decoder(x, t, decoder.memories(context))
        alone = torch.cat(
            [decoder(x[i : i + 1], t[i : i + 1], decoder.memories(context[i // 3 : i // 3 + 1])) for i in range(6)]
        )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_grounding_loss_is_least_where_the_thing_is():
    coverage = torch.zeros(2, 3, 4)
    coverage[0, 1, 2] = 0.7  # the second picture does not show it
    right = torch.full((2, 3, 4), -6.0)
    right[0, 1, 2] = 6.0
    wrong = torch.full((2, 3, 4), -6.0)
    wrong[1, 1, 2] = 6.0
    assert grounding_loss(right, coverage) < 0.1 < 5 < grounding_loss(wrong, coverage)
