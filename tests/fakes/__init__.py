"""Fakes of the ports, that pass the same contract tests as the real things."""
