"""The commands that ask a running collector, against one that answers on its control socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from collector.__main__ import EXIT_FAILED, EXIT_USAGE, cli
from tests.collector.conftest import Run
from tests.security.fortress import HOST, Fortress

RECORD = "register: host\nkey: {key}\nname: {key}\n"
TERMINAL = 80


async def test_agents_are_listed_by_host_within_a_terminal(sigap: Run) -> None:
    told = await sigap("agents")
    head, *_, last = told.stdout.splitlines()
    assert head.split() == ["host", "state", "version", "last", "seen", "spool", "gaps"]
    assert last.startswith(f"{HOST}  silent")
    assert max(map(len, told.stdout.splitlines())) <= TERMINAL
    assert "\x1b" not in told.stdout
    (only,) = json.loads((await sigap("agents", "--host", "db-1", "--json")).stdout)
    assert (only["host"], only["state"]) == ("db-1", "silent")


async def test_an_unknown_host_is_an_error_and_not_an_empty_list(sigap: Run) -> None:
    told = await sigap("agents", "--host", "nobody")
    assert (told.exit_code, told.stdout) == (EXIT_FAILED, "")
    assert "There is no host 'nobody'." in told.stderr


async def test_an_agent_is_revoked_by_its_host(sigap: Run) -> None:
    told = await sigap("revoke", HOST, "--why", "replaced")
    assert told.stdout.endswith(f" of {HOST}.\n")
    (agent,) = json.loads((await sigap("agents", "--host", HOST, "--json")).stdout)
    assert (agent["state"], agent["revoked_why"]) == ("revoked", "replaced")
    again, unknown = await sigap("revoke", HOST, "--why", "x"), await sigap("revoke", "nobody", "--why", "x")
    assert (again.exit_code, unknown.exit_code) == (EXIT_FAILED, EXIT_FAILED)
    assert "revoked before" in again.stderr
    assert "There is no agent nobody." in unknown.stderr


async def test_what_is_wrong_in_files_is_told_by_file_line_document_and_record(sigap: Run, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    (folder / "deep").mkdir(parents=True)
    (folder / "hosts.yaml").write_text(RECORD.format(key="a") + "---\n" + RECORD.format(key="b"))
    wrong = folder / "deep" / "shop.yml"
    wrong.write_text(
        "# what we sell\nregister: service\nkey: mine\nname: Mine\n\navailability_objective: 120\n---\n"
        "register: ship\nkey: x\n---\nregister: service\nkey: mine\nname: Mine\n"
    )
    (folder / ".hidden.yaml").write_text("no: [")
    told = await sigap("apply", str(folder))
    assert (told.exit_code, told.stdout) == (EXIT_USAGE, "")
    assert f"{wrong}:6 (document 1, service mine): availability_objective: must be" in told.stderr
    assert f"{wrong}:8 (document 2): register: must be one of" in told.stderr
    assert f"{wrong}:11 (document 3, service mine): is given twice" in told.stderr
    assert "Nothing was applied: 3 things are wrong." in told.stderr
    assert json.loads((await sigap("agents", "--json")).stdout)  # it still answers


async def test_a_directory_and_standard_input_are_applied_together(sigap: Run, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(RECORD.format(key="a") + "---\n" + RECORD.format(key="b"))
    dry = await sigap("apply", "--dry-run", str(tmp_path / "hosts.yaml"), "-", text=RECORD.format(key="c"))
    assert dry.stdout.splitlines()[1:] == ["host      a    create", "host      b    create", "host      c    create"]
    assert dry.stderr == "3 would change, 0 as they were.\n"
    await sigap("apply", str(tmp_path / "hosts.yaml"))
    again = await sigap("apply", "-", text=RECORD.format(key="a"))
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "0 changed, 1 as they were.\n")


async def test_what_was_exported_can_be_applied_through_a_pipe(sigap: Run) -> None:
    text = (await sigap("export", "--register", "host", "--register", "service")).stdout
    done = await sigap("apply", "-", text=text)
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: [", "f.yaml:1: "),
        (b"x: 1\nname: \xff\n", "f.yaml:2 is not UTF-8 text"),
        (b"register: host\nx: 2024-99-01", "f.yaml:1 (document 1): month must be in 1..12"),
        (b"\x00", "special characters are not allowed"),
    ],
)
async def test_a_file_that_cannot_be_read_is_named(sigap: Run, tmp_path: Path, raw: bytes, told: str) -> None:
    (tmp_path / "f.yaml").write_bytes(raw)
    result = await sigap("apply", str(tmp_path / "f.yaml"))
    assert result.exit_code == EXIT_USAGE
    assert told in result.stderr


async def test_files_that_are_not_there_are_named_before_anything_is_sent(sigap: Run, tmp_path: Path) -> None:
    missing, empty = await sigap("apply", str(tmp_path / "no.yaml")), await sigap("apply", str(tmp_path / "data"))
    assert (missing.exit_code, empty.exit_code) == (EXIT_USAGE, EXIT_USAGE)
    assert "no.yaml cannot be read: No such file or directory." in missing.stderr
    assert "holds no document" in empty.stderr


@pytest.mark.parametrize("name", [["token", "grafana"], ["enrol", "--host", "web-9"], ["sign-in", "administrator"]])
async def test_a_secret_alone_is_printed_for_a_pipe_and_more_for_programs(sigap: Run, name: list[str]) -> None:
    plain, told = await sigap(*name), json.loads((await sigap(*name, "--json")).stdout)
    assert len(plain.stdout.splitlines()) == 1
    assert set(told) & {"secret", "link"}


async def test_alerts_are_listed_worst_first(sigap: Run) -> None:
    lines = (await sigap("alerts")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["severity", "critical", "warning"]


async def test_a_collector_elsewhere_is_asked_with_a_token(sigap: Run, there: Fortress) -> None:
    with_token = await sigap("agents", "--url", there.url + "/", "--token", there.secrets["token read"])
    assert HOST in with_token.stdout
    without = await sigap("agents", "--url", there.url)
    assert (without.exit_code, "SIGAP_TOKEN" in without.stderr) == (EXIT_FAILED, True)
    async with TestServer(web.Application()) as other:
        stranger = await sigap("agents", "--url", str(other.make_url("")))
    assert "is no collector: HTTP 404" in stranger.stderr


@pytest.mark.parametrize("url", ["collector", "ftp://collector", "http://:80", "http://x:port", "http://me@x"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    told = CliRunner().invoke(cli, ["agents", "--url", url])
    assert (told.exit_code, "--url" in told.stderr) == (EXIT_USAGE, True)


async def test_a_command_for_this_host_only_says_so_beside_it(sigap: Run) -> None:
    told = await sigap("enrol")
    assert len(told.stdout.splitlines()) == 1
    assert "telemetry.address = 192.0.2.10:" in told.stderr
    assert "telemetry.address" in json.loads((await sigap("enrol", "--json")).stdout)["hint"]
