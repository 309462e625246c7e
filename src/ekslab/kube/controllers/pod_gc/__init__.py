"""Deletes pods that nobody else will: of nodes that are gone, unbound and ending, long ended."""
