"""`sapave demo`: the simulated G1 looks for what it is told, and what there is to see of it."""
