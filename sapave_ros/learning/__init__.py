"""What needs torch: the SaPaVe network, its data, its training stages, its export.

The shipped weights come from these commands (about an hour on two cores); each goes on where it was interrupted:

    sapave data --pairs 40000                            # pictures, instructions, movements: out/data/look
    sapave train --stage ground                          # the backbone learns what things look like
    sapave train --stage look                            # frozen, it is taught where to look
    sapave export                                        # models/sapave_nano.onnx
    python -m sapave_ros.learning.rollout --shards 6     # plays it; what it got itself into: out/data/visited
    sapave train --stage look --data out/data/look out/data/visited --look-steps 2400
    sapave export
"""
