"""`sapave doctor`: is everything in order, before the graph starts or while it runs?

    settings ──► probe/* (child processes, each with a time limit) ──► facts ──► judge/* (pure) ──► findings

`checks.py` is the table of what is looked at. Probes read, ping and listen; none writes to an actuator. Every finding
that is not ok names the command or the act that mends it.
"""
