"""What needs torch: the SaPaVe network, its data, its training stages, its export.

Where to read on: `pairs` (pictures, instructions and movements from the rooms of `sim.rooms`), `language` (what people
say in them), `config` (sizes and ablations by name), `model` (the network), `backbones` (ours, and pretrained
vision-language models from a folder), `train` and `training` (the stages).

    sapave data --triples 200000                         # out/data/pairs, with a card of what is in it
    sapave data --split val --triples 5000               # and test1, test2: each harder
    sapave train --data out/data/pairs                   # both stages: what things look like, then where to look
    sapave export --output out/rooms.onnx

Each goes on where it was interrupted, and a larger number of steps takes a finished stage up again. Ablations share
one pretrained backbone:

    sapave train --stage look --config nano-no-spatial --ground out/runs/nano/ground.pt --run out/runs/no_spatial

The shipped weights are of the version before: a table, a shelf and a stool, and names of things alone. Such data are
still made, and weights like them come from these commands (about an hour and a half on one core):

    sapave data --pairs 100000                           # out/data/look
    sapave train --stage ground
    sapave train --stage look
    sapave export                                        # models/sapave_nano.onnx
    python -m sapave_ros.learning.rollout                # plays it; what it got itself into: out/data/visited
    sapave train --stage look --look-steps 2400 --data out/data/look out/data/visited out/data/visited out/data/visited
    sapave export

They were trained to `look` once, on both kinds of data, the visited states being those of an earlier model. A folder
named three times is drawn from three times as often.
"""
