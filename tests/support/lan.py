"""Hosts on one machine: network namespaces joined by veth pairs, and programs run inside them.

Everything made here is named after this process and taken down by `close()`; programs are ended by
their own pids. Needs root and iproute2; `available()` says why not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self


def available() -> str:
    """Return '' when namespaces can be made here, else the reason."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "iproute2 and util-linux are needed for network namespaces"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this kernel refuses network namespaces"


def ip(*words: str) -> None:
    """Run one ip command; raise with its words when it fails."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Program:
    """A running program whose output is kept line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, fits: Callable[[str], bool], seconds: float, start: int = 0) -> str:
        """Return the first line from `start` on that fits, or fail with all the output."""
        until = time.monotonic() + seconds
        at = start
        with self._changed:
            while True:
                while at < len(self.lines):
                    if fits(self.lines[at]):
                        return self.lines[at]
                    at += 1
                left = until - time.monotonic()
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if left <= 0 or (ended and at >= len(self.lines)):
                    raise AssertionError(f"no such line within {seconds} s in:\n{self.text}")
                self._changed.wait(min(left, 0.2))

    def cpu_seconds(self) -> float:
        """Return the processor time that the program has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, seconds: float) -> int:
        """Return the exit code; fail with the output when it does not end in time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.text}") from None
        self._reader.join(5)
        return code

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """End the program and its children at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 10) -> None:
        """End the program politely, then by force, with its children."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Host:
    """One network namespace."""

    def __init__(self, lan: Lan, name: str) -> None:
        self.lan = lan
        self.name = name
        self.namespace = f"sg{os.getpid()}{name}"
        ip("netns", "add", self.namespace)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        return f"/run/netns/{self.namespace}"

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command on this host."""
        return ["nsenter", f"--net={self.path}", *words]

    def run(
        self,
        *words: str,
        seconds: float = 60,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end; fail with its output when it fails."""
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **(env or {})},
            input=stdin,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def start(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> Program:
        """Start a program here; it is stopped with the LAN at the latest."""
        process = subprocess.Popen(
            [*prefix, *self.command(*words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
        )
        program = Program(process)
        self.lan.programs.append(program)
        return program


class Lan:
    """Hosts and the wires between them, taken down together."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.programs: list[Program] = []
        self._wires = 0

    def host(self, name: str) -> Host:
        """Make a host."""
        host = Host(self, name)
        self.hosts.append(host)
        return host

    def wire(self, a: Host, address_a: str, b: Host, address_b: str) -> tuple[str, str]:
        """Join two hosts; addresses are CIDR. Return the interface names at both ends."""
        number = self._wires
        self._wires += 1
        names = (f"e{number}a{os.getpid() % 100000}", f"e{number}b{os.getpid() % 100000}")
        ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for host, name, address in ((a, names[0], address_a), (b, names[1], address_b)):
            ip("link", "set", name, "netns", host.namespace)
            host.run("ip", "link", "set", name, "up")
            host.run("ip", "address", "add", address, "dev", name)
            host.run("ip", "route", "add", "224.0.0.0/4", "dev", name, check=False)
        return names

    def close(self) -> None:
        """Stop every program, then remove every namespace and wire."""
        for program in reversed(self.programs):
            program.stop(3)
        self.programs.clear()
        for host in self.hosts:
            with contextlib.suppress(RuntimeError):
                ip("netns", "delete", host.namespace)
        self.hosts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_until(happened: Callable[[], object], seconds: float, what: str) -> object:
    """Return the first true answer of `happened`, asked every 50 ms; fail after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        answer = happened()
        if answer:
            return answer
        if time.monotonic() >= until:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
