"""What kind of host this is: system, kernel, processors, memory, addresses, virtualization.

Reads files below a root, so that a container can describe its host. What cannot be read is empty, never guessed.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from pathlib import Path
from typing import Any

KIBIBYTE = 1024
ADDRESSES_LIMIT = 32
IPV4_BYTES = 4

_VENDORS = {
    "qemu": "kvm", "kvm": "kvm", "vmware": "vmware", "virtualbox": "virtualbox", "innotek": "virtualbox",
    "xen": "xen", "microsoft corporation virtual": "hyper-v", "amazon ec2": "kvm", "google compute engine": "kvm",
    "openstack": "kvm", "parallels": "parallels", "bochs": "kvm", "firecracker": "firecracker",
}  # fmt: skip


def read(root: Path) -> dict[str, Any]:
    """The facts, JSON-able."""
    kernel = os.uname()
    return {
        "os": _os_name(root),
        "kernel": kernel.release,
        "architecture": kernel.machine,
        "cpu_count": os.cpu_count() or 0,
        "memory_bytes": _memory_bytes(root / "proc"),
        "boot_time_ms": _boot_time_ms(root / "proc"),
        "addresses": addresses(root / "proc"),
        "virtualization": virtualization(root),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _os_name(root: Path) -> str:
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', text, re.MULTILINE)
    return found.group(1) if found else ""


def _memory_bytes(proc: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB$", _text(proc / "meminfo"), re.MULTILINE)
    return int(found.group(1)) * KIBIBYTE if found else 0


def _boot_time_ms(proc: Path) -> int:
    found = re.search(r"^btime (\d+)$", _text(proc / "stat"), re.MULTILINE)
    return int(found.group(1)) * 1000 if found else 0


def addresses(proc: Path) -> list[str]:
    """Addresses that others may reach this host by: neither loopback nor link-local."""
    lines = _text(proc / "net/fib_trie").splitlines()
    local = {
        before.rpartition("-- ")[2].strip()
        for before, line in itertools.pairwise(lines)
        if line.strip() == "/32 host LOCAL"
    }
    words = [line.split() for line in _text(proc / "net/if_inet6").splitlines()]
    # Not as objects of ipaddress, which alone takes a quarter of a megabyte.
    found = {socket.inet_pton(socket.AF_INET, text) for text in local}
    found |= {bytes.fromhex(word[0]) for word in words if word}
    reachable = [address for address in found if not (_is_loopback(address) or _is_link_local(address))]
    return [_written(address) for address in sorted(reachable, key=lambda a: (len(a), a))][:ADDRESSES_LIMIT]


def _is_loopback(address: bytes) -> bool:
    return address[0] == 127 if len(address) == IPV4_BYTES else not any(address[:-1]) and address[-1] == 1


def _is_link_local(address: bytes) -> bool:
    """169.254.0.0/16 and fe80::/10."""
    return address[:2] == b"\xa9\xfe" if len(address) == IPV4_BYTES else address[0] == 0xFE and address[1] >> 6 == 0b10


def _written(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == IPV4_BYTES else socket.AF_INET6, address)


def virtualization(root: Path) -> str:
    """What the host runs on or in, in systemd-detect-virt's words; empty for bare metal and when not to be seen."""
    if container := _text(root / "run/systemd/container").strip():
        return container
    if (root / ".dockerenv").exists():
        return "docker"
    firmware = " ".join(_text(root / "sys/class/dmi/id" / name).strip() for name in ("sys_vendor", "product_name"))
    for words, name in _VENDORS.items():
        if words in firmware.lower():
            return name
    if hypervisor := _text(root / "sys/hypervisor/type").strip():
        return hypervisor
    return "vm-other" if re.search(r"^flags\s*:.*\bhypervisor\b", _text(root / "proc/cpuinfo"), re.MULTILINE) else ""
