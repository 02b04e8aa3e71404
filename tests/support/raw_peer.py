"""A bare endpoint for tests of the server: it frames and decodes, and decides nothing itself."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateway.model.kinds import ClientCategory, EndpointType
from gateway.model.structure import SiteStructure
from gateway.wire import catalogue
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.catalogue import Direction
from gateway.wire.channel import (
    ClientOpen,
    ClientRestore,
    Error,
    HashAndKey2,
    Open,
    OpenOk,
    OpenOk2,
    Restore,
    RestoreOk,
    SaltAndKey1,
)
from gateway.wire.digest import challenge_response, salted_password
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.installer import (
    ClientOnline,
    ClientParked,
    ClientState,
    GetSiteStructure,
    GetState,
    MembershipState,
    ServiceOnline,
    ServiceParked,
    ServiceState,
    SiteProfile,
    UploadSiteStructure,
)
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash

M = TypeVar("M", bound=Message)
KEY2 = bytes(range(20))


class Gone(Exception):
    """The server closed the connection."""


class RawPeer:
    """One connection to a tracker, of either type; `received` keeps every message."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: EndpointType
    ) -> None:
        service = kind is EndpointType.SERVICE
        self.kind = kind
        self._reader = reader
        self._writer = writer
        self._out = Direction.SERVICE_TO_TRACKER if service else Direction.CLIENT_TO_TRACKER
        self._in = Direction.TRACKER_TO_SERVICE if service else Direction.TRACKER_TO_CLIENT
        self._frames = FrameBuffer(FRAME_MAX)
        self.received: list[Message] = []
        self.channel_id = b""

    @classmethod
    async def connect(
        cls, address: tuple[str, int], kind: EndpointType, *, greet: bool = True
    ) -> RawPeer:
        reader, writer = await asyncio.open_connection(*address)
        peer = cls(reader, writer, kind)
        if greet:
            writer.write(bytes((1, int(kind))))
        return peer

    def send(self, message: Message) -> None:
        self._writer.write(catalogue.encode(self._out, message))

    def send_octets(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def receive(self) -> Message:
        """Return the next message. Raises Gone at the end of the stream."""
        while (payload := self._frames.next_payload()) is None:
            data = await self._reader.read(65536)
            if not data:
                raise Gone
            self._frames.feed(data)
        message = catalogue.decode(self._in, payload)
        self.received.append(message)
        return message

    async def until(self, kind: type[M]) -> M:
        """Return the next message of this class; what comes before is kept in `received`."""
        while not isinstance(message := await self.receive(), kind):
            pass
        return message

    async def ended(self) -> None:
        """Wait until the server closes, whatever it says before."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    # -- the usual steps -----------------------------------------------------------------------

    async def login_service(self, uid: bytes, password: str, *, restore: bytes = b"") -> Message:
        """Log in; return OPEN_OK, RESTORE_OK or the ERROR."""
        self.send(Restore(uid, restore) if restore else Open(uid))
        return await self._prove(password)

    async def login_client(
        self, category: ClientCategory, key: str, password: str = "", *, restore: bytes = b""
    ) -> Message:
        """Log in; return OPEN_OK, OPEN_OK2, RESTORE_OK or the ERROR."""
        if restore:
            self.send(ClientRestore(category, key, restore))
        else:
            self.send(ClientOpen(category, key))
        return await self._prove(password)

    async def _prove(self, password: str) -> Message:
        message = await self.receive()
        if isinstance(message, SaltAndKey1):
            salted = salted_password(message.salt, password)
            self.send(HashAndKey2(challenge_response(message.key1, KEY2, salted), KEY2))
            message = await self.receive()
        if isinstance(message, OpenOk):
            self.channel_id = message.channel_id
        assert isinstance(message, OpenOk | OpenOk2 | RestoreOk | Error)
        return message

    async def install_service(
        self, structure: SiteStructure, version: str = "", *, list_hash: bytes | None = None
    ) -> ServiceOnline | ServiceParked | Error:
        """Answer the installer until the verdict."""
        while True:
            message = await self.receive()
            if isinstance(message, GetState):
                profile = SiteProfile(
                    structure.service_type, structure.contract_author, structure_hash(structure)
                )
                membership = MembershipState(list_hash, False if structure.guest_support else None)
                self.send(ServiceState(profile, version or None, membership))
            elif isinstance(message, GetSiteStructure):
                self.send(UploadSiteStructure(structure, version or None))
            elif isinstance(message, ServiceOnline | ServiceParked | Error):
                return message

    async def install_client(
        self, structure: SiteStructure, *, description: str | None = None
    ) -> ClientOnline | ClientParked | Error:
        """Answer the installer until the verdict."""
        await self.until(GetState)
        self.send(
            ClientState(structure.service_type, structure.contract_author, description, b"\0" * 20)
        )
        while True:
            message = await self.receive()
            if isinstance(message, ClientOnline | ClientParked | Error):
                return message


async def ask_balancer(address: tuple[str, int], request: BalancerRequest) -> BalancerAnswer | None:
    """Ask and return the checked answer, or None when the balancer closes without one."""
    reader, writer = await asyncio.open_connection(*address)
    question = request.encode()
    writer.write(question)
    writer.write_eof()
    data = await reader.read(64)
    writer.close()
    await writer.wait_closed()
    family = 6 if ":" in address[0] else 4
    return BalancerAnswer.decode(data, question, family) if data else None
