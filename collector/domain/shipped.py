"""Rules that a new collector starts with, as documents of the register; afterwards they belong to the people there.

Keys are stable: they are the `alertname` of what fires. Levels follow common practice and are meant to be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MINUTE_SECONDS = 60


def _rule(
    key: str,
    name: str,
    measure: str,
    level: float,
    *,
    clear_level: float,
    minutes: float,
    summary: tuple[str, str],
    advice: tuple[str, str],
    severity: str = "warning",
    comparison: str = ">",
) -> Mapping[str, Any]:
    return {
        "register": "rule",
        "key": key,
        "name": name,
        "measure": measure,
        "comparison": comparison,
        "level": level,
        "clear_level": clear_level,
        "for_seconds": minutes * MINUTE_SECONDS,
        "severity": severity,
        "summary": summary[0],
        "summary_id": summary[1],
        "advice": advice[0],
        "advice_id": advice[1],
    }


RULES: tuple[Mapping[str, Any], ...] = (
    _rule(
        "filesystem-filling",
        "Filesystem is filling up",
        "filesystem_used_ratio",
        0.90,
        clear_level=0.87,
        minutes=5,
        summary=("{mountpoint} on {host} is {value} full", "{mountpoint} di {host} terisi {value}"),
        advice=(
            "Find what grows with: du -xh --max-depth=2 {mountpoint} | sort -h | tail",
            "Cari yang membesar dengan: du -xh --max-depth=2 {mountpoint} | sort -h | tail",
        ),
    ),
    _rule(
        "filesystem-full",
        "Filesystem is full",
        "filesystem_used_ratio",
        0.97,
        clear_level=0.95,
        minutes=1,
        severity="critical",
        summary=("{mountpoint} on {host} is {value} full", "{mountpoint} di {host} terisi {value}"),
        advice=(
            "Free space now: programs that write to it are about to fail.",
            "Kosongkan ruang sekarang: program yang menulis ke sana akan segera gagal.",
        ),
    ),
    _rule(
        "memory-used",
        "Memory is nearly used up",
        "memory_used_ratio",
        0.93,
        clear_level=0.88,
        minutes=10,
        summary=("{value} of the memory of {host} is used", "{value} memori {host} terpakai"),
        advice=(
            "Look at the largest processes on the host's page.",
            "Lihat proses terbesar di halaman host tersebut.",
        ),
    ),
    _rule(
        "memory-pressure",
        "Programs wait for memory",
        "memory_pressure_ratio",
        0.20,
        clear_level=0.10,
        minutes=5,
        summary=(
            "Programs on {host} wait for memory {value} of the time",
            "Program di {host} menunggu memori {value} dari waktu",
        ),
        advice=(
            "The host is short of memory even if some is free: stop something or add memory.",
            "Host kekurangan memori meskipun masih ada yang bebas: hentikan sesuatu atau tambah memori.",
        ),
    ),
    _rule(
        "swap-used",
        "Swap is filling up",
        "swap_used_ratio",
        0.80,
        clear_level=0.70,
        minutes=15,
        severity="info",
        summary=("{value} of the swap of {host} is used", "{value} swap {host} terpakai"),
        advice=("See whether a program leaks memory.", "Periksa apakah ada program yang membocorkan memori."),
    ),
    _rule(
        "cpu-saturated",
        "CPU is saturated",
        "cpu_busy_ratio",
        0.95,
        clear_level=0.90,
        minutes=15,
        summary=("The CPUs of {host} are {value} busy", "CPU {host} sibuk {value}"),
        advice=(
            "Look at the busiest processes on the host's page.",
            "Lihat proses tersibuk di halaman host tersebut.",
        ),
    ),
    _rule(
        "load-high",
        "Load is high",
        "load_per_cpu",
        2.0,
        clear_level=1.5,
        minutes=15,
        summary=("{value} programs wait for each CPU of {host}", "{value} program menunggu setiap CPU {host}"),
        advice=(
            "If the CPUs are idle, programs wait for a disk: look at disk times.",
            "Bila CPU menganggur, program menunggu disk: lihat waktu disk.",
        ),
    ),
    _rule(
        "clock-skew",
        "Clock is off",
        "clock_skew_seconds",
        2.0,
        clear_level=1.0,
        minutes=5,
        summary=("The clock of {host} is off by {value}", "Jam {host} selisih {value}"),
        advice=(
            "Start a time service, for example: systemctl enable --now systemd-timesyncd",
            "Jalankan layanan waktu, misalnya: systemctl enable --now systemd-timesyncd",
        ),
    ),
    _rule(
        "certificate-expiring",
        "Certificate expires soon",
        "certificate_days_left",
        14,
        comparison="<",
        clear_level=15,
        minutes=0,
        summary=("The certificate of {check} ends in {value}", "Sertifikat {check} berakhir dalam {value}"),
        advice=("Renew it and reload the server.", "Perbarui sertifikat dan muat ulang servernya."),
    ),
    _rule(
        "certificate-ending",
        "Certificate ends within days",
        "certificate_days_left",
        3,
        comparison="<",
        clear_level=4,
        minutes=0,
        severity="critical",
        summary=("The certificate of {check} ends in {value}", "Sertifikat {check} berakhir dalam {value}"),
        advice=("Renew it today.", "Perbarui hari ini juga."),
    ),
    _rule(
        "agent-silent",
        "Agent is silent",
        "agent_silent_seconds",
        60,
        clear_level=60,
        minutes=0,
        summary=("Nothing heard from {host} for {value}", "Tidak ada kabar dari {host} selama {value}"),
        advice=(
            "The host may be down, cut off, or its agent stopped: systemctl status sigap-agent",
            "Host mungkin mati, terputus, atau agennya berhenti: systemctl status sigap-agent",
        ),
    ),
    _rule(
        "check-down",
        "Check is down",
        "check_state",
        3,
        comparison=">=",
        clear_level=3,
        minutes=0,
        severity="critical",
        summary=("{check} on {host} is down: {reason}", "{check} di {host} mati: {reason}"),
        advice=(
            "Start with the reason. Refused: nothing listens there, so see whether the program runs. No answer: it is "
            "cut off or overloaded. A wrong answer: read the program's own log of that time. To look again at once, "
            "on {host}: sigap-agent once | grep probe_success",
            "Mulai dari alasannya. Ditolak: tidak ada yang mendengarkan, jadi lihat apakah programnya berjalan. Tidak "
            "menjawab: terputus atau kelebihan beban. Jawaban salah: baca log program itu pada waktu tersebut. Untuk "
            "memeriksa lagi sekarang juga, di {host}: sigap-agent once | grep probe_success",
        ),
    ),
)
