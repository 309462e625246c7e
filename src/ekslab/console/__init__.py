"""The web console: an ordinary client of both APIs. Nothing stands here yet."""
