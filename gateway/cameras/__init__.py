"""Floor 7: cameras as services of a Softnet site.

contract      what every bridged camera offers: site structure, ports, roles; names made legal
settings      the numbers of this room
vault         sealed store of camera logins and service passwords
rtsp          RTSP between one client and one camera, without I/O
rtsp_rewrite  URLs, headers and descriptions as the client may see them
rtsp_loose    finding one answer in a stream that is not parsed
rtsp_tunnel   the mediator on two sockets and the data path
http          port 80 (the camera's own pages) and port 8080 (snapshot, facts)
sessions      who is connected to which camera, and how it ends
health        whether a camera answers
onboarding    from a sighting to a service; logins, names, forgetting
bridge        one service endpoint for each adopted camera
facade        what the pages and the command line may ask for
"""
