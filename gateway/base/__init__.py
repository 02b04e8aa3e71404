"""Floor 0: what every room may lean on and that knows nothing of the product.

errors   the one error family and its three branches
secret   plain secrets that cannot be printed
clock    the present moment, passed in
entropy  randomness, passed in
notices  typed announcements that inform and never command
setting  one declaration per setting
"""
