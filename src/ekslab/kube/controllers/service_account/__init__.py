"""Every namespace has the service account `default`."""
