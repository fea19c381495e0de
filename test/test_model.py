"""The network: any subset of geometry, a frozen backbone, independent decoders, chunks that continue."""

from __future__ import annotations

import itertools
import json

import pytest

torch = pytest.importorskip("torch")

from sapave_ros.learning import export  # noqa: E402
from sapave_ros.learning.config import CONFIGS, GEOMETRY, config_from, config_named  # noqa: E402
from sapave_ros.learning.config import plain as plain_config  # noqa: E402
from sapave_ros.learning.model import SaPaVe, grounding_loss  # noqa: E402
from sapave_ros.learning.training.objectives import Ground, Look  # noqa: E402


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SaPaVe(CONFIGS["debug"]).eval()


def inputs(seed: int = 0, batch: int = 1) -> dict:
    one = export.example_inputs(CONFIGS["debug"], seed)
    return {k: v.repeat(batch, *[1] * (v.dim() - 1)) for k, v in one.items()}


def plain(b: dict) -> dict:
    return b | {name: torch.zeros_like(b[name]) for name in ("weight_head", "weight_other")}


def small(name: str) -> dict[str, str]:
    """What makes an ablation of the nano as small as the debug configuration."""
    debug = CONFIGS["debug"]
    fields = ("text_width", "text_layers", "summaries", "relation_layers", "d", "decoder_layers", "adapter_rank")
    sizes = {f: str(getattr(debug, f)) for f in fields}
    return sizes | {f: ",".join(map(str, getattr(debug, f))) for f in ("widths", "blocks")}


def test_every_configuration_is_whole():
    for name, c in CONFIGS.items():
        assert c.name == name
        assert config_from(json.loads(json.dumps(plain_config(c)))) == c
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
    model.begin_look()
    with torch.no_grad():
        for a, c in zip(before, model(b), strict=True):
            torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-5)
    trainable = [n for n, p in model.backbone.named_parameters() if p.requires_grad]
    assert trainable
    assert all(n.endswith(("down.weight", "up.weight")) for n in trainable)


def test_folded_adapter_is_the_same_function():
    torch.manual_seed(2)
    model = SaPaVe(CONFIGS["debug"]).eval()
    model.begin_look()
    for p in model.backbone.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    b = inputs(5)
    with torch.no_grad():
        before = model(b)
        model.backbone.fold()
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


def test_errors_that_add_up_count_for_more(model, monkeypatch):
    """Increments that are all a little off the same way end far off; those that are now above, now below do not."""
    chunk, context = torch.zeros(3, 16, 2), torch.zeros(3, 1, model.config.d)
    scale = float(model.head_scale_rad[0])
    drift = torch.full((6, 16, 2), 0.05)
    sway = drift * torch.tensor([1.0, -1.0]).repeat(8)[:, None]
    found = {}
    for name, error in (("none", 0 * drift), ("drift", drift), ("sway", sway)):
        monkeypatch.setattr(
            model.head_decoder, "forward", lambda x, t, memories, told, e=error: chunk.repeat(2, 1, 1) + e
        )
        found[name] = [v.item() for v in model.head_loss(context, chunk * scale, 2)]
    assert found["none"] == [0.0, 0.0]
    assert found["drift"][0] == pytest.approx(found["sway"][0])
    assert found["drift"][1] > 10 * found["sway"][1] > 0


def test_what_is_near_the_middle_weighs_more_and_nothing_else_does():
    heavy = Look(SaPaVe(config_named("debug", {"near_weight": "1000"})))
    coverage = torch.zeros(3, 12, 20)
    coverage[:2, 6, 10] = 1.0  # the third shows nothing
    chunk = torch.zeros(3, 16, 2)
    chunk[1] = 0.05  # 46 degrees away
    batch = inputs(batch=3) | {"chunk": chunk, "coverage": coverage}
    told = {n: v for n, v in batch.items() if n not in ("chunk", "coverage")}
    evidence = heavy.model.context(told)[1]
    each = [grounding_loss(evidence[i : i + 1], coverage[i : i + 1]).item() for i in range(3)]
    assert heavy(batch)["ground"].item() == pytest.approx((1000 * each[0] + each[1] + each[2]) / 1002, rel=1e-4)


def test_training_begins_where_the_policy_does():
    """One of the repeats of every sample starts from no noise, the others from some."""
    model, seen = SaPaVe(CONFIGS["debug"]), []

    class Seen(torch.nn.Module):
        def memories(self, context):
            return []

        def forward(self, x, t, memories, told):
            seen.append((x, t))
            return x

    model.flow_losses(Seen(), torch.zeros(5, 1, 32), torch.ones(5, 16, 2), repeats=4)
    ((x, t),) = seen
    begins = (x == 0).flatten(1).all(1)
    assert begins.tolist() == [True, False, False, False] * 5 and not t[begins].any() and t[~begins].all()


