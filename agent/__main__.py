"""The command line of the agent: check-config, once, enrol, run.

Reads arguments and the environment, composes the parts, turns errors into one clear message and an exit code. Measures
and sends nothing itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent import config as configuration
from agent.config import Config, ConfigError
from agent.version import VERSION

EXIT_FAILED, EXIT_USAGE = 1, 2
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SPOOL_FILE = "spool.db"
EPOCH_BYTES = 16
GARBAGE_OBJECTS = 20_000
"""A beat makes hundreds of objects and leaves no cycles: looking for some after every 700 costs more than it finds."""

EXAMPLES = """examples:
  sigap-agent once                              measure this host once, as Prometheus text
  sigap-agent check-config --config agent.yaml  show what a file means, or what is wrong with it
  sigap-agent enrol sigap1.TOKEN                exchange the collector's one-time token for a certificate
  sigap-agent run                               measure and deliver until stopped

Without --config the file is $SIGAP_AGENT_CONFIG, else agent.toml or agent.yaml in $CONFIGURATION_DIRECTORY,
/etc/sigap (root) or ~/.config/sigap. Without a file the agent watches this host.
SIGAP_AGENT_SECTION__KEY overrides the file; exit code 2 means that the configuration cannot be used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        config = configuration.load(arguments.config, os.environ)
    except ConfigError as error:
        print(f"sigap-agent: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    try:
        return int(arguments.command(config, arguments))
    except BrokenPipeError:
        # Whoever read our output has seen enough; point it elsewhere, so that the flush at exit does not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigap-agent",
        description="Measures this host, checks services, and ships what it saw to a Sigap collector.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sigap-agent {VERSION}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help="YAML or TOML file")
    # Told its name, argparse need not format a usage to find it, for which it would load the archivers of shutil.
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", prog=parser.prog)

    def command(name: str, run: Any, words: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, parents=[shared], help=words, description=words)
        made.set_defaults(command=run)
        return made

    shows = command("check-config", _check_config, "Show the effective configuration without its secrets.")
    shows.add_argument("--json", action="store_true", help="for programs")
    command("once", _once, "Run every probe and check once and print Prometheus text; nothing is sent.")
    enrols = command("enrol", _enrol, "Exchange a one-time token for this host's certificate.")
    enrols.add_argument("token", nargs="?", metavar="TOKEN", help="as shown by the collector")
    enrols.add_argument("--token-file", metavar="FILE", help="read the token from a file, - is standard input")
    enrols.add_argument("--address", default="", metavar="HOST:PORT", help="enrol there instead of at the token's own")
    runs = command("run", _run, "Measure and deliver until stopped. SIGHUP reads the file again, SIGTERM ends.")
    runs.add_argument(
        "--while-stdin", action="store_true", help="end too when standard input is closed, as a child does"
    )
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def _fail(text: object) -> int:
    sys.stderr.write(f"sigap-agent: {text}\n")
    return EXIT_FAILED


def _check_config(config: Config, arguments: argparse.Namespace) -> int:
    shown = config.shown()
    if arguments.json:
        _say(json.dumps(shown, indent=2))
        return 0
    _say(f"# {config.path or 'no file: this host is watched and proposals are made'}")
    for line in _lines(shown, ""):
        _say(line)
    return 0


def _lines(value: Any, path: str) -> list[str]:
    """One `path = value` per value, greppable."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _lines(item, f"{path}.{key}" if path else key)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [line for number, item in enumerate(value) for line in _lines(item, f"{path}[{number}]")]
    return [f"{path} = {json.dumps(value, ensure_ascii=False)}"]


def _once(config: Config, _: argparse.Namespace) -> int:
    from agent import exposition, sampler, schedule
    from agent.columns import is_absent
    from agent.sample import Sample

    _log(config, quiet=True)
    beats: list[sampler.Beat] = []
    everything = [*schedule.host_probes(config), *schedule.own_checks(config)]
    sampler.Sampler(everything, beats.append, rng=random.SystemRandom()).run_once()
    pairs = [pair for beat in beats for pair in zip(beat.columns, beat.values, strict=True)]
    _say(exposition.text(Sample(series, value) for series, value in pairs if not is_absent(value)))
    for result in sorted(result for beat in beats for result in beat.results):
        sys.stderr.write(f"{result.wire_id} {result.outcome.state.name.lower()}: {result.outcome.reason}\n")
    return 0


def _enrol(config: Config, arguments: argparse.Namespace) -> int:
    from agent import enrol

    try:
        token = arguments.token or _token(arguments.token_file) or config.file.enrolment.token
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"Cannot read the token from {arguments.token_file}: {error}")
    if not token:
        return _fail("No token. Take one from the collector's page Agents, then: sigap-agent enrol TOKEN")
    address = arguments.address or config.file.enrolment.address
    try:
        made = enrol.enrol(token, config.state_directory, config.host_name, version=VERSION, address=address)
    except (enrol.EnrolError, enrol.IdentityError) as error:
        return _fail(error)
    _say(f"Enrolled as {made.agent_id}; delivers to {made.address}. Identity in {config.state_directory}.")
    return 0


def _token(path: str | None) -> str:
    if path is None:
        return ""
    return (sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="ascii")).strip()


def _run(config: Config, arguments: argparse.Namespace) -> int:
    from agent import identity, sampler
    from agent.identity import Identity
    from agent.membership import Membership
    from agent.pipeline import Break, Pipeline, Receive
    from agent.service_manager import ServiceManager
    from agent.spool import Spool
    from agent.spool_file import SpoolError
    from agent.uplink import About, Uplink

    _log(config)
    boot_id = BOOT_ID.read_text(encoding="ascii").strip()
    try:
        identity.prepare(config.state_directory)
        spool = Spool.open(
            config.state_directory / SPOOL_FILE,
            moment=sampler.now(),
            boot_id=boot_id,
            new_epoch=lambda: os.urandom(EPOCH_BYTES),
            limit_bytes=config.file.state.spool_limit_bytes,
            keep_ms=int(config.file.state.spool_keep_seconds * 1000),
        )
    except (identity.IdentityError, SpoolError) as error:
        return _fail(error)

    def connect(config: Config, found: Identity, receive: Receive, fail: Break) -> Uplink:
        about, rng = About(VERSION, config.host_name, boot_id, config.accepts_checks), random.SystemRandom()
        return Uplink(found, spool, about=about, now=sampler.now, rng=rng, receive=receive, on_broken=fail)

    manager = ServiceManager(os.environ)
    load = partial(configuration.load, arguments.config, os.environ)
    pipeline = Pipeline(config, spool, load=load, trust=Membership(config), connect=connect, manager=manager)
    _listen(pipeline.stop, pipeline.reload, while_stdin=arguments.while_stdin)
    _settle()
    logging.info("started version=%s checks=%d state=%s", VERSION, len(config.checks), config.state_directory)
    return pipeline.run()


def _settle() -> None:
    """What is loaded by now stays: no garbage collection looks through it again."""
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


def _listen(stop: Callable[[], None], reload: Callable[[], None], *, while_stdin: bool) -> None:
    """Take what signals and the end of standard input ask for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    signal.signal(signal.SIGHUP, lambda *_: reload())
    if while_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), name="stdin", daemon=True).start()


def _watch_stdin(stop: Callable[[], None]) -> None:
    """Stop when whoever started us is gone, however it went."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    logging.info("stdin_closed; ending with the program that started this one")
    stop()


def _log(config: Config, *, quiet: bool = False) -> None:
    level = logging.WARNING if quiet else config.file.log.level.upper()
    # The journal has times of its own.
    times = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=level, stream=sys.stderr, format=f"{times}%(levelname)s %(name)s %(message)s")


if __name__ == "__main__":
    sys.exit(main())
