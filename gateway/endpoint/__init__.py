"""Floor 6: the endpoint library, a service or a client of any tracker, this gateway's or another's.

settings  what an endpoint can be told besides its URI
events    what an endpoint announces
errors    how a client's request can fail
locate    from a server name to the address of its tracker
session   find, connect, stay connected
service   virtual ports that clients reach
client    see services and connect to them
calls     procedures, offered and called
raising   the events that a service raises
following the events that a client subscribes to
state     what of events outlives a program
records   files that can be read whatever moment the power failed in
meeting   one meeting at a proxy, with TCP sockets
forward   a local port whose connections go to a service
"""
