"""The door of the AWS endpoint: signatures, service routing, policies, and the list of steps."""
