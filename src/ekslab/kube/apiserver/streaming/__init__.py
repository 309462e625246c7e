"""Answers that are conversations: remote commands, forwarded ports, proxies."""
