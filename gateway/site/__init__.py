"""Floor 4: one site as a functional core: an input and the present moment in, effects out.

happenings  what a site is told, and what it wants done
presence    the endpoints that are there, and the tables they stand in
roster      users as services see them, and whom a client acts as
group       services as clients see them
admission   judging an endpoint that has said what it is (01 sections 7 and 8)
upkeep      two snapshots compared: what management changed while endpoints are online
broker      TCP and UDP connections arranged between two endpoints (02 section 3)
proxies     the proxies that may be named in an arrangement
calls       procedure calls relayed (03 section 1)
pubsub      events: raised, kept, delivered (03 sections 2 to 5)
site        the site: one door for every input
"""
