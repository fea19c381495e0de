"""What a person watches: where the robot is, where it was told to be, where it will go, what it sees, and how late.

Plain Python and numpy, for whoever shows it: the `monitor` node to rviz, `sapave watch` to a browser. Everything is in
torso_link, the one frame that joint states tie everything else to: the robot's own controller has waist and legs.
"""
