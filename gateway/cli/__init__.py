"""Floor 11: commands for people.

main    which command, and how faults become a sentence and an exit code
run     the daemon
config  look settings over, render them, show what is in force
ctl     management of the running daemon through its JSON API
remote  the remote client, `softnet-remote`
"""
