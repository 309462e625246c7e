"""Addresses and service routing."""
