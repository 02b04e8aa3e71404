"""The laws of the tree as functions: a module and its syntax tree in, sentences of complaint out.

Each law is a generator of complaints, so that `test_laws.py` can show on bad samples that it fails,
and `test_tree.py` can hold the whole tree against it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FLOORS = {
    "base": 0,
    "asn1": 1, "model": 1,
    "wire": 2, "access": 2,
    "protocol": 3,
    "site": 4,
    "net": 5, "registry": 5, "driverkit": 5,
    "tracker": 6, "relay": 6, "endpoint": 6, "discovery": 6,
    "cameras": 7, "telemetry": 7, "appliance": 7,
    "web": 8,
    "settings": 9,
    "app": 10,
    "cli": 11,
    "__main__": 12,
}  # fmt: skip

HIGHEST_PURE_FLOOR = 4
CODE_LINES_MAX = 400

IMPURE = frozenset(
    "asyncio socket ssl select selectors threading sqlite3 subprocess multiprocessing signal "
    "aiohttp zeroconf paho time random secrets os uvloop logging.handlers urllib.request".split()
)
# base.clock and base.entropy are the two places where the world comes in, to be passed on.
PURITY_EXCEPTIONS = {
    "gateway.base.clock": frozenset({"time"}),
    "gateway.base.entropy": frozenset({"secrets", "os", "random"}),
}

# Which modules may import what: a prefix of module names for each door.
IMPORT_DOORS: dict[str, tuple[str, ...]] = {
    "sqlite3": ("gateway.registry",),
    "sqlite_utils": ("gateway.registry",),
    "zeroconf": ("gateway.discovery",),
    "paho": ("gateway.telemetry.mqtt",),
    "aiohttp": ("gateway.web", "gateway.driverkit.http", "gateway.cameras.http", "gateway.cli"),
    "subprocess": ("gateway.appliance", "gateway.net.datapath"),
    "multiprocessing": ("gateway.appliance", "gateway.net.datapath"),
    "systemd": (),  # appliance.notify asks importlib for it; see there
    "ssl": (
        "gateway.net",
        "gateway.telemetry.mqtt",
        "gateway.telemetry.mail",
        "gateway.web",
        "gateway.driverkit.http",
        "gateway.cameras.http",
    ),
}

# What opens a socket or a stream; only net does that.
SOCKET_OPENERS = frozenset(
    "socket.socket socket.create_connection socket.create_server socket.socketpair socket.fromfd "
    "asyncio.open_connection asyncio.start_server asyncio.open_unix_connection "
    "asyncio.start_unix_server select.epoll select.poll select.select "
    "selectors.DefaultSelector".split()
)
SOCKET_METHODS = frozenset(
    "create_connection create_server create_datagram_endpoint sock_connect sock_accept sock_recv "
    "sock_recv_into sock_sendall create_unix_server create_unix_connection connect_accepted_socket "
    "add_reader add_writer".split()
)
SOCKET_ROOMS = ("gateway.net",)
# sd_notify is a datagram to the service manager, and only appliance.notify speaks to that.
SOCKET_EXCEPTIONS = ("gateway.appliance.notify",)

TASK_MAKERS = frozenset({"create_task", "ensure_future", "TaskGroup", "gather", "as_completed"})
TASK_HOME = "gateway.net.tasks"

PROGRAM_STARTERS = frozenset(
    "os.system os.popen os.fork os.forkpty os.posix_spawn os.posix_spawnp os.execv os.execve "
    "os.execvp os.execvpe os.execl os.execlp asyncio.create_subprocess_exec "
    "asyncio.create_subprocess_shell".split()
)
PROGRAM_ROOMS = ("gateway.appliance", "gateway.net.datapath", "gateway.net.datagram")

# The virtual camera is a program of its own that stands on the network beside the gateway: it
# opens its own sockets, starts its encoder and speaks on its terminal.
OTHER_PROGRAMS = (
    "drivers.simulated.camera",
    "drivers.simulated.gst_camera",
    "drivers.simulated.zoo",
)
# The command line, and the few words with which the daemon greets whoever started it.
PRINTERS = ("gateway.cli", "gateway.app")

SHAPELESS_NAMES = frozenset({"helper", "helpers", "util", "utils", "common", "manager", "misc"})


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, its syntax tree and where it lies."""

    name: str
    tree: ast.Module
    path: Path
    lines: int

    @property
    def room(self) -> str:
        """The room (second part of the name), or "" for the package itself."""
        return self.name.split(".")[1] if "." in self.name else ""

    @classmethod
    def of(cls, name: str, source: str, path: str = "") -> Module:
        """Build a module from text, for the tree and for bad samples alike."""
        where = Path(path or name.replace(".", "/") + ".py")
        return cls(name, ast.parse(source), where, source.count("\n") + 1)


