"""Node agents and the pod lifecycle."""
