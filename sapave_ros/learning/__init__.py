"""The network, its data, its training and its export. Needs torch; the robot does not."""
