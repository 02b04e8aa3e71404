"""A camera that sends as fast as its reader reads: the source for throughput benchmarks.

Speaks enough RTSP for one interleaved stream, then writes whole interleaved frames from a memory
file with sendfile. `GET_PARAMETER bench` on a connection asks for nothing; every connection is its
own stream. Run: python bench/bulk_camera.py PORT [MBIT] ; MBIT paces each stream.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time

FRAME = 1452
CHUNK_FRAMES = 720  # about 1 MiB of whole frames


def memory_file() -> tuple[int, int]:
    """Return a file descriptor with whole interleaved RTP frames, and its size."""
    frame = b"$\x00" + FRAME.to_bytes(2, "big") + b"\x80\x60" + bytes(FRAME - 2)
    data = frame * CHUNK_FRAMES
    descriptor = os.memfd_create("frames")
    os.write(descriptor, data)
    return descriptor, len(data)


def stream(sock: socket.socket, mbit: float) -> None:
    """Send frames until the reader is gone."""
    descriptor, size = memory_file()
    started, sent = time.monotonic(), 0
    try:
        while True:
            at = 0
            while at < size:
                part = size - at
                if mbit:
                    ahead = sent * 8 / (mbit * 1e6) - (time.monotonic() - started)
                    if ahead > 0:
                        time.sleep(ahead)
                    part = min(part, 20_000)
                done = os.sendfile(sock.fileno(), descriptor, at, part)
                at += done
                sent += done
    except OSError:
        pass
    finally:
        os.close(descriptor)


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
                        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
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
