"""What needs torch: the SaPaVe network, its data, its training stages, its export.

Weights like the shipped ones come from these commands (about an hour and a half on one core). Each goes on where it
was interrupted, and a larger number of steps takes a finished stage up again:

    sapave data                                          # pictures, instructions, movements: out/data/look
    sapave train --stage ground                          # the backbone learns what things look like
    sapave train --stage look                            # frozen, it is taught where to look
    sapave export                                        # models/sapave_nano.onnx
    python -m sapave_ros.learning.rollout                # plays it; what it got itself into: out/data/visited
    sapave train --stage look --look-steps 2400 --data out/data/look out/data/visited out/data/visited out/data/visited
    sapave export

The shipped ones were trained to `look` once, on both kinds of data, the visited states being those of an earlier model.
A folder named three times is drawn from three times as often.

Where to read on: `config` (sizes and ablations by name), `model` (the network), `backbones` (ours, and pretrained
vision-language models from a folder), `train` and `training` (the stages). Ablations share one pretrained backbone:

    sapave train --stage look --config nano-no-spatial --ground out/runs/nano/ground.pt --run out/runs/no_spatial
"""
