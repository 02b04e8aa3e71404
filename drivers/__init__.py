"""Camera drivers, one folder a maker or protocol; found through the entry points, never by name."""
