"""Floor 7: listens and tells the outside.

settings  what is told, and to whom
topics    names and payloads of MQTT messages; pure
mqtt      the broker: paho on its own thread, last will, everything again after a reconnect
logs      lines for the terminal or records for the journal; secrets masked, floods cut
mail      letters of the outbox: one at a time to a mail server, again later when it fails
"""
