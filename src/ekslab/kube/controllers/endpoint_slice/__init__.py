"""Writes down which pods stand behind each Service, in EndpointSlices."""
