"""The object model and the ports: what all of kube shares, without any I/O."""
