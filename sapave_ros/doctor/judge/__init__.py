"""Judges: settings and facts in, an outcome out. Pure, so that every verdict can be tested without the machine."""
