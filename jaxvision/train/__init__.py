"""State, step, loop, checkpoint."""
