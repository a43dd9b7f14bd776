from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.probes import systemd, units
from agent.probes.attempts import CannotProbe
from agent.probes.bus import Bus, CallFailed
from agent.probes.endpoint import Deadline
from agent.sample import State

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """The socket of a real dbus-daemon."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed")
    path = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(CONFIGURATION.format(path=path))
    arguments = [program, "--nofork", "--print-address", f"--config-file={tmp_path}/bus.conf"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # It listens once it has printed its address.
        yield path
        process.terminate()


@pytest.mark.counterpart
def test_real_bus_lets_us_in_and_answers_with_every_shape(daemon: Path) -> None:
    place = ("org.freedesktop.DBus", "/org/freedesktop/DBus")
    with Bus(daemon, Deadline(5)) as bus:
        (names,) = bus.call(*place, "org.freedesktop.DBus.ListNames")
        assert "org.freedesktop.DBus" in names
        (credentials,) = bus.call(*place, "org.freedesktop.DBus.GetConnectionCredentials", names[-1])
        assert dict(credentials)["UnixUserID"] == os.getuid()
        (features,) = bus.call(*place, "org.freedesktop.DBus.Properties.Get", "org.freedesktop.DBus", "Features")
        assert isinstance(features, list)
        with pytest.raises(CallFailed) as caught:
            bus.call(*place, "org.freedesktop.DBus.GetNameOwner", "no.such.name")
        assert caught.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"


@pytest.mark.counterpart
def test_bus_without_systemd_is_unknown(daemon: Path) -> None:
    with pytest.raises(CannotProbe, match=r"did not answer for ssh\.service"):
        units.unit_state(daemon, "ssh.service", Deadline(5))


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def aligned(data: bytes, size: int) -> bytes:
    return data + b"\0" * (-len(data) % size)


def returned(serial: int, signature: str, body: bytes) -> bytes:
    """A method return as a bus sends it."""
    fields = bytes((5, 1)) + b"u\0" + struct.pack("<I", serial)
    if signature:
        fields = aligned(fields, 8) + bytes((8, 1)) + b"g\0" + bytes((len(signature),)) + signature.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", 2, 1, 1, len(body), 99, len(fields))
    return aligned(head + fields, 8) + body


UNITS = [
    ("ssh.service", "OpenSSH", "loaded", "active", "running", "", "/u/ssh", 0, "", "/"),
    ("backup.service", "Nightly backup", "loaded", "failed", "failed", "", "/u/backup", 0, "", "/"),
]
STATES = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running"}


def units_body() -> bytes:
    body = b""
    for row in UNITS:
        body = aligned(body, 8)
        for value in row:
            body = aligned(body, 4) + (text(value) if isinstance(value, str) else struct.pack("<I", value))
    # The array's length, padding to a structure's alignment, its elements.
    return struct.pack("<I", len(body)) + b"\0\0\0\0" + body


def systemd_answer(call: bytes, serial: int) -> bytes:
    if b"ListUnits" in call:
        return returned(serial, "a(ssssssouso)", units_body())
    if b"LoadUnit" in call:
        return returned(serial, "o", text("/org/freedesktop/systemd1/unit/ssh_2eservice"))
    for name, state in STATES.items():
        if name.encode() in call:
            return returned(serial, "v", b"\x01s\0\0" + text(state))
    return returned(serial, "s", text(":1.7"))


@contextmanager
def bus_of(path: Path, answer: Callable[[bytes, int], bytes]) -> Iterator[None]:
    """A bus that one client may use, with systemd's replies made by hand."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            assert connection.recv(200).startswith(b"\0AUTH EXTERNAL ")
            connection.sendall(b"OK 1234deadbeef\r\n")
            assert connection.recv(7) == b"BEGIN\r\n"
            while call := connection.recv(4096):
                connection.sendall(answer(call, struct.unpack_from("<I", call, 8)[0]))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(5)
    server.close()


def test_state_of_a_unit_is_asked_for(tmp_path: Path) -> None:
    with bus_of(tmp_path / "bus", systemd_answer):
        assert units.unit_state(tmp_path / "bus", "ssh.service", Deadline(5)) == ("loaded", "active", "running")


