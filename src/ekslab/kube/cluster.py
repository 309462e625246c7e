"""Composes one control plane."""
