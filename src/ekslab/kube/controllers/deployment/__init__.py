"""Rolls Deployments out and back through ReplicaSets."""
