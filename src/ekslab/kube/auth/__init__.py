"""Who asks, and may they: authenticators, authorizers, service account tokens."""
