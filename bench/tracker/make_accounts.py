"""Makes an accounts file for load.py: sites, services and clients with random secrets.

    python3 make_accounts.py --services 500 --clients 500 --per-site 10 > accounts.json

Services are dealt to sites of --per-site services; clients are dealt to the sites in turn. The salt
and the salted password are written, too, so that any tracker's storage can be filled from the file.
"""

import argparse
import json
import secrets
import string
import uuid

from wire import salted_password

KEY_CHARS = string.ascii_lowercase + string.digits


def secret(extra: dict) -> dict:
    password, salt = "".join(secrets.choice(KEY_CHARS) for _ in range(16)), secrets.token_bytes(16)
    return {
        **extra,
        "password": password,
        "salt": salt.hex(),
        "salted_password": salted_password(salt, password).hex(),
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--services", type=int, required=True)
    p.add_argument("--clients", type=int, required=True)
    p.add_argument("--per-site", type=int, default=10, help="services of one multi-service site")
    a = p.parse_args()
    count = max(1, -(-a.services // a.per_site))
    sites = [
        {
            "kind": "multi",
            "uid": str(uuid.uuid4()),
            "key": secrets.token_hex(8),
            "services": [],
            "clients": [],
        }
        for _ in range(count)
    ]
    for i in range(a.services):
        sites[i // a.per_site]["services"].append(
            secret({"uid": str(uuid.uuid4()), "hostname": f"cam{i:05d}"})
        )
    for i in range(a.clients):
        key = f"c{i:05d}" + "".join(secrets.choice(KEY_CHARS) for _ in range(10))
        sites[i % count]["clients"].append(secret({"key": key}))
    structure = {
        "service_type": "LoadCamera",
        "contract_author": "Softnet bench",
        "version": "1.0",
        "guest_support": 0,
        "roles": ["Admin", "User"],
        "owner_role": "Admin",
        "replacing_events": ["State"],
    }
    print(json.dumps({"structure": structure, "sites": sites}, indent=1))


if __name__ == "__main__":
    main()
