"""Floor 5: the management model in one SQLite file; the only room that opens a database.

database    the file, its writer thread, its readers, the change feed
migrations  the numbered steps from any older file to the present one
settings    bounds and quotas of this room; named values kept in the file
changes     what a transaction did, told to subscribers after the commit
owners      accounts and their passwords      domains  projects of an owner
sites       virtual hosts                     services, clients  endpoints and their credentials
members     users of a domain and their rights
contacts    partnerships of two accounts      sharing  what each side sees of shared domains
panels      what a site shows to its owner, to a partner and to guests
guests      public services, guest clients    guest_mail  the same by mailed links
relations   what a client is to whom          visibility  who can see what, and why
people      the search for people             recent  what an account used lately
invitations, self_service, administration     how accounts come, help themselves and are run
action_tokens, letters, outbox                links that act, the mails that carry them
server_settings                               what administrators set on the pages
structure   building a site from what a device declared
snapshots   all that a tracker must know of a site, in one value
devices     cameras found and adopted         operators  web sessions, tokens, the setup code
audit       who did what, in a hash chain
"""
