"""Subresources: the doors of an object beside its front door, each with rules of its own."""
