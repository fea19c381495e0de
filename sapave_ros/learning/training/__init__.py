"""What a training run is made of: batches, objectives of the stages, checkpoints, the loop; see `learning.train`."""
