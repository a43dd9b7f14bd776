"""A machine that systemd runs: the real program as process 1 of namespaces of its own, over this host's files.

What it changes goes into memory and is gone with it; this host sees none of it. Has the system's D-Bus and no other
unit than a test gives it. Starts in a second. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.product import wait_for

PROJECT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
NEEDED = ("unshare", "nsenter", "dbus-daemon", "systemctl", "systemd-sysusers")
NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net")
SECONDS = 20.0
UNITS = Path("/units")
DBUS = ("dbus.service", "dbus.socket", "shutdown.target", "sockets.target")
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
EMPTY = ("basic", "multi-user", "network", "network-online", "sysinit")

# $1 is an empty folder; what follows it is bound into the machine as it is, read-only.
BOOT = f"""
set -eu
mount -t tmpfs tmpfs "$1"
cd "$1"
shift
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for device in {" ".join(DEVICES)}; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
rm -rf etc/systemd/system etc/sigap lib/systemd/system-generators var/lib/sigap var/lib/sigap-agent
mkdir -p etc/systemd/system etc/sigap .{UNITS}/multi-user.target.wants
echo 0123456789abcdef0123456789abcdef >etc/machine-id
for unit in {" ".join(DBUS)}; do cp "/lib/systemd/system/$unit" .{UNITS}; done
for unit in {" ".join(EMPTY)}; do echo "[Unit]" >".{UNITS}/$unit.target"; done
ln -s ../dbus.service .{UNITS}/multi-user.target.wants
for folder; do
  mkdir -p ".$folder"
  mount --bind -o ro "$folder" ".$folder"
  # An account of a service must reach it, wherever it is.
  while folder=$(dirname "$folder"); [ "$folder" != / ]; do chmod o+rx ".$folder"; done
done
pivot_root . mnt
umount -l mnt
exec env -i container=sigap PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH=/etc/systemd/system:{UNITS} \\
  {SYSTEMD} --system --unit=multi-user.target --show-status=no
"""


class Machine:
    """One that runs; `root` are its files as this host sees them, `bus` its D-Bus."""

    def __init__(self, pid: int) -> None:
        self._enter = ("nsenter", "--all", f"--target={pid}")
        self.root = Path(f"/proc/{pid}/root")
        self.bus = self.root / "run/dbus/system_bus_socket"

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command in it to its end; what it printed."""
        done = subprocess.run([*self._enter, *command], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert fails or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.log()}"
        return done.stdout.strip()

    def unit(self, name: str, text: str) -> None:
        """Give it a unit, or another text for one that it has. Call `reload` before it is used."""
        (self.root / f".{UNITS}/{name}").write_text(text)

    def show(self, folders: list[str]) -> None:
        """Let every service see these, also where PrivateTmp= hides what is around them."""
        drop_in = self.root / "etc/systemd/system/service.d/programs.conf"
        drop_in.parent.mkdir()
        drop_in.write_text("[Service]\n" + "".join(f"BindReadOnlyPaths={folder}\n" for folder in folders))
        self.reload()

    def reload(self) -> None:
        """Let it read its units."""
        self.run("systemctl", "daemon-reload")

    def shows(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def log(self) -> str:
        """What the services said that were told to say it there."""
        files = sorted((self.root / "run").glob("*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text()}" for file in files)

    def is_up(self) -> bool:
        """Whether it has booted."""
        return self.run("systemctl", "is-active", "multi-user.target", fails=True) == "active"


def programs() -> list[str]:
    """The folders that our programs run from: the project, its environment, the interpreter's."""
    folders = {PROJECT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()} - {Path("/usr")}
    return [str(one) for one in sorted(folders) if not any(one.is_relative_to(other) for other in folders - {one})]


def obstacle() -> str:
    """What stands in the way of a machine; empty when nothing does."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not SYSTEMD.exists():
        return f"needs Debian's systemd and dbus here: {' '.join(missing) or SYSTEMD}"
    if os.geteuid() != 0 or _groups() is None:
        return "needs root and a cgroup2 hierarchy"
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "true"], capture_output=True, text=True, check=False)
    return f"needs namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def _groups() -> Path | None:
    """Where this host's control groups are."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return next((Path(line.split()[1]) for line in lines if line.split()[2] == "cgroup2"), None)


@contextmanager
def machine() -> Iterator[Machine]:
    """A machine; skips by name where there can be none."""
    if reason := obstacle():
        pytest.skip(reason)
    groups = _groups()
    assert groups is not None
    group = groups / f"sigap-test-{os.getpid()}"
    group.mkdir()
    with tempfile.TemporaryDirectory(prefix="sigap-machine-") as folder:
        boot = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", BOOT, "boot", folder, *programs()]
        # It joins its own group before its namespace of groups begins, so that it sees nothing above.
        joined = ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "join", *boot]
        process = subprocess.Popen(joined, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            made = Machine(wait_for(lambda: _first_process(process), SECONDS, "process 1"))
            wait_for(made.is_up, SECONDS, "the machine is up")
            made.show(programs())
            yield made
        finally:
            process.kill()
            process.communicate()
            wait_for(lambda: _gone(group), SECONDS, "the machine's groups are empty")


def _first_process(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is not None:
        assert process.stderr is not None
        raise AssertionError(f"the machine did not start: {process.stderr.read().decode()}")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    # Until the exec it is our shell, whose first process is nobody's machine.
    is_systemd = children and Path(f"/proc/{children[0]}/exe").resolve().name == "systemd"
    return int(children[0]) if is_systemd else 0


def _gone(group: Path) -> bool:
    for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # Somebody in it is not dead yet.
    return True
