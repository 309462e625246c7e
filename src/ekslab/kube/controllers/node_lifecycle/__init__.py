"""Notices nodes that fall silent, and taints them."""
