"""Runs pods to completion for Jobs, and counts them."""
