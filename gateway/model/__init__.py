"""Floor 1: the management model as plain values."""