def test_a_sample_that_weighs_twice_counts_as_two():
    config = config_named("debug")
    model, batch = SaPaVe(config).eval(), inputs(batch=3)
    context = model.context(batch)[0].detach()
    chunk = torch.stack([torch.full((config.chunk_steps, 2), 0.01 * i) for i in range(3)])
    coverage = torch.rand(3, *config.grid)
    evidence = torch.randn(3, *config.grid)
    for rows, weight in (([0, 1, 2], [0.0, 1.0, 0.0]), ([0, 1, 2], [2.0, 1.0, 0.0]), ([0, 2], [1.0, 1.0])):
        each = torch.stack([grounding_loss(evidence[i : i + 1], coverage[i : i + 1]) for i in rows])
        share = torch.tensor(weight)
        assert torch.allclose(grounding_loss(evidence[rows], coverage[rows], share), (each * share).sum() / share.sum())
    losses = []
    for weight in (torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 5.0, 0.0]), torch.tensor([5.0, 1.0, 0.0])):
        torch.manual_seed(0)
        losses.append(torch.stack(model.head_loss(context, chunk, 2, weight)))
    assert torch.allclose(losses[0], losses[1])
    assert not torch.allclose(losses[0], losses[2])


def test_grounding_loss_is_least_where_the_thing_is():
    coverage = torch.zeros(2, 3, 4)
    coverage[0, 1, 2] = 0.7  # the second picture does not show it
    right = torch.full((2, 3, 4), -6.0)
    right[0, 1, 2] = 6.0
    wrong = torch.full((2, 3, 4), -6.0)
    wrong[1, 1, 2] = 6.0
    assert grounding_loss(right, coverage) < 0.1 < 5 < grounding_loss(wrong, coverage)


def test_a_larger_configuration_is_larger():
    sizes = [sum(p.numel() for p in SaPaVe(CONFIGS[name]).parameters()) for name in ("debug", "nano", "small")]
    assert 10 * sizes[0] < 2 * sizes[1] < sizes[2], sizes


ABLATIONS = [name for name, c in CONFIGS.items() if name.startswith("nano-")]


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_act_and_learn_like_any_other(name):
    torch.manual_seed(0)
    ablated = SaPaVe(config_named(name, small(name)))
    ablated.begin_look()
    look = Look(ablated)
    b = inputs(7, batch=2) | {"chunk": torch.zeros(2, 16, 2), "coverage": torch.zeros(2, 12, 20)}
    with torch.no_grad():
        head, other, grounding = ablated.eval()(inputs(7))
    assert (head.shape, other.shape, grounding.shape) == ((1, 16, 2), (1, 16, 26), (1, 12, 20))
    look(b)["loss"].backward()
    for _, parameters in look.groups():
        without = [n for n, p in parameters.items() if p.grad is None]
        assert not without, without


def test_ablations_are_what_they_say():
    models = {name: SaPaVe(config_named(name, small(name))) for name in ABLATIONS}
    for model in models.values():
        model.begin_look()
    free = [p.requires_grad for p in models["nano-no-adapter"].backbone.parameters()]
    assert all(free)
    assert not any("down" in n for n, _ in models["nano-no-adapter"].named_parameters() if n.endswith("down.weight"))
    assert models["nano-no-spatial"].spatial is None
    assert not hasattr(models["nano-shared-head"], "head_decoder")
    assert models["nano-shared-head"].shared_decoder.out.out_features == 28


def test_a_shared_decoder_learns_the_head_and_that_the_others_rest():
    config = config_named("debug", {"decoupled": "false"})
    model, batch = SaPaVe(config), inputs()
    chunk = torch.full((1, config.chunk_steps, 2), 0.1)
    flow, position = model.head_loss(model.context(batch)[0], chunk, 1)
    (flow + position).backward()
    assert (model.shared_decoder.out.weight.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize(("name", "seen"), [(n, s) for n, s in GEOMETRY.items() if n not in ("any", "all")])
def test_geometry_in_part_is_all_that_the_network_looks_at(name, seen):
    torch.manual_seed(0)
    partial = SaPaVe(config_named(f"nano-geometry-{name}", small(name))).eval()
    one = inputs(1)
    for looked_at, field in zip(seen, ("depth_m", "intrinsics", "camera_in_torso"), strict=True):
        with torch.no_grad():
            change = (partial(one)[0] - partial(one | {field: one[field] * 1.3})[0]).abs().max()
        # The camera's axes and place alone say something; depth or intrinsics may need each other to be seen.
        assert change > 1e-7 if looked_at else change == 0, field


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("nanno", {}, "did you mean nano"),
        ("nano", {"adaptor_rank": "4"}, "did you mean adapter_rank"),
        ("nano", {"geometry": "dept"}, "did you mean depth"),
        ("nano", {"tuning": "ful"}, "did you mean full"),
        ("nano", {"adapter_rank": "many"}, "expected int"),
        ("nano", {"spatial": "maybe"}, "expected true or false"),
        ("nano", {"image_size": "97,160"}, "multiples of 16"),
        ("nano", {"adapter_rank": "0"}, "tuning=frozen"),
    ],
)
def test_a_typo_is_told_what_was_meant(name, changes, says):
    with pytest.raises(ValueError, match=says):
        config_named(name, changes)


