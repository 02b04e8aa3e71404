"""A camera that sends as fast as its reader reads: the source for throughput benchmarks.

Speaks enough RTSP for one interleaved stream, then writes whole interleaved frames from a memory
file with sendfile; every connection is its own stream, whatever its path. With MBIT the stream is
paced instead: a picture every 40 ms, which begins with the moment when it was sent.

Run: python bench/bulk_camera.py PORT [MBIT]
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time

PACKET = 1452  # octets of an RTP packet, without the 4 of its frame
CHUNK_PACKETS = 720  # about 1 MiB of whole frames
PICTURE_SECONDS = 0.04
STAMP_AT = 4 + 12  # where the first packet's payload begins
STAMP_SIZE = 20


def frame(marker: bool = False) -> bytes:
    """Return one interleaved frame: channel 0, an RTP header and zeros."""
    head = b"$\x00" + PACKET.to_bytes(2, "big") + b"\x80" + (b"\xe0" if marker else b"\x60")
    return head + bytes(4 + PACKET - len(head))


def picture_octets(mbit: float) -> int:
    """Return the size of one picture of a paced stream, a whole number of frames."""
    return max(1, round(mbit * 1e6 / 8 * PICTURE_SECONDS / (PACKET + 4))) * (PACKET + 4)


def pour(sock: socket.socket) -> None:
    """Send frames as fast as they are taken."""
    data = frame() * CHUNK_PACKETS
    descriptor = os.memfd_create("frames")
    try:
        os.write(descriptor, data)
        while True:
            at = 0
            while at < len(data):
                at += os.sendfile(sock.fileno(), descriptor, at, len(data) - at)
    finally:
        os.close(descriptor)


def pace(sock: socket.socket, mbit: float) -> None:
    """Send a picture every 40 ms, each packet with a write of its own as cameras do."""
    count = picture_octets(mbit) // (PACKET + 4)
    middle, last = frame(), frame(marker=True)
    due = time.monotonic()
    while True:
        due += PICTURE_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        stamp = f"{time.monotonic():020.9f}".encode()
        sock.sendall(middle[:STAMP_AT] + stamp + middle[STAMP_AT + STAMP_SIZE :])
        for _ in range(count - 2):
            sock.sendall(middle)
        sock.sendall(last)


def stream(sock: socket.socket, mbit: float) -> None:
    """Send until the reader is gone."""
    try:
        if mbit:
            pace(sock, mbit)
        else:
            pour(sock)
    except OSError:
        pass


def serve(sock: socket.socket, mbit: float) -> None:
    """Answer one conversation."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held = b""
    playing = False
    try:
        while True:
            data = sock.recv(65536)
            if not data:
                return
            held += data
            while b"\r\n\r\n" in held:
                head, held = held.split(b"\r\n\r\n", 1)
                text = head.decode("latin-1")
                method, url = text.split(" ", 2)[:2]
                cseq = re.search(r"(?im)^CSeq:\s*(\d+)", text)
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {cseq[1] if cseq else 0}\r\n"
                body = ""
                if method == "OPTIONS":
                    answer += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
                elif method == "DESCRIBE":
                    body = (
                        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=bulk\r\nt=0 0\r\na=control:*\r\n"
                        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\na=control:track1\r\n"
                    )
                    answer += f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
                elif method == "SETUP":
                    answer += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                    answer += "Session: 1;timeout=60\r\n"
                elif method == "PLAY":
                    answer += "Session: 1\r\n"
                if body:
                    answer += f"Content-Length: {len(body)}\r\n"
                sock.sendall((answer + "\r\n" + body).encode())
                if method == "TEARDOWN":
                    return
                if method == "PLAY" and not playing:
                    playing = True
                    threading.Thread(target=stream, args=(sock, mbit), daemon=True).start()
    except OSError:
        pass
    finally:
        # Wakes the thread that sends; it does not outlive its reader.
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sock.close()


def main() -> None:
    """Listen until ended."""
    port, mbit = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    print(f"ready {listening.getsockname()[1]}", flush=True)
    while True:
        sock, _ = listening.accept()
        threading.Thread(target=serve, args=(sock, mbit), daemon=True).start()


if __name__ == "__main__":
    main()
