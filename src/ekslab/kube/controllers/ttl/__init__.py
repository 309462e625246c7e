"""Every node says how long its kubelet may keep what it reads: longer in large clusters."""
