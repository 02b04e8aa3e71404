"""Floor 7: cameras as services of a Softnet site.

bridge        the whole room in one object; facade: what the pages may ask of it
contract      what every bridged camera offers: site structure, ports, roles; names made legal
settings      the numbers of this room
fleet         the adopted cameras, following the registry; served: one of them as a service
live          one camera in use: driver, login, pictures, state; health: whether it answers
onboarding    from a sighting to a service; logins, names, forgetting
sessions      who is connected to which camera, limits, revocation, the audit trail
vault         sealed store of camera logins and service passwords
rtsp          RTSP between one client and one camera, without I/O; rtsp_tunnel: on two sockets
rtsp_*        its parts: translate (messages), rewrite (URLs and descriptions), loose (one answer)
http          port 80 (the camera's own pages) and port 8080 (picture and facts)
"""
