"""Deletes what nobody owns any more."""
