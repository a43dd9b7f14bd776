"""The register of hosts: every machine that is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import IN_USE_OR_RETIRED
from collector.domain.registers.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Record):
    """A machine that is watched. Its key is the label `instance` of every series it sends."""

    site: str = field.text(
        "Site", "Lokasi", help=("Where it stands.", "Tempat mesin ini berada."), listed=True, filtered=True
    )
    environment: str = field.text(
        "Environment",
        "Lingkungan",
        help=("For example production or test.", "Misalnya produksi atau uji."),
        listed=True,
        filtered=True,
    )
    owner: str = field.text(
        "Owner", "Pemilik", help=("Who answers for it.", "Penanggung jawab."), listed=True, searched=True, filtered=True
    )
    labels: Mapping[str, str] = field.pairs(
        "Labels",
        "Label",
        help=("One name=value a line; rules select by them.", "Satu nama=nilai per baris; dipakai oleh aturan."),
    )
    description: str = field.multiline("Description", "Deskripsi", searched=True)
    ephemeral: bool = field.boolean(
        "Ephemeral",
        "Sementara",
        default=False,
        help=(
            "Comes and goes, such as an autoscaled machine: its silence raises no alert.",
            "Datang dan pergi, misalnya mesin autoscaling: diamnya tidak menimbulkan peringatan.",
        ),
    )


REGISTER = Register(
    name="host",
    entity=Host,
    title=Words("Host", "Host"),
    titles=Words("Hosts", "Host"),
    about=Words("Machines that an agent watches.", "Mesin yang dipantau oleh agen."),
    life=IN_USE_OR_RETIRED,
    example={"key": "web-1", "name": "Web server 1", "site": "Jakarta", "labels": {"tier": "front"}},
)
