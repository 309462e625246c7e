"""What is known of types: one schema for checking, defaults, patches, ownership and OpenAPI."""
