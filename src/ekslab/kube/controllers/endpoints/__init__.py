"""Writes down which pods stand behind each Service, in the older Endpoints."""
