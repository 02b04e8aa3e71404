"""Floor 6: balancer and tracker on real sockets, between the registry and the sites.

settings  what the owner of the machine may change
lookups   credentials, read in batches
ledger    what devices and programs said, written in batches
journal   what sites keep of events, on its way to storage
seat      one loaded site: its inputs, its effects in order, its reloads
sites     all loaded sites, and the registry's changes on their way to them
lines     one endpoint's connection, from accept to close
notices   what this room announces
server    the server: start, stop, view
"""
