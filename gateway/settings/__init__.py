"""Floor 9: every room's settings as one file format.

schema   the whole: section name to room dataclass, and what types a setting may have
loader   file, environment and command line to checked dataclasses; faults with their line
render   dataclasses to a commented file, a JSON schema and a view with secrets masked
"""
