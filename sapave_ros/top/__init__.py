"""`sapave top`: rates and ages of the streams, state, latencies and CPU of the running graph, in a terminal."""