def modules(*tops: str) -> list[Module]:
    """Return every module under the given top-level folders of the repository."""
    found = []
    for top in tops:
        for path in sorted((ROOT / top).rglob("*.py")):
            relative = path.relative_to(ROOT)
            parts = list(relative.with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found.append(Module.of(".".join(parts), path.read_text(), str(relative)))
    return found


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Yield each imported dotted name and its line, those under TYPE_CHECKING included."""
    is_package = module.path.name == "__init__.py"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.name.split(".")
                cut = node.level - 1 if is_package else node.level
                above = above[: len(above) - cut]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                # `from gateway.net import tasks` means gateway.net.tasks; a class adds a tail
                # that no rule looks at.
                yield f"{base}.{alias.name}", node.lineno


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for a plain chain of attributes, else the last attribute, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def calls(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and line of everything called, with import aliases undone."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            aliases.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            head, _, tail = name.partition(".")
            head = aliases.get(head, head)
            yield (f"{head}.{tail}" if tail else head), node.lineno


def _within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def _floor(name: str) -> int | None:
    parts = name.split(".")
    return 0 if len(parts) == 1 else FLOORS.get(parts[1])


def breaks_floors(module: Module) -> Iterator[str]:
    """Law 1: imports go to lower floors and one's own room; drivers see driverkit and base."""
    if module.name.split(".")[0] == "drivers":
        own = ".".join(module.name.split(".")[:2])
        for target, line in imports(module):
            ours = target.split(".")[0] in ("gateway", "drivers")
            if ours and not _within(target, (own, "gateway.driverkit", "gateway.base")):
                yield f"{module.path}:{line} a driver may not import {target}"
        return
    floor = _floor(module.name)
    if floor is None:
        yield f"{module.path} lies in no known room; give {module.room} a floor first"
        return
    for target, line in imports(module):
        top = target.split(".")[0]
        if top in ("drivers", "tests", "bench"):
            yield f"{module.path}:{line} the gateway may not import {target} by name"
        if top != "gateway" or target in ("gateway.__version__", "gateway"):
            continue
        room = target.split(".")[1]
        if room == module.room:
            continue
        below = FLOORS.get(room)
        if below is None or below >= floor:
            yield f"{module.path}:{line} floor {floor} may not import {target} (floor {below})"


def breaks_purity(module: Module) -> Iterator[str]:
    """Law 2: floors 0 to 4 do no input, no output, know no time and no chance."""
    floor = _floor(module.name)
    if not module.name.startswith("gateway.") or floor is None or floor > HIGHEST_PURE_FLOOR:
        return
    allowed = PURITY_EXCEPTIONS.get(module.name, frozenset())
    for target, line in imports(module):
        parts = target.split(".")
        prefixes = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        for bad in sorted((prefixes & IMPURE) - allowed):
            yield f"{module.path}:{line} a pure floor may not import {bad}"


def breaks_doors(module: Module) -> Iterator[str]:
    """Law 3: sockets in net, the database in registry, programs in appliance, and so on."""
    if _within(module.name, OTHER_PROGRAMS):
        return
    for target, line in imports(module):
        top = target.split(".")[0]
        doors = IMPORT_DOORS.get(top)
        if doors is not None and not _within(module.name, doors):
            yield f"{module.path}:{line} {top} has its door elsewhere: {', '.join(doors) or 'none'}"
    for name, line in calls(module):
        last = name.rsplit(".", 1)[-1]
        if name in SOCKET_OPENERS or (last in SOCKET_METHODS and "." in name):
            places = (*SOCKET_ROOMS, *SOCKET_EXCEPTIONS)
            if not _within(module.name, places):
                yield f"{module.path}:{line} {name}() opens a socket or stream outside net"
        if name in PROGRAM_STARTERS and not _within(module.name, PROGRAM_ROOMS):
            yield f"{module.path}:{line} {name}() starts a program outside appliance"


def breaks_tasks(module: Module) -> Iterator[str]:
    """Law 3, tasks: only net.tasks makes them; everybody else asks a TaskRoom."""
    if module.name == TASK_HOME or _within(module.name, OTHER_PROGRAMS):
        return
    for name, line in calls(module):
        if name.rsplit(".", 1)[-1] in TASK_MAKERS:
            yield f"{module.path}:{line} {name}() makes a task; use a TaskRoom"


def breaks_print(module: Module) -> Iterator[str]:
    """Nobody but the command line and the greeting writes to a terminal."""
    if _within(module.name, (*PRINTERS, *OTHER_PROGRAMS)):
        return
    for name, line in calls(module):
        if name in ("print", "sys.stdout.write", "sys.stderr.write", "input"):
            yield f"{module.path}:{line} {name}() outside {' and '.join(PRINTERS)}"


def breaks_size(module: Module) -> Iterator[str]:
    """Law 4: a file that grows past the bound wants to be two."""
    if module.lines > CODE_LINES_MAX:
        yield f"{module.path} has {module.lines} lines, more than {CODE_LINES_MAX}"


def breaks_names(module: Module) -> Iterator[str]:
    """Names say what a thing is."""
    for part in module.name.split("."):
        if SHAPELESS_NAMES & set(part.split("_")):
            yield f"{module.path} has a name that says nothing: {part}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Helper", "Manager", "Util")):
            yield f"{module.path}:{node.lineno} class {node.name} has a name that says nothing"


def lacks_docstring(module: Module) -> Iterator[str]:
    """A module, a public class and a public function each begin with their contract."""
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.path} has no docstring"
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in module.tree.body:
        public = isinstance(node, kinds) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield f"{module.path}:{node.lineno} {node.name} has no docstring"


def lacks_future_annotations(module: Module) -> Iterator[str]:
    """Annotations are never evaluated, so that imports stay cheap and order stays free."""
    defines = any(not isinstance(node, ast.Expr | ast.Assign) for node in module.tree.body)
    future = any(target == "__future__.annotations" for target, _ in imports(module))
    if defines and not future:
        yield f"{module.path} lacks `from __future__ import annotations`"


LAWS = (
    breaks_floors,
    breaks_purity,
    breaks_doors,
    breaks_tasks,
    breaks_print,
    breaks_size,
    breaks_names,
    lacks_docstring,
    lacks_future_annotations,
)
