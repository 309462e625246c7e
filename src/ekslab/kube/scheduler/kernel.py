"""Filters and scores over the columns: pure."""
