"""The small shell that answers in simulated containers, where no program runs."""
