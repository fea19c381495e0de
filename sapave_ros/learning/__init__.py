"""What needs torch: the SaPaVe network, its data, its training stages, its export.

Weights like the shipped ones come from these commands (about an hour and a half on one core). Each goes on where it
was interrupted, and a larger number of steps takes a finished stage up again:

    sapave data --pairs 100000                           # pictures, instructions, movements: out/data/look
    sapave train --stage ground                          # the backbone learns what things look like
    sapave train --stage look                            # frozen, it is taught where to look
    sapave export                                        # models/sapave_nano.onnx
    python -m sapave_ros.learning.rollout                # plays it; what it got itself into: out/data/visited
    sapave train --stage look --look-steps 2400 --data out/data/look out/data/visited out/data/visited out/data/visited
    sapave export

The shipped ones were trained to `look` once, on both kinds of data, the visited states being those of an earlier model.
A folder named three times is drawn from three times as often.

Data at the paper's scale, from the rooms of `sim.rooms` and the language of `learning.language`, are made by `pairs`:

    sapave data --triples 200000                         # out/data/pairs, with a card of what is in it
    sapave data --split val --triples 5000               # and test1, test2: each harder
"""
