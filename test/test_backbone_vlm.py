"""Pretrained vision-language models as the backbone: tiny ones with random weights, made here, of four families."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("tokenizers")

import onnxruntime  # noqa: E402
from PIL import Image  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

from sapave_ros.learning import export  # noqa: E402
from sapave_ros.learning.config import config_named  # noqa: E402
from sapave_ros.learning.model import SaPaVe  # noqa: E402
from sapave_ros.learning.training.objectives import Ground, Look  # noqa: E402
from sapave_ros.learning.training.run import load_kept  # noqa: E402

WORDS = ("look", "at", "the", "red", "mug", "left", "of", "box")
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
SPECIAL += ("<|video_pad|>", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>", "<end_of_utterance>")
IDS = {word: i for i, word in enumerate((*SPECIAL, *WORDS, "thing", "mu", "##g"))}
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


SIZE = (96, 160)


def tokenizer():
    inner = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[4:])})
    return made


def llava():
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=48, patch_size=8
    )
    c = transformers.LlavaConfig(
        vision_config=vision,
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IDS["<image>"],
        vision_feature_layer=-1,
    )
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    return transformers.LlavaModel(c), images


def qwen2_vl():
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8}
    c = transformers.Qwen2VLConfig(
        text_config=TEXT | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
        vision_config=vision | {"spatial_merge_size": 2, "temporal_patch_size": 2},
        image_token_id=IDS["<|image_pad|>"],
        video_token_id=IDS["<|video_pad|>"],
        vision_start_token_id=IDS["<|vision_start|>"],
        vision_end_token_id=IDS["<|vision_end|>"],
    )
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=8, size={"shortest_edge": 64, "longest_edge": SIZE[0] * SIZE[1]}
    )
    return transformers.Qwen2VLModel(c), images


def paligemma():
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    c = transformers.PaliGemmaConfig(
        vision_config=vision | {"model_type": "siglip_vision_model", "image_size": 48, "patch_size": 8},
        text_config=TEXT | {"model_type": "gemma", "head_dim": 16},
        image_token_index=IDS["<image>"],
        projection_dim=32,
        hidden_size=32,
    )
    return transformers.PaliGemmaModel(c), transformers.SiglipImageProcessorPil(size={"height": 48, "width": 48})


def idefics3():
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    c = transformers.Idefics3Config(
        vision_config=vision | {"image_size": 64, "patch_size": 8},
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IDS["<image>"],
        scale_factor=2,
    )
    images = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 64})
    return transformers.Idefics3Model(c), images


FAMILIES = {"llava": llava, "qwen2_vl": qwen2_vl, "paligemma": paligemma, "idefics3": idefics3}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp(request.param)
    model, images = FAMILIES[request.param]()
    model.save_pretrained(path)
    images.save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def configuration(folder, **changes):
    sizes = {"backbone": "vlm", "checkpoint": str(folder), "vocabulary_size": str(len(WORDS) + 2)}
    return config_named("debug", sizes | changes)


@pytest.fixture(scope="module")
def model(folder):
    torch.manual_seed(0)
    made = SaPaVe(configuration(folder)).eval()
    made.backbone.learn_words(WORDS)
    return made


def inputs(model, batch: int = 2) -> dict:
    torch.manual_seed(1)
    one = export.example_inputs(model.config)
    b = {k: v.repeat(batch, *[1] * (v.dim() - 1)) for k, v in one.items()}
    words = torch.zeros(batch, 20, dtype=torch.int64)
    words[:, :5] = torch.tensor([2, 3, 4, 5, 6])
    return b | {"words": words, "coverage": torch.zeros(batch, 12, 20), "chunk": torch.zeros(batch, 16, 2)}


def test_it_is_a_backbone(model):
    b = inputs(model)
    with torch.no_grad():
        tokens, evidence = model.backbone(b["rgb"], b["words"])
        assert tokens.shape == (2, 12 * 20 + 1, model.backbone.width)
        assert evidence.shape == (2, 12, 20)
        assert model.backbone.describe(b["words"]).shape == (2, model.backbone.text_width)
        assert all(torch.isfinite(o).all() for o in model(inputs(model, 1)))


def test_patches_have_read_the_instruction_and_its_order(model):
    b = inputs(model)
    other = b["words"].clone()
    other[0, 3:5] = b["words"][0, [4, 3]]
    with torch.no_grad():
        one, two = (model.backbone(b["rgb"], words)[1] for words in (b["words"], other))
    assert ((one - two)[0].abs() > 0).all()
    assert torch.allclose(one[1], two[1], atol=1e-6)


def test_padding_says_nothing(model):
    """An instruction between longer ones is the same as alone."""
    b = inputs(model)
    longer = b["words"].clone()
    longer[1] = 3
    with torch.no_grad():
        one, two = (model.backbone(b["rgb"], words)[1] for words in (b["words"], longer))
    torch.testing.assert_close(one[0], two[0], atol=1e-5, rtol=1e-4)


def test_patches_keep_their_place(model):
    """What changes in a corner changes most in that corner."""
    b = inputs(model, 1)
    changed = b["rgb"].clone()
    changed[:, :32, :32] = 255 - changed[:, :32, :32]
    with torch.no_grad():
        features = [model.backbone._picture(rgb).unflatten(1, model.backbone.cells) for rgb in (b["rgb"], changed)]
    change = (features[0] - features[1])[0].abs().sum(-1)
    rows, columns = change.shape
    corner = change[: max(1, rows // 4), : max(1, columns // 4)].mean()
    assert corner > 1.2 * change[rows // 2 :, columns // 2 :].mean()


def test_pictures_are_prepared_as_the_processor_does(folder, model):
    """Of a picture that needs no resizing, the same numbers in the same order."""
    pixels = model.backbone.pixels
    rgb = np.random.default_rng(0).integers(0, 256, (*pixels.size, 3), dtype=np.uint8)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    whole = {"do_image_splitting": False} if hasattr(processor, "do_image_splitting") else {}
    expected = processor(images=[Image.fromarray(rgb)], return_tensors="pt", **whole)
    got = pixels(torch.from_numpy(rgb)[None])
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5, check_dtype=False)


def test_it_reads_as_the_model_itself_does(folder, model):
    """The same hidden states at the picture's tokens as from the model's own forward, without any padding."""
    backbone, vlm = model.backbone, model.backbone.vlm
    if not backbone.looks_back:
        pytest.skip("its own forward masks by token types that the processor makes")
    rgb = inputs(model, 1)["rgb"]
    words = torch.tensor([[4, 5, 6, 2]])
    count = backbone.cells[0] * backbone.cells[1]
    said = (backbone.pieces[words].flatten() - 1)[backbone.pieces[words].flatten() > 0]
    image = vlm.config.image_token_id
    parts = [backbone.before, said, backbone.frame_start, torch.full((count,), image), backbone.frame_end]
    ids = torch.cat(parts)[None]
    pixels = backbone.pixels(rgb)
    if "image_grid_thw" in pixels:
        pixels["mm_token_type_ids"] = (ids == image).int()
    first = len(torch.cat(parts[:3]))
    seen = []
    with torch.no_grad():
        expected = vlm(input_ids=ids, attention_mask=torch.ones_like(ids), **pixels).last_hidden_state
        read = backbone._read
        backbone._read = lambda *a: seen.append(read(*a)) or seen[-1]
        try:
            backbone(rgb, words)
        finally:
            del backbone._read
    torch.testing.assert_close(
        seen[0][:, -(count + len(backbone.frame_end)) :], expected[:, first:], atol=1e-4, rtol=1e-3
    )


def test_ground_trains_what_points_and_look_trains_the_adapter(folder):
    torch.manual_seed(0)
    model = SaPaVe(configuration(folder))
    model.backbone.learn_words(WORDS)
    ground = Ground(model)
    names = [n for _, parameters in ground.groups() for n in parameters]
    assert any("grounding" in n for n in names)
    assert not any(".vlm." in n for n in names)
    b = inputs(model)
    coverage = torch.zeros(2, 1, 12, 20)
    coverage[:, :, 3:5, 4:6] = 1
    things = {
        "item_coverage": coverage,
        "item_kind": torch.zeros(2, 1, dtype=torch.int64),
        "captions": b["words"][:, None],
    }
    losses = ground(b | things)
    losses["loss"].backward()
    assert set(losses) == {"loss", "ground", "kind", "caption"}
    before = model.backbone(b["rgb"], b["words"])[1]
    model.begin_look()
    torch.testing.assert_close(before, model.backbone(b["rgb"], b["words"])[1])
    look = Look(model)
    trained = {n: p for _, parameters in look.groups() for n, p in parameters.items()}
    adapted = {n for n in trained if ".vlm." in n}
    assert adapted
    assert all("lora_" in n for n in adapted)
    look(b | {"coverage": coverage[:, 0]})["loss"].backward()
    assert all(p.grad is not None for p in trained.values())


def test_checkpoints_hold_what_was_learned_and_not_the_given_model(folder):
    torch.manual_seed(0)
    model = SaPaVe(configuration(folder))
    model.backbone.learn_words(WORDS)
    model.begin_look()
    for name, p in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(p, std=0.1)
    kept = model.kept()
    assert not any(".vlm." in n and "lora_" not in n for n in kept)
    again = SaPaVe(configuration(folder))
    again.begin_look()
    load_kept(again, kept)
    b = inputs(model, 1)
    with torch.no_grad():
        one, two = (m.eval()(b) for m in (model, again))
        again.backbone.fold()
        folded = again(b)
    assert not any("lora_" in n for n, _ in again.named_parameters())
    for i in range(3):
        torch.testing.assert_close(one[i], two[i])
        torch.testing.assert_close(one[i], folded[i], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["llava"], indirect=True)
def test_it_exports_with_the_same_numbers(folder, tmp_path):
    """Qwen2-VL does not: its eye cuts a picture up by numbers that torch's exporter cannot follow."""
    torch.manual_seed(0)
    model = SaPaVe(configuration(folder))
    model.backbone.learn_words(WORDS)
    model.begin_look()
    path = tmp_path / "vlm.onnx"
    export.export(model, path, WORDS, {}, {"head": [0.1, 0.1]})
    b = export.example_inputs(model.config, 3)
    session = onnxruntime.InferenceSession(str(path))
    got = session.run(list(export.OUTPUTS), {k: v.numpy() for k, v in b.items()})
    with torch.no_grad():
        for expected, value in zip(model(b), got, strict=True):
            assert np.abs(expected.numpy() - value).max() < 1e-4


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        SaPaVe(configuration(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        SaPaVe(configuration(""))
    text = transformers.LlamaModel(transformers.LlamaConfig(**TEXT))
    text.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="LlamaModel, expected one with"):
        SaPaVe(configuration(tmp_path))
