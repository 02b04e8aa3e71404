"""Floor 5: the management model in one SQLite file; the only room that opens a database.

database    the file, its writer thread, its readers, the change feed
migrations  the numbered steps from any older file to the present one
settings    bounds and quotas of this room; named values kept in the file
changes     what a transaction did, told to subscribers after the commit
owners      accounts and their passwords      domains  projects of an owner
sites       virtual hosts                     services, clients  endpoints and their credentials
members     users of a domain and their rights
structure   building a site from what a device declared
snapshots   all that a tracker must know of a site, in one value
devices     cameras found and adopted         operators  web sessions, tokens, the setup code
audit       who did what, in a hash chain
"""