def test_an_unknown_backbone_is_told_what_was_meant():
    with pytest.raises(ValueError, match="did you mean film_cnn"):
        SaPaVe(config_named("debug", {"backbone": "film_cn"}))


def test_fields_change_by_their_text():
    c = config_named("debug", {"adapter_rank": "4", "widths": "8,8,16,32", "spatial": "False", "beta": "2.5"})
    assert (c.adapter_rank, c.widths, c.spatial, c.beta) == (4, (8, 8, 16, 32), False, 2.5)


def test_the_order_of_words_matters_and_padding_does_not(model):
    backbone = model.backbone
    words = torch.zeros(3, 20, dtype=torch.int64)
    words[0, :5] = torch.tensor([2, 3, 4, 5, 6])
    words[1, :5] = torch.tensor([2, 5, 4, 3, 6])
    words[2, :5] = torch.tensor([2, 3, 4, 5, 6])
    with torch.no_grad():
        one, swapped, again = backbone.describe(words)
        alone = backbone.describe(words[:1, :5].new_tensor([[2, 3, 4, 5, 6] + [0] * 15]))[0]
    assert (one - swapped).abs().max() > 1e-3
    torch.testing.assert_close(one, again)
    torch.testing.assert_close(one, alone)


def test_a_far_patch_reaches_every_other(model):
    """What is left of what is settled between patches: each has to hear of the others."""
    b = inputs(8)
    changed = b["rgb"].clone()
    changed[:, -16:, -16:] = 255 - changed[:, -16:, -16:]
    with torch.no_grad():
        before, after = (model.backbone(rgb, b["words"])[1] for rgb in (b["rgb"], changed))
        sight = [model.backbone.perceive(rgb, b["words"])[2].unflatten(1, (12, 20)) for rgb in (b["rgb"], changed)]
    assert (before - after)[0, 0, 0].abs() > 0
    assert torch.equal(sight[0][0, 0, 0], sight[1][0, 0, 0])  # the eye alone does not reach so far


def things() -> dict:
    """Two pictures, three things each, the last of the second not there."""
    coverage = torch.zeros(2, 3, 12, 20)
    for i in range(2):
        for j in range(3 - i):
            coverage[i, j, 2 + 3 * j : 4 + 3 * j, 5 * j : 5 * j + 2] = 0.8
    colour = torch.tensor([[0, 1, 2], [3, 4, -1]])
    captions = torch.zeros(2, 3, 20, dtype=torch.int64)
    captions[..., 0], captions[..., 1] = colour + 2, 9
    captions[1, 2] = 0
    return {"item_coverage": coverage, "item_colour": colour, "item_kind": colour + 5, "captions": captions}


def test_readout_learns_what_things_are_and_are_called():
    torch.manual_seed(0)
    ground = Ground(SaPaVe(CONFIGS["debug"]))
    b = inputs(9, batch=2) | things()
    b |= {"coverage": b["item_coverage"][:, 0], "direction": torch.tensor([-1, 3])}
    optimiser = torch.optim.Adam(ground.parameters(), 5e-3)
    first = last = None
    for _ in range(60):
        last = ground(b)
        first = first or {k: v.item() for k, v in last.items()}
        optimiser.zero_grad()
        last["loss"].backward()
        optimiser.step()
    assert set(last) == {"loss", "ground", "colour", "kind", "caption", "direction"}
    for name in ("ground", "colour", "kind", "caption", "direction"):
        assert last[name].item() < 0.5 * first[name], name


def test_readout_leaves_out_what_it_is_not_told():
    torch.manual_seed(0)
    ground = Ground(SaPaVe(CONFIGS["debug"])).eval()
    b = inputs(9, batch=2) | {"coverage": torch.zeros(2, 12, 20)}
    assert set(ground(b)) == {"loss", "ground"}
    everything = b | things()
    unknown = everything | {"item_colour": torch.full((2, 3), -1)}
    nobody = everything | {"item_coverage": torch.zeros(2, 3, 12, 20)}
    with torch.no_grad():
        assert ground(unknown)["colour"] == 0
        for value in ground(nobody).values():
            assert torch.isfinite(value)
        assert ground(nobody)["caption"] == 0
        assert ground(everything | {"direction": torch.tensor([-1, -1])})["direction"] == 0
        silent = Ground(SaPaVe(config_named("debug", {"caption_weight": "0", "attribute_weight": "0"})))
        assert set(silent(everything)) == {"loss", "ground"}


def test_captions_of_the_same_thing_are_equally_right():
    """Two pictures of a red mug: their descriptions may be exchanged."""
    torch.manual_seed(0)
    ground = Ground(SaPaVe(CONFIGS["debug"])).eval()
    b = things()
    for name in ("item_colour", "item_kind", "captions"):
        b[name][1, 0] = b[name][0, 0]
    sight = torch.randn(2, 240, 24)
    swapped = sight.clone()
    at = b["item_coverage"][0, 0].flatten() > 0
    swapped[0, at], swapped[1, at] = sight[1, at], sight[0, at]
    with torch.no_grad():
        one, two = (ground.readout.caption_loss(s, b, ground.model.backbone) for s in (sight, swapped))
    torch.testing.assert_close(one, two)
