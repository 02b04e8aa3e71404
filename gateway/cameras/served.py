"""One adopted camera as a service: its endpoint, its virtual ports, its health watch."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable

from gateway.access.ports import Actor, decide
from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.secret import Secret
from gateway.cameras import contract
from gateway.cameras.contract import PORTS, VirtualPort
from gateway.cameras.health import HealthWatch
from gateway.cameras.http import own
from gateway.cameras.http.proxy import WebProxy
from gateway.cameras.http.serve import Handler, HttpCarrier, StreamResponse, sentence
from gateway.cameras.live import LiveCamera
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import TunnelGround
from gateway.cameras.rtsp_rewrite import login_echoes
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.sessions import NOT_SERVED, REVOKED, Carrier, SessionBook, SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.endpoint.events import (
    ConnectivityChanged,
    EndpointEvent,
    MembersChanged,
    RequestDenied,
    StatusChanged,
)
from gateway.endpoint.service import (
    IncomingTcp,
    ListenerClosed,
    PortListener,
    ServiceEndpoint,
)
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ServiceStatus
from gateway.net import sockets
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom

CSEQ_LEAST, CSEQ_SPAN = 100_000_000, 1_900_000_000
"""Nine or ten digits that fit 31 bits: no camera chokes on them, nobody guesses them."""

_log = logging.getLogger(__name__)

CAMERA_LOST = "The camera does not answer any more."

_SWITCHED_OFF = (
    ServiceStatus.DISABLED,
    ServiceStatus.SITE_DISABLED,
    ServiceStatus.OWNER_DISABLED,
)


class ServedCamera:
    """A camera's service for as long as it is adopted. `changed` follows every change of state."""

    def __init__(
        self,
        camera: LiveCamera,
        *,
        uri: str,
        password: Secret,
        settings: CameraSettings,
        endpoint_settings: EndpointSettings,
        sessions: SessionBook,
        datapath: DataPath,
        clock: Clock,
        entropy: Entropy,
        room: TaskRoom,
        changed: Callable[[], None],
    ) -> None:
        self.camera = camera
        self.uri = uri
        self.password = password
        self.version = contract.service_version(camera.device.seen.firmware)
        self._settings = settings
        self._sessions = sessions
        self._datapath = datapath
        self._clock = clock
        self._entropy = entropy
        self._room = room.child(f"camera {camera.device.id}")
        self._changed = changed
        self.health = HealthWatch(
            camera,
            entropy,
            self._octets,
            lambda: self.hang_up(CAMERA_LOST),
        )
        self._ground = TunnelGround(
            dial=camera.dial, datapath=datapath, settings=settings, clock=clock, room=self._room
        )
        self._forget = self._forgotten  # one bound method for all sessions
        self._closing = False
        self.endpoint = ServiceEndpoint(
            uri,
            password,
            structure=contract.site_structure(settings),
            version=self.version,
            settings=endpoint_settings,
            room=self._room,
            clock=clock,
            entropy=entropy,
        )
        self.endpoint.subscribe(self._heard)
        self._listeners: list[PortListener] = []

    @property
    def device_id(self) -> int:
        """The camera's number in the registry."""
        return self.camera.device.id

    def start(self) -> None:
        """Listen on the ports, connect, watch."""
        for port in PORTS:
            listener = self.endpoint.listen(port.number, rule=port.rule)
            self._listeners.append(listener)
            self._room.start(self._accept(listener, port), name=f"port {port.number}")
        self._room.start(self.health.run(), name="health")
        self.endpoint.connect()

    async def close(self, reason: str) -> None:
        """End the sessions, the service and the driver."""
        self._closing = True
        self._sessions.end_device(self.device_id, reason)
        await self.endpoint.close()
        await self._sessions.gone(self.device_id)
        await self._room.close()
        await self.camera.close()

    def hang_up(self, reason: str) -> None:
        """End every session now, because where they lead is not right any more."""
        self._sessions.end_device(self.device_id, reason)

    # -- what the endpoint says

    def _heard(self, event: EndpointEvent) -> None:
        if isinstance(event, MembersChanged):
            self._sessions.recheck(self.device_id, self.endpoint.resolve)
        elif isinstance(event, RequestDenied):
            self._sessions.refused(
                device_id=self.device_id,
                camera=self.camera.device.name,
                port=event.port,
                user=event.actor.name if event.actor is not None else "",
                client_id=event.client_id,
                reason=event.code.name.lower(),
            )
        elif isinstance(event, StatusChanged) and event.status in _SWITCHED_OFF:
            self.hang_up("The service was switched off.")
        if isinstance(event, ConnectivityChanged | StatusChanged):
            self._changed()

    # -- connections

    async def _accept(self, listener: PortListener, port: VirtualPort) -> None:
        while True:
            try:
                incoming = await listener.accept()
            except ListenerClosed:
                return
            try:
                self._serve(incoming, port)
            except Exception:
                _log.exception("a connection to %s failed", self.camera.device.name)
                incoming.socket.close()

    def _serve(self, incoming: IncomingTcp, port: VirtualPort) -> None:
        camera = self.camera
        # Rights may have gone since the endpoint let the client in; from here on `recheck` sees it.
        actor = self.endpoint.resolve(incoming.actor.kind, incoming.actor.user_id)
        allowed = actor is not None and decide(port.rule, actor)
        full = self._sessions.full(self.device_id, port.number)
        crowded = bool(full) and self._sessions.crowded(self.device_id)
        if self._closing or actor is None or not allowed or crowded:
            sockets.reset(incoming.socket)
            self._sessions.refused(
                device_id=self.device_id,
                camera=camera.device.name,
                port=port.number,
                user=incoming.actor.name,
                client_id=incoming.client_id,
                reason=NOT_SERVED if self._closing else REVOKED if not allowed else full,
            )
            return
        self._sessions.carry(
            self._carrier(incoming.socket, actor, port, full),
            device_id=self.device_id,
            camera=camera.device.name,
            port=port,
            actor=actor,
            client_id=incoming.client_id,
            mode=str(incoming.mode),
            closed=self._forget,
            turned_away=bool(full),
        )
        self._changed()

    def _forgotten(self, carrier: Carrier, end: SessionEnd) -> None:
        """Take note of a session's end."""
        if isinstance(carrier, RtspTunnel):
            self.health.carried()
        self._changed()
        self.camera.blame(end.fault)

    async def _octets(self) -> int:
        """Return how many octets those who watch have got by now, below 0 when nobody does."""
        if not self._sessions.viewers(self.device_id):
            return -1
        await self._datapath.measure()
        return self._sessions.octets_watched(self.device_id)

    def _carrier(
        self, client: socket.socket, actor: Actor, port: VirtualPort, full: str
    ) -> Carrier:
        if port.number == contract.RTSP_PORT:
            return self._tunnel(client, actor, full)
        if full:
            return self._http(client, lambda _: _say(full))
        if port.number == contract.GATEWAY_PORT:
            return self._http(client, lambda request: own.answer(self.camera, request))
        proxy = WebProxy(self.camera)
        return self._http(client, proxy.answer, proxy.close)

    def _http(
        self,
        client: socket.socket,
        handle: Handler,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> HttpCarrier:
        return HttpCarrier(client, handle, settings=self._settings, room=self._room, close=close)

    def _tunnel(self, client: socket.socket, actor: Actor, full: str) -> RtspTunnel:
        camera = self.camera
        barred = camera.barred()
        refusal = (453, full) if full else (503, barred) if barred else None
        first = int.from_bytes(self._entropy.octets(8), "big") % CSEQ_SPAN + CSEQ_LEAST
        mediator = RtspMediator(
            place=camera.place,
            login=camera.login(),
            operate=contract.holds(actor.roles, contract.OPERATOR),
            first_cseq=first,
            session_id=self._entropy.octets(8).hex(),
            hidden=camera.hidden,
            echoes=login_echoes(camera.credentials),
            refusal=refusal,
        )
        return RtspTunnel(client, mediator, self._ground)


async def _say(text: str) -> StreamResponse:
    return sentence(503, text)
