"""Probes: settings in, facts out. Thin, run in child processes, write to nothing that moves."""
