"""TCP and UDP connections arranged between a client and a service (02 section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation
from gateway.model.kinds import TransportKind
from gateway.site.presence import ClientPeer, Presence, ServicePeer
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.wire import connect
from gateway.wire.codes import ErrorCode
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.message import Message

REQUEST_LIFE = 60.0
"""Seconds for which an arrangement is remembered (02 section 3); both ends give up at 30."""
REQUESTS_PER_CLIENT = 256
"""Arrangements of one client at a time; more are answered as busy."""
KEY_SIZE = 20


@dataclass(slots=True, eq=False)
class Arrangement:
    """One request of a client and what became of it so far."""

    client: ClientPeer
    service: ServicePeer
    request_uid: bytes
    until: float
    connection_uid: bytes = b""
    server_id: int = 0


class Broker:
    """Passes requests and answers between two endpoints and vouches for them at a proxy."""

    def __init__(
        self,
        presence: Presence,
        proxies: ProxyDirectory,
        entropy: Entropy,
        find_service: Callable[[int], ServicePeer | None],
        takes_stateless: Callable[[ServicePeer], bool],
        room_at: Callable[[ServicePeer], int],
    ) -> None:
        self._presence = presence
        self._proxies = proxies
        self._entropy = entropy
        self._find_service = find_service
        self._takes_stateless = takes_stateless
        self._room_at = room_at
        # In order of their time: expired ones are at the front.
        self._requests: dict[tuple[ClientPeer, TransportKind, bytes], Arrangement] = {}
        self._meetings: dict[tuple[TransportKind, bytes], Arrangement] = {}
        self._open: dict[ClientPeer, int] = {}

    def take_from_client(self, peer: ClientPeer, message: Message, now: float) -> None:
        """Handle a request or a proxy's challenge. Raises ProtocolViolation for a bad tag."""
        self._expire(now)
        if isinstance(message, connect.ConnectionRequest):
            self._requested(peer, message, now)
        elif isinstance(message, connect.ClientAuthKey):
            self._client_challenged(peer, message)

    def take_from_service(self, peer: ServicePeer, message: Message, now: float) -> None:
        """Handle an answer, or a proxy's challenge."""
        self._expire(now)
        if isinstance(message, connect.RequestOk):
            self._agreed(peer, message)
        elif isinstance(message, connect.ServiceRequestError):
            self._refused(peer, message)
        elif isinstance(message, connect.ServiceConnectionAccepted):
            self._accepted(peer, message)
        elif isinstance(message, connect.ServiceAuthKey):
            self._service_challenged(peer, message)

    def _requested(self, peer: ClientPeer, request: connect.ConnectionRequest, now: float) -> None:
        if request.session_tag is not None and not is_one_sequence(request.session_tag):
            raise ProtocolViolation("a session tag is exactly one SEQUENCE")  # trap T12
        key = (peer, request.transport, request.request_uid)
        if peer.acting is None or key in self._requests:
            return
        code = ErrorCode.NO_ERROR
        service = self._find_service(request.service_id)
        if service is None:
            code = ErrorCode.SERVICE_OFFLINE
        elif peer.stateless and not self._takes_stateless(service):
            code = ErrorCode.ACCESS_DENIED  # trap T1: it would cost the service its session
        elif self._open.get(peer, 0) >= REQUESTS_PER_CLIENT or self._room_at(service) <= 0:
            code = ErrorCode.SERVICE_BUSY
        if service is None or code:
            answer = connect.ClientRequestError(request.transport, request.request_uid, int(code))
            self._presence.send(peer, answer)
            return
        self._requests[key] = Arrangement(peer, service, request.request_uid, now + REQUEST_LIFE)
        self._open[peer] = self._open.get(peer, 0) + 1
        self._presence.send(
            service,
            connect.ServiceConnectionRequest(
                request.transport,
                request.request_uid,
                request.virtual_port,
                peer.acting.kind,
                peer.acting.user_id,
                peer.id,
                request.session_tag,
            ),
        )

    def _fitting(
        self,
        service: ServicePeer,
        transport: TransportKind,
        request_uid: bytes,
        user_kind: int,
        client_id: int,
    ) -> Arrangement | None:
        """Return the arrangement that an answer belongs to; what fits none is dropped."""
        client = self._presence.client_of(user_kind, client_id)
        if client is None:
            return None
        found = self._requests.get((client, transport, request_uid))
        return found if found is not None and found.service is service else None

    def _agreed(self, peer: ServicePeer, answer: connect.RequestOk) -> None:
        found = self._fitting(
            peer, answer.transport, answer.request_uid, answer.user_kind, answer.client_id
        )
        if found is None or found.connection_uid or found.client.acting is None:
            return
        proxy = self._proxies.pick()
        to_client = proxy.address_for(found.client.path) if proxy else None
        to_service = proxy.address_beside(peer.path, found.client.path) if proxy else None
        if proxy is None or to_client is None or to_service is None:
            code = int(ErrorCode.CONNECTION_ATTEMPT_FAILED)
            refusal = connect.ClientRequestError(answer.transport, answer.request_uid, code)
            self._presence.send(found.client, refusal)
            self._forget(found, answer.transport)
            return
        found.connection_uid = self._entropy.uid()
        found.server_id = proxy.server_id
        self._meetings[(answer.transport, found.connection_uid)] = found
        acting = found.client.acting
        self._presence.send(
            peer,
            connect.ServiceRendezvousData(
                answer.transport,
                answer.request_uid,
                found.connection_uid,
                proxy.server_id,
                to_service,
                answer.virtual_port,
                acting.kind,
                acting.user_id,
                found.client.id,
                answer.session_tag,
            ),
        )
        self._presence.send(
            found.client,
            connect.ClientRendezvousData(
                answer.transport,
                answer.request_uid,
                found.connection_uid,
                proxy.server_id,
                to_client,
            ),
        )

    def _refused(self, peer: ServicePeer, answer: connect.ServiceRequestError) -> None:
        found = self._fitting(
            peer, answer.transport, answer.request_uid, answer.user_kind, answer.client_id
        )
        if found is not None:
            relayed = connect.ClientRequestError(
                answer.transport, answer.request_uid, answer.error_code
            )
            self._presence.send(found.client, relayed)
            self._forget(found, answer.transport)

    def _accepted(self, peer: ServicePeer, answer: connect.ServiceConnectionAccepted) -> None:
        found = self._fitting(
            peer, answer.transport, answer.request_uid, answer.user_kind, answer.client_id
        )
        if found is not None and found.connection_uid:
            relayed = connect.ClientConnectionAccepted(answer.transport, answer.request_uid)
            self._presence.send(found.client, relayed)
            self._forget(found, answer.transport)

    # -- vouching at a proxy (02 section 2.6) --------------------------------------------------

    def _client_challenged(self, peer: ClientPeer, ask: connect.ClientAuthKey) -> None:
        found = self._requests.get((peer, ask.transport, ask.request_uid))
        proxy = self._proxy_of(found, ask.server_id)
        if proxy is None:
            self._presence.send(peer, connect.ClientAuthError(ask.transport, ask.request_uid))
            return
        auth_hash, key2 = self._vouch(proxy, ask.auth_key)
        answer = connect.ClientAuthHash(ask.transport, ask.request_uid, auth_hash, key2)
        self._presence.send(peer, answer)

    def _service_challenged(self, peer: ServicePeer, ask: connect.ServiceAuthKey) -> None:
        found = self._meetings.get((ask.transport, ask.connection_uid))
        if found is not None and found.service is not peer:
            found = None
        proxy = self._proxy_of(found, ask.server_id)
        port, uid = ask.virtual_port, ask.connection_uid
        if proxy is None:
            self._presence.send(peer, connect.ServiceAuthError(ask.transport, port, uid))
            return
        auth_hash, key2 = self._vouch(proxy, ask.auth_key)
        answer = connect.ServiceAuthHash(ask.transport, port, uid, auth_hash, key2)
        self._presence.send(peer, answer)

    def _proxy_of(self, found: Arrangement | None, server_id: int) -> ProxyEntry | None:
        # Only for what was arranged here: the hash would open the proxy to any use.
        if found is None or not found.connection_uid or found.server_id != server_id:
            return None
        return self._proxies.get(server_id)

    def _vouch(self, proxy: ProxyEntry, auth_key: bytes) -> tuple[bytes, bytes]:
        key2 = self._entropy.octets(KEY_SIZE)
        return proxy_auth_hash(auth_key, key2, proxy.secret.reveal()), key2

    # -- forgetting ----------------------------------------------------------------------------

    def client_ended(self, peer: ClientPeer) -> None:
        """Forget what was arranged for a client that is gone."""
        if peer in self._open:
            for key, found in [item for item in self._requests.items() if item[0][0] is peer]:
                self._forget(found, key[1])

    def _expire(self, now: float) -> None:
        while self._requests:
            (_, transport, _), oldest = next(iter(self._requests.items()))
            if oldest.until > now:
                return
            self._forget(oldest, transport)

    def _forget(self, found: Arrangement, transport: TransportKind) -> None:
        if self._requests.pop((found.client, transport, found.request_uid), None) is None:
            return
        self._meetings.pop((transport, found.connection_uid), None)
        left = self._open.get(found.client, 0) - 1
        if left > 0:
            self._open[found.client] = left
        else:
            self._open.pop(found.client, None)
