"""The stand-in robot: a MuJoCo world that speaks what the real G1 speaks."""
