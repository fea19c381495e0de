"""What needs torch: the SaPaVe network, its data, its training stages, its export.

Where to read on: `pairs` (pictures, instructions and movements from the rooms of `sim.rooms`), `language` (what people
say in them), `config` (sizes and ablations by name), `model` (the network), `backbones` (ours, and pretrained
vision-language models from a folder), `train` and `training` (the stages).

    sapave data --triples 200000                         # out/data/pairs, with a card of what is in it
    sapave data --split val --triples 2000               # to test on while training; test1, test2: each harder
    sapave train                                         # both stages: what things look like, then where to look
    sapave export                                        # models/sapave_nano.onnx

Each goes on where it was interrupted, and a larger number of steps takes a finished stage up again. `make train` is
these commands on two cores. Ablations share one pretrained backbone, which ships beside the model (`make ablations`):

    sapave train --stage look --config nano-no-spatial --ground models/sapave_nano_backbone.pt --run out/runs/no_spatial
"""
