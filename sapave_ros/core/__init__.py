"""What decides: plain Python and numpy, time is an argument, no ROS, no SDK, no simulator."""
