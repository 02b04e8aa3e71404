"""HTTP behind virtual ports: aiohttp serves the accepted socket, request by request.

serve   one client's connection to an HTTP port, from its first octet to its end
own     port 8080: the gateway's own HTTP for a camera: picture and facts
proxy   port 80: the camera's own pages, with its login added
"""
