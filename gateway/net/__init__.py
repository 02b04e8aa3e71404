"""Floor 5: the only room that awaits sockets; it joins machines to asyncio and moves octets.

tasks        named, owned, supervised tasks
stream       the pump: one machine on one byte stream
listener     bind, accept, limit, drain
sockets      raw sockets, for connections that end in the data path
datapath     the door to the relay process
splice_loop  the relay process itself
datagram     the door to the process that relays datagrams
splice_udp   that process
"""
