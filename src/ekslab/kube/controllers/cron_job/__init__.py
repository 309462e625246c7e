"""Makes Jobs by a clock."""
