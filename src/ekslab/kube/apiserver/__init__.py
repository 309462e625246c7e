"""The API server: one pipeline from request to store, and HTTP as a thin adapter."""
