"""The composition root of the product: processes, ports, data directory, control API."""
