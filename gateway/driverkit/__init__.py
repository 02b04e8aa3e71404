"""The contract between the gateway and its camera drivers, and the tools a driver may use.

- `manifest`: what a driver is, as data: discovery patterns, identity keys, where its class lives.
- `driver`: the `Driver` protocol and the values that pass through it. `errors`: its five faults.
- `addresses`: which addresses the gateway may connect to at all.
- `digest`, `login_gate`: Basic and Digest login without I/O, answering and asking side.
- `rtsp`, `sdp`: RTSP messages and stream descriptions without I/O. `rtsp_client`: a conversation.
- `http`: HTTP to one pinned device. `keyframe`: one picture out of an RTSP stream.
- `loader`: entry points to manifests at start, driver classes on demand.
- `conformance`: the checks that every driver must pass.
"""
