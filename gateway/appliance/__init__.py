"""Floor 7: the box: what the machine's service manager is told, and later network, time, updates.

settings  its settings
identity  the number that tells this box from others
notify    readiness, status, watchdog, journal; the one door to systemd-python
"""
