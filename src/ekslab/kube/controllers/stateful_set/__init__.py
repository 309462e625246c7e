"""Keeps pods that have a name and volumes of their own, in order."""
