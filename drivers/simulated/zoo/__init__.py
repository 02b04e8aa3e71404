"""The parts of the virtual camera: a stand-alone program beside the gateway, never part of it.

Because it is a program of its own it opens sockets, starts ffmpeg and makes tasks, which a driver
may not do; nothing in here is imported by `drivers.simulated.driver`.
"""