def test_units_are_listed(tmp_path: Path) -> None:
    with bus_of(tmp_path / "bus", systemd_answer):
        listed = units.list_units(tmp_path / "bus", Deadline(5))
    assert [(unit.name, unit.active_state) for unit in listed] == [
        ("ssh.service", "active"),
        ("backup.service", "failed"),
    ]


def test_bus_that_sends_nonsense_is_unknown(tmp_path: Path) -> None:
    def broken(call: bytes, serial: int) -> bytes:
        return returned(serial, "as" if b"ListUnits" in call else "s", b"\xff\xff\xff\x7f" + b"x" * 20)

    with bus_of(tmp_path / "bus", broken), pytest.raises(CannotProbe, match="cannot be read"):
        units.list_units(tmp_path / "bus", Deadline(5))


def test_no_bus_and_no_systemd_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(CannotProbe, match="No D-Bus"):
        Bus(tmp_path / "none", Deadline(1))
    with pytest.raises(CannotProbe, match="not the service manager"):
        units.require_systemd(tmp_path / "none")


def test_bus_that_hangs_up_after_the_greeting_says_why(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "rude"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(200)
                connection.sendall(b"OK 1234deadbeef\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(CannotProbe, match="turned this user away"):
            Bus(tmp_path / "rude", Deadline(5))
        thread.join(5)


def test_systemd_that_does_not_answer_is_unknown_and_not_a_unit_that_is_down(tmp_path: Path) -> None:
    def silent(call: bytes, serial: int) -> bytes:
        return b"" if b"LoadUnit" in call else systemd_answer(call, serial)

    with bus_of(tmp_path / "bus", silent), pytest.raises(CannotProbe, match="did not answer on D-Bus within"):
        units.unit_state(tmp_path / "bus", "ssh.service", Deadline(0.2))


@pytest.mark.parametrize("unit", ["", ".service", "@x", "getty@", "x y", "a/b", "über", "a" * 300])
def test_what_systemd_takes_for_no_name_is_refused_at_once(unit: str) -> None:
    with pytest.raises(ValueError, match="is no unit name"):
        systemd.SystemdCheck(name="x", unit=unit)


@pytest.mark.parametrize("unit", ["nginx", "getty@tty1", "-.mount", r"dev-disk-by\x2dlabel-data.swap", "a:b_c.timer"])
def test_names_that_systemd_knows_are_accepted(unit: str) -> None:
    assert systemd.SystemdCheck(name="x", unit=unit).target.startswith(unit)


@pytest.mark.parametrize(
    ("states", "expected", "words"),
    [
        (("loaded", "active", "running"), State.UP, "x.service is active (running)"),
        (("loaded", "active", "exited"), State.UP, "x.service is active (exited)"),
        (("loaded", "activating", "start"), State.DEGRADED, "x.service is activating (start)"),
        (("loaded", "activating", "auto-restart"), State.DOWN, "x.service is activating (auto-restart)"),
        (("loaded", "reloading", "reload"), State.UP, "x.service is reloading (reload)"),
        (("masked", "active", "running"), State.UP, "x.service is active (running)"),
        (("not-found", "active", "running"), State.UP, "x.service is active (running)"),
        (("bad-setting", "inactive", "dead"), State.DOWN, "x.service has a unit file that systemd refuses"),
        (("merged", "inactive", "dead"), State.DOWN, "x.service is inactive (dead)"),
        (("loaded", "failed", "failed"), State.DOWN, "x.service is failed (failed)"),
        (("loaded", "inactive", "dead"), State.DOWN, "x.service is inactive (dead)"),
        (("not-found", "inactive", "dead"), State.DOWN, "x.service does not exist"),
        (("masked", "inactive", "dead"), State.DOWN, "x.service is masked"),
    ],
)
def test_states_are_judged(states: tuple[str, str, str], expected: State, words: str) -> None:
    found = systemd.judge("x.service", *states)
    assert (found.state, found.reason) == (expected, words)
