"""Finds devices on the local network and announces the gateway itself.

- `service`: `DiscoveryService`, what other rooms use: start, stop, subscribe, sightings.
- `mdns`: the browser and resolver over one zeroconf; `interfaces`: the machine's own networks.
- `matching` (pure): hostile announcements to clean sightings, manifests, identities, addresses.
- `sightings` (pure): one record for each device: seen, seen again, moved, gone, duplicate.
- `announce`: the gateway's own record. `settings`: this room's settings.
"""
