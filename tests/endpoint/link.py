"""A bad network between endpoints and their server: one octet at a time, cut where a test says."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from gateway.base.errors import HostError
from gateway.net import sockets
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom

PORTS = (7737, 7740, 7778, 37780)


@dataclass
class Link:
    """Listens on `host` and passes every connection on to the same port of `server`.

    `allowed[port]` octets towards the endpoint pass on each later connection to that port, then it
    is cut; None lets everything pass. With `trickle` octets pass one by one.
    """

    room: TaskRoom
    host: str
    server: str
    trickle: bool = False
    allowed: dict[int, int | None] = field(default_factory=dict)
    open_now: int = 0

    def start(self) -> None:
        self._listeners = []
        for port in PORTS:
            listener = Listener(self.room, self._accept(port))
            listener.open([self.host], port)
            self._listeners.append(listener)

    def stop(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _accept(self, port: int):
        def accepted(sock: socket.socket, _peer: str) -> None:
            self.room.start(self._carry(sock, port), name=f"link {port}")

        return accepted

    async def _carry(self, near: socket.socket, port: int) -> None:
        allowed = self.allowed.get(port)
        self.open_now += 1
        try:
            far = await sockets.connect(self.server, port)
        except HostError:
            near.close()
            self.open_now -= 1
            return
        there = self.room.start(self._pass(near, far, None), name="there")
        back = self.room.start(self._pass(far, near, allowed), name="back")
        try:
            if not await back:
                there.cancel()
            else:
                await there
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait([there, back])
            near.close()
            far.close()
            self.open_now -= 1

    async def _pass(self, source: socket.socket, sink: socket.socket, allowed: int | None) -> bool:
        try:
            while data := await sockets.receive(source, 1 if self.trickle else 65536):
                if allowed is not None:
                    data, allowed = data[:allowed], allowed - len(data)
                await sockets.send_all(sink, data)
                if allowed is not None and allowed <= 0:
                    return False
                if self.trickle:
                    await asyncio.sleep(0)
        except HostError:
            return False
        sockets.close_write(sink)
        return True
