"""Floor 2: the message catalogue; every octet of the protocol that has a meaning.

codes       error codes and what an endpoint does on each
framing     length prefixes: octets in, whole payloads out
fields      how a dataclass field is read and written
message     the base of all messages
catalogue   four tables, one a direction: (component, number) to message class, and back
channel     open, restore, challenge, response, error; ping
installer   state and structure exchange, parameters
structure   site structures to octets and their hash
membership  users as services see them, the acting user as a client sees it
groups      services as clients see them
connect     brokered TCP and UDP connections, through the tracker
rendezvous  the control connections of the proxy, and the data header
datagrams   what endpoints of UDP connections show the proxy and each other
rpc         procedure calls
pubsub      events
balancer    the one question that finds the tracker
digest      salted passwords, challenge responses, FNV-1a
uri         service and client URIs
"""
