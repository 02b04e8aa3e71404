"""Floor 7: the box: what the machine's service manager is told, and later network, time, updates.

settings  its settings
demo      virtual cameras beside the gateway, for trying it out
notify    readiness, status, watchdog, journal; the one door to systemd-python
"""
