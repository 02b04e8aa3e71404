"""Floor 3: one state machine per conversation; octets and time in, events and octets out.

machine   the contract every machine keeps, and the loop they share
liveness  pings at an endpoint, silence at a tracker
endpoint  a connection to a tracker seen from the endpoint, service or client
siteside  the same connection seen from the tracker
balancer  the one-question lookup, both ends
backoff   which attempt waits how long
connector the race to a data channel at an endpoint
pairing   the rendezvous: two parties meet and are told what to try
pairing_direct  which two are worth a direct attempt, and what is remembered of vain ones
pairing_udp  the same for UDP, where a datagram shows each party's address;
          pairing_udp_control  one control connection of it
"""
