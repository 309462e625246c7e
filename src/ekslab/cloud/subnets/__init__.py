"""Addresses of subnets, limits of interfaces, and the spreading of groups over zones."""
