"""Simulated nodes: thousands in one task, driven by a heap of timers on the lab clock."""
