"""Floor 6: the rendezvous and relay server: pairs two parties and carries their octets.

settings  limits and addresses, declared once
notices   what a relayed connection announces
controls  control connections of either rendezvous, and the log's patience with them
server    control connections on 7778, data connections on 37780, and the data path behind them
udp       control connections and datagrams on 7779, and the datagram path behind them
__main__  a plain TCP relay over the same data path, for measuring it against other programs
"""
