"""What is measured, one module a subject. A scenario takes less than a minute and cleans up."""
