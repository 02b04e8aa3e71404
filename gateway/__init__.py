"""The Softnet Camera Gateway: cameras of a LAN as services of a Softnet site."""

__version__ = "0.1.0"
