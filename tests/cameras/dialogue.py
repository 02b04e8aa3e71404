"""A mediator between two scripted sides, and what each side saw."""

from __future__ import annotations

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import NotFound
from gateway.base.secret import Secret
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_rewrite import login_echoes
from gateway.driverkit.digest import CameraCredentials, LoginAnswerer
from gateway.driverkit.driver import StreamSource
from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader

HOST = "192.168.77.20"
PASSWORD = "s3cr3t:@/pass"
CREDENTIALS = CameraCredentials("admin", Secret(PASSWORD))
FIRST = 700_000_000
SESSION = "feedc0de00112233"

SDP = f"""v=0
o=admin 17 3 IN IP4 {HOST}
s=Axis {HOST} admin:{PASSWORD}
i=http://{HOST}/
e=admin@{HOST}
c=IN IP4 {HOST}
b=AS:4000
t=0 0
a=control:rtsp://admin:{PASSWORD}@{HOST}/cam/stream1/
a=source-filter: incl IN IP4 * {HOST}
a=range:npt=0.000000-
m=video 51372 RTP/AVP 96
b=AS:4000
a=framerate:25
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QAKA==,aO48gA==
a=control:rtsp://admin:{PASSWORD}@10.9.8.7:8554/cam/stream1/trackID=1
m=audio 0 RTP/AVP 0
a=control:trackID=2
m=audio 0 RTP/AVP 8
a=sendonly
a=control:trackID=3
""".replace("\n", "\r\n")


def place(name: str) -> StreamSource:
    paths = {"": "/cam/stream1", "main": "/cam/stream1", "sub": "/cam/stream2?q=1"}
    if name not in paths:
        raise NotFound("There is no such stream.")
    return StreamSource(HOST, 554, paths[name])


class Dialogue:
    """Drives a mediator: `ask` as the client, `camera` as the camera."""

    def __init__(self, *, operate: bool = False, login: bool = True, **more) -> None:
        self.mediator = RtspMediator(
            place=more.pop("place", place),
            login=LoginAnswerer(CREDENTIALS, entropy=SystemEntropy()) if login else None,
            operate=operate,
            first_cseq=FIRST,
            session_id=SESSION,
            hidden=(HOST,),
            echoes=login_echoes(CREDENTIALS),
            **more,
        )
        self.cseq = 0
        self.in_step = True
        self.client_saw = bytearray()
        self.camera_saw = bytearray()
        self._client = RtspReader(keep_frames=True)
        self._camera = RtspReader(keep_frames=True)

    def pump(self) -> None:
        if self.mediator.wants_camera:
            self.mediator.camera_connected()
        down, up = self.mediator.to_client(), self.mediator.to_camera()
        self.client_saw += down
        self.camera_saw += up
        if self.in_step:
            self._client.feed(down)
        self._camera.feed(up)

    def ask(self, method: str, url: str = "rtsp://h:8554/main", *headers, body=b"", session=False):
        """Send a request; return what reached the client and the camera."""
        self.cseq += 1
        fields = [("CSeq", str(self.cseq)), *headers]
        if session:
            fields.append(("Session", SESSION))
        self.mediator.client_octets(Request(method, url, Headers(fields), body).encode())
        return self.took()

    def took(self):
        self.pump()
        return self._client.next_message(), self._camera.next_message()

    def camera(self, request: Request, status: int = 200, *headers, body: bytes = b""):
        """Answer as the camera; return what reached the client and the camera."""
        fields = [("CSeq", str(request.cseq)), ("Server", f"Cam/{HOST}"), *headers]
        self.mediator.camera_octets(Response(status, "x", Headers(fields), body).encode())
        return self.took()

    def describe(self, url: str = "rtsp://h:8554/main", sdp: str = SDP) -> Response:
        _, asked = self.ask("DESCRIBE", url)
        answer, _ = self.camera(
            asked,
            200,
            ("Content-Type", "application/sdp"),
            ("Content-Base", f"rtsp://admin:{PASSWORD}@{HOST}/cam/stream1/"),
            ("Date", "now"),
            body=sdp.encode(),
        )
        return answer

    def setup(self, track: int = 0) -> Response:
        transport = ("Transport", f"RTP/AVP/TCP;unicast;interleaved={2 * track}-{2 * track + 1}")
        _, asked = self.ask("SETUP", f"rtsp://h:8554/main/track{track}", transport)
        told = asked.headers.get("Transport") + f";source={HOST};ssrc=00AB12CD;mode=play"
        answer, _ = self.camera(asked, 200, ("Transport", told), ("Session", "12345;timeout=60"))
        return answer

    def play(self) -> Response:
        _, asked = self.ask("PLAY", "rtsp://h:8554/main/", ("Range", "npt=0-"), session=True)
        info = f"url=rtsp://{HOST}/cam/stream1/trackID=1;seq=17;rtptime=99"
        answer, _ = self.camera(asked, 200, ("Session", "12345"), ("RTP-Info", info))
        return answer

    def playing(self) -> None:
        self.describe()
        self.setup()
        self.play()


def frame(channel: int, payload: bytes) -> bytes:
    return Interleaved(channel, len(payload), payload).encode()


SECRETS = [HOST.encode(), b"10.9.8.7", PASSWORD.encode(), b"admin", b"stream1", b"12345;", b"Cam/"]


def clean(dialogue: Dialogue) -> bool:
    """Tell whether the client has seen nothing of the camera's."""
    return not any(secret in dialogue.client_saw for secret in SECRETS)
