"""Floor 2: who may do what, as pure functions."""
