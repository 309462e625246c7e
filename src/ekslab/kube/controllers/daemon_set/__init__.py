"""Keeps one pod of a DaemonSet on every node that should run it."""
