"""The pages of the manual that are written from the code: settings, metrics, command line.

What a page says around its tables stands in `reference.toml` in both languages; the meaning of an entry is the English
text in the code, and its Indonesian comes from `texts`. Writes nothing itself.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
from prometheus_client.metrics import MetricWrapperBase

import agent
from agent.__main__ import _parser
from agent.sample import Kind, Series
from collector import config
from collector.__main__ import cli
from collector.domain.registers.words import Words
from collector.edges.http.metrics import families
from collector.metrics import Metrics, series_families
from collector.store.database import Database
from collector.store.migrations import migrate
from collector.store.series import SeriesStore

Translate = Callable[[str], str]
ENTRY, METRIC, TYPE, LABELS = (
    Words("Setting", "Pengaturan"),
    Words("Metric", "Metrik"),
    Words("Type", "Jenis"),
    Words("Labels", "Label"),
)
DEFAULT, MEANING, OPTION = Words("Default", "Bawaan"), Words("Meaning", "Arti"), Words("Option", "Opsi")


class Row(NamedTuple):
    """One entry: cells that are the same in every language, then its English text."""

    cells: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A heading with what stands below it."""

    title: Words
    level: int = 2
    prose: Words | None = None
    text: str = ""
    """Told before the table; translated by the catalogue."""
    columns: tuple[Words, ...] = ()
    rows: tuple[Row, ...] = ()
    example: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One generated page of the manual."""

    name: str
    parts: Callable[[], Sequence[Part]]

    def texts(self) -> Iterator[str]:
        """Every English text on it that the catalogue has to translate."""
        for part in self.parts():
            if part.text:
                yield part.text
            yield from (row.text for row in part.rows if row.text)

    def written(self, language: str, translate: Translate) -> str:
        """The page as Markdown."""
        blocks = [f"# {_prose(self.name, 'title').to(language)}", _prose(self.name, "intro").to(language)]
        for part in self.parts():
            blocks.append(f"{'#' * part.level} {part.title.to(language)}")
            if part.prose is not None:
                blocks.append(part.prose.to(language))
            if part.text:
                blocks.append(translate(part.text))
            if part.rows:
                head = [column.to(language) for column in part.columns]
                lines = [_line(head), _line(["---"] * len(head))]
                lines += [_line([*row.cells, translate(row.text) if row.text else ""]) for row in part.rows]
                blocks.append("\n".join(lines))
            if part.example:
                blocks.append(f"```sh\n{part.example}\n```")
        return "\n\n".join(blocks) + "\n"


@cache
def _told() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _prose(*path: str) -> Words:
    found: Any = _told()
    for step in path:
        found = found[step]
    return Words(*(found[language].strip() for language in ("en", "id")))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _settings() -> tuple[Part, ...]:
    found: dict[str, list[Row]] = {}
    for row in config.table():
        shown = "" if row.default in ("", [], None) else f"`{_toml(row.default)}`"
        found.setdefault(row.section, []).append(Row((f"`{row.section}.{row.name}`", shown), row.help))
    sections = {name: type(getattr(config.Settings(), name)) for name in found}
    return tuple(
        Part(
            Words(f"`[{name}]`"),
            text=str(sections[name].__doc__).split("\n")[0],
            columns=(ENTRY, DEFAULT, MEANING),
            rows=tuple(rows),
        )
        for name, rows in found.items()
    )


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _metrics() -> tuple[Part, ...]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/sigap.db")
        try:
            migrate(database.engine)
            statistics = SeriesStore(database, clock=lambda: 0).statistics()
            decided = list(database.read_now(lambda connection: list(families(connection, 0))))
        finally:
            database.close()
    ours = Metrics()
    counted = [one for one in vars(ours).values() if isinstance(one, MetricWrapperBase)]
    process = [one for one in ours.registry.collect() if one.name.startswith("process_")]
    told = [_metric(one.name, "gauge", one.labels, one.help) for one in decided]
    own = [_metric(one._name, one._type or "unknown", one._labelnames, one._documentation) for one in counted]
    own += [
        _metric(one.name, one.type, getattr(one, "_labelnames", ()), one.documentation)
        for one in series_families(statistics, now_ms=0)
    ]
    own += [_metric(one.name, one.type, (), one.documentation) for one in process]
    agents = [
        _metric(one.name, one.kind.name.lower(), [name for name, _ in one.labels], one.help) for one in agent_series()
    ]
    columns = (METRIC, TYPE, LABELS, MEANING)
    return (
        Part(
            _prose("metrics", "decided", "title"),
            prose=_prose("metrics", "decided", "prose"),
            columns=columns,
            rows=tuple(sorted(told)),
        ),
        Part(
            _prose("metrics", "collector", "title"),
            prose=_prose("metrics", "collector", "prose"),
            columns=columns,
            rows=tuple(sorted(own)),
        ),
        Part(
            _prose("metrics", "agent", "title"),
            prose=_prose("metrics", "agent", "prose"),
            columns=columns,
            rows=tuple(sorted(agents)),
        ),
    )


def _metric(name: str, kind: str, labels: Iterable[str], text: str) -> Row:
    shown = f"{name}_total" if kind == "counter" and not name.endswith("_total") else name
    return Row((f"`{shown}`", kind, ", ".join(f"`{label}`" for label in labels)), text)


def agent_series() -> list[Series]:
    """What agents say of themselves, by name."""
    found = {}
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        for value in vars(importlib.import_module(module.name)).values() if "__main__" not in module.name else ():
            if isinstance(value, Series) and value.name.startswith("sigap_agent_") and isinstance(value.kind, Kind):
                found[value.name] = value
    return [found[name] for name in sorted(found)]


# ── command line ────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _commands() -> tuple[Part, ...]:
    commands = [_collector_command(name, command) for name, command in _leaves(cli)]
    return (
        Part(_prose("command-line", "sigap", "title"), prose=_prose("command-line", "sigap", "prose")),
        *commands,
        Part(_prose("command-line", "agent", "title"), prose=_prose("command-line", "agent", "prose")),
        *_agent_commands(),
    )


def _leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the groups it is in."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def _collector_command(name: str, command: click.Command) -> Part:
    about, _, example = re.sub(r"\s*\x08\s*", "\n", command.help or "").partition("Example:")
    options = [_option(each) for each in command.params if isinstance(each, click.Option)]
    arguments = [
        each.make_metavar(click.Context(command)) for each in command.params if isinstance(each, click.Argument)
    ]
    return Part(
        Words(" ".join(["sigap", name, *arguments])),
        3,
        text=" ".join(about.split()),
        columns=(OPTION, DEFAULT, MEANING),
        rows=tuple(options),
        example="\n".join(line.strip() for line in example.strip().splitlines()),
    )


def _option(option: click.Option) -> Row:
    name = option.opts[-1]
    if isinstance(option.type, click.Choice):
        written = f"{name} {'|'.join(option.type.choices)}"
    elif option.is_flag:
        written = "/".join([name, *option.secondary_opts])
    else:
        written = f"{name} {option.metavar or name.lstrip('-').upper()}"
    variable = f" (`{option.envvar}`)" if option.envvar else ""
    default = f"`{option.default}`" if isinstance(option.default, str) and option.default else ""
    return Row((f"`{written}`{variable}", default), option.help or "")


def _agent_commands() -> Iterator[Part]:
    for action in _parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, parser in action.choices.items():
                given = [each for each in parser._actions if each.help != argparse.SUPPRESS and each.dest != "help"]
                arguments = [f"[{each.metavar}]" for each in given if not each.option_strings]
                rows = tuple(Row((f"`{_written(each)}`", ""), each.help or "") for each in given)
                yield Part(
                    Words(" ".join(["sigap-agent", name, *arguments])),
                    3,
                    text=str(parser.description),
                    columns=(OPTION, DEFAULT, MEANING),
                    rows=rows,
                )


def _written(action: argparse.Action) -> str:
    return " ".join(str(part) for part in (*action.option_strings, action.metavar) if part)


PAGES: tuple[Page, ...] = (
    Page("settings", _settings),
    Page("metrics", _metrics),
    Page("command-line", _commands),
)
