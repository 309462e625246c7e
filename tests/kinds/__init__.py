"""What is known of each kind: defaults, upkeep, validation, update rules."""
