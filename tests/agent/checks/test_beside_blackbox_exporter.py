"""Our checks beside the real blackbox_exporter: the same servers, the same verdict, the same numbers.

Where the two differ on purpose the case says why.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from agent.probes.textfile import LABEL, LINE
from agent.sample import State
from tests.ports import free_ports

from .conftest import Authority
from .places import SLOW_SECONDS, places
from .running import numbers, run

pytestmark = [pytest.mark.counterpart, pytest.mark.xdist_group("blackbox_exporter")]

BINARY = "prometheus-blackbox-exporter"
DEADLINE_SECONDS = 20
TIMEOUT_SECONDS = 1.0
LATENCY_SLACK_SECONDS = 0.15
"""By how much two looks at the same server may differ on a busy host."""

CA = "CA"  # stands for the file of the test's own authority
TRUSTING = {"tls_config": {"ca_file": CA}, "preferred_ip_protocol": "ip4"}


class Case(NamedTuple):
    """What is looked at, by which options of ours and which module of theirs; `{name}` is a server's port."""

    kind: str
    target: str
    up: bool
    ours: Mapping[str, Any] = {}
    theirs: Mapping[str, Any] = {}
    differs: str = ""  # why their verdict is the other one


def http(target: str, up: bool, ours: Mapping[str, Any] = {}, theirs: Mapping[str, Any] = {}, why: str = "") -> Case:
    return Case("http", target, up, {"ca_file": CA, **ours}, {**TRUSTING, **theirs}, why)


def dns(target: str, up: bool, ours: Mapping[str, Any] = {}, theirs: Mapping[str, Any] = {}, why: str = "") -> Case:
    module = {"query_name": "example.org", "query_type": "A", "preferred_ip_protocol": "ip4", **theirs}
    return Case("dns", f"127.0.0.1:{target}", up, {"query": "example.org", **ours}, module, why)


SITE, HTTPS = "http://127.0.0.1:{site}", "https://127.0.0.1:{https}"
WELCOME = {"fail_if_body_not_matches_regexp": ["Welcome"]}
END = {"fail_if_body_not_matches_regexp": ["end"]}
SMTP = {"query_response": [{"expect": "ESMTP"}]}
IMAP = {"query_response": [{"expect": "IMAP"}]}
TLS = {"tls": True, **TRUSTING}
NO_RECORD = "a name without an address serves nobody; they only look at the code"
CUT = "nobody gets at the records; they take the cut answer for one"
CASES = {
    "good": http(SITE + "/", True),
    "refused": http("http://127.0.0.1:{closed}/", False),
    "reset": http("http://127.0.0.1:{reset}/", False),
    "connection closed without an answer": http("http://127.0.0.1:{hangs_up}/", False),
    "silent": http("http://127.0.0.1:{silent}/", False),
    "slow body": http("http://127.0.0.1:{drips}/", False),
    "late answer in time": http("http://127.0.0.1:{late}/", True),
    "no HTTP": http("http://127.0.0.1:{nonsense}/", False),
    "HTTP to an encrypted port": http("http://127.0.0.1:{https}/", False),
    "status 503": http(SITE + "/status/503", False),
    "status 404 that is wanted": http(SITE + "/status/404", True, {"status": [404]}, {"valid_status_codes": [404]}),
    "204 without a body": http("http://127.0.0.1:{no_content}/", True),
    "body as it should be": http(SITE + "/", True, {"contains": "Welcome"}, WELCOME),
    "body that it should not be": http(SITE + "/status/200", False, {"contains": "Welcome"}, WELCOME),
    "body with what it must lack": http(
        SITE + "/", False, {"lacks": "Welcome"}, {"fail_if_body_matches_regexp": ["Welcome"]}
    ),
    "large body": http(SITE + "/big", True),
    "text at the end of a large body": http(
        SITE + "/big", False, {"contains": "end"}, END, "we read the first 64 KiB, so that no server fills an agent"
    ),
    "shorter body than announced": http("http://127.0.0.1:{short}/", False),
    "chunked": http("http://127.0.0.1:{chunked}/", True, {"contains": "Welcome shop"}, WELCOME),
    "broken chunks": http("http://127.0.0.1:{bad_chunk}/", False),
    "gzip that nobody asked for": http("http://127.0.0.1:{gzip}/", True),
    "text in gzip that nobody asked for": http("http://127.0.0.1:{gzip}/", False, {"contains": "Welcome"}, WELCOME),
    "HTTP/1.0": http("http://127.0.0.1:{http10}/", True, {"contains": "Welcome"}, WELCOME),
    "server that insists on the Host header": http("http://127.0.0.1:{wants_host}/", True),
    "redirect": http(SITE + "/to?/", True, {"contains": "Welcome"}, WELCOME),
    "redirect to https": http(SITE + "/to?" + HTTPS + "/", True, {}, {"fail_if_not_ssl": True}),
    "redirect to a bad certificate": http(SITE + "/to?https://127.0.0.1:{https_expired}/", False),
    "redirect loop": http(SITE + "/again", False),
    "redirect that is not followed": http(SITE + "/to?/", False, {"redirects": 0}, {"follow_redirects": False}),
    "redirect to nowhere": http("http://127.0.0.1:{no_location}/", False),
    "redirect to a closed port": http(SITE + "/to?http://127.0.0.1:{closed}/", False),
    "IPv6": http("http://[::1]:{six}/", True),
    "IPv6 alone, name": http("http://localhost:{six}/", True, {}, {"preferred_ip_protocol": "ip6"}),
    "IPv4 asked of IPv6": http(
        "http://localhost:{six}/", False, {"address_family": "ipv4"}, {"ip_protocol_fallback": False}
    ),
    "good certificate": http(HTTPS + "/", True),
    "certificate through another authority": http("https://127.0.0.1:{https_chain}/", True),
    "expired certificate": http("https://127.0.0.1:{https_expired}/", False),
    "certificate for another name": http("https://127.0.0.1:{https_other_name}/", False),
    "stranger's certificate": http("https://127.0.0.1:{https_stranger}/", False),
    "HTTPS to a plain port": http("https://127.0.0.1:{site}/", False),
    "tcp": Case("tcp", "127.0.0.1:{site}", True),
    "tcp refused": Case("tcp", "127.0.0.1:{closed}", False),
    "tcp greeting": Case("tcp", "127.0.0.1:{greets}", True, {"expect": "ESMTP"}, SMTP),
    "tcp wrong greeting": Case("tcp", "127.0.0.1:{greets}", False, {"expect": "IMAP"}, IMAP),
    "tcp without a greeting": Case("tcp", "127.0.0.1:{silent}", False, {"expect": "ESMTP"}, SMTP),
    "tcp to a name with two addresses, one deaf": Case(
        "tcp", "localhost:{six}", True, {}, {"preferred_ip_protocol": "ip6"}
    ),
    "tls": Case("tls", "127.0.0.1:{https}", True, {"ca_file": CA}, TLS),
    "tls with another name": Case(
        "tls", "127.0.0.1:{https_other_name}", True, {"ca_file": CA, "server_name": "elsewhere.example"},
        {"tls": True, "tls_config": {"ca_file": CA, "server_name": "elsewhere.example"}},
    ),
    "tls through another authority": Case("tls", "127.0.0.1:{https_chain}", True, {"ca_file": CA}, TLS),
    "tls expired": Case("tls", "127.0.0.1:{https_expired}", False, {"ca_file": CA}, TLS),
    "tls of a stranger": Case("tls", "127.0.0.1:{https_stranger}", False, {"ca_file": CA}, TLS),
    "tls to a plain port": Case("tls", "127.0.0.1:{greets}", False, {"ca_file": CA}, TLS),
    "tls that hangs": Case("tls", "127.0.0.1:{silent}", False, {"ca_file": CA}, TLS),
    "dns": dns("{dns}", True),
    "dns expected record": dns(
        "{dns}", True, {"expect": ["192.0.2.7"]},
        {"validate_answer_rrs": {"fail_if_none_matches_regexp": [r".*192\.0\.2\.7"]}},
    ),
    "dns other record": dns(
        "{dns}", False, {"expect": ["192.0.2.8"]},
        {"validate_answer_rrs": {"fail_if_not_matches_regexp": [r".*192\.0\.2\.8"]}},
    ),
    "dns NXDOMAIN": dns("{dns_nxdomain}", False),
    "dns NXDOMAIN that is wanted": dns("{dns_nxdomain}", True, {"code": "NXDOMAIN"}, {"valid_rcodes": ["NXDOMAIN"]}),
    "dns SERVFAIL": dns("{dns_servfail}", False),
    "dns REFUSED": dns("{dns_refused}", False),
    "dns without the record": dns("{dns_none}", False, why=NO_RECORD),
    "dns answer to another question": dns("{dns_other}", False),
    "dns silent": dns("{dns_silent}", False),
    "dns closed": dns("{closed}", False),
    "dns too long for UDP": dns("{dns_long}", True),
    "dns too long for UDP and no TCP": dns("{dns_cut}", False, why=CUT),
    "dns over TCP": dns("{dns_long}", True, {}, {"transport_protocol": "tcp"}),
}  # fmt: skip
MODULES = {"http": "http", "tcp": "tcp", "tls": "tcp", "dns": "dns", "ping": "icmp"}


class Exporter(NamedTuple):
    """A blackbox_exporter with a module for each case."""

    address: str
    places: Mapping[str, int]
    authority: Authority

    def probe(self, name: str, target: str) -> dict[str, float]:
        """What it saw, by metric name and phase."""
        query = urlencode({"module": name, "target": target.format(**self.places)})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.address}/probe?{query}", timeout=DEADLINE_SECONDS) as answer:
            text = answer.read().decode()
        found = {}
        for line in text.splitlines():
            if match := LINE.fullmatch(line):
                phase = dict(LABEL.findall(match[2] or "")).get("phase")
                found[match[1] + (f"[{phase}]" if phase else "")] = float(match[3])
        return found

    def ours(self, case: Case) -> tuple[State, str, dict[str, float]]:
        """What the agent's check saw: state, reason, numbers."""
        key = {"http": "url", "dns": "server", "ping": "host"}.get(case.kind, "address")
        options = {**case.ours, key: case.target.format(**self.places), "timeout_seconds": TIMEOUT_SECONDS}
        if options.get("ca_file"):
            options["ca_file"] = self.authority.file
        observation = run(case.kind, **options)
        assert observation.outcome is not None
        return observation.outcome.state, observation.outcome.reason, numbers(observation)


@pytest.fixture(scope="module")
def exporter(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    binary = shutil.which(BINARY)
    if binary is None:
        pytest.skip(f"{BINARY} (Debian package of the same name) is not installed")
    modules = {name: _module(case) for name, case in {**CASES, **TIMED, **PINGED}.items()}
    file = tmp_path_factory.mktemp("blackbox") / "blackbox.yml"
    # JSON is YAML too.
    file.write_text(json.dumps({"modules": modules}).replace(json.dumps(CA), json.dumps(authority.file)))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    log = file.parent / "log"
    command = [binary, f"--config.file={file}", f"--web.listen-address={address}"]
    with (
        places(authority) as found,
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said) as process,
    ):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not _listens(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{BINARY} does not answer"
            time.sleep(0.05)
        yield Exporter(address, found, authority)
        process.terminate()


def _module(case: Case) -> dict[str, Any]:
    prober = MODULES[case.kind]
    return {
        "prober": prober,
        "timeout": f"{TIMEOUT_SECONDS:g}s",
        prober: {"preferred_ip_protocol": "ip4", **case.theirs},
    }


def _has_ipv6(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 0, socket.AF_INET6))
    except OSError:
        return False


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("name", CASES)
def test_verdicts_are_the_same_or_differ_for_a_reason(exporter: Exporter, name: str) -> None:
    case = CASES[name]
    if "localhost:{six}" in case.target and not _has_ipv6("localhost"):
        pytest.skip("localhost has no IPv6 address in this host's /etc/hosts")
    state, reason, _ = exporter.ours(case)
    theirs = exporter.probe(name, case.target)["probe_success"] == 1
    assert (state is State.UP) == case.up, reason
    assert state is not State.UNKNOWN, reason
    assert theirs == (case.up != bool(case.differs)), f"theirs; ours: {reason}"


@pytest.mark.parametrize(
    "name", ["good certificate", "certificate through another authority", "redirect to https", "tls"]
)
def test_certificates_expire_in_the_same_second(exporter: Exporter, name: str) -> None:
    case, metric = CASES[name], "probe_ssl_earliest_cert_expiry"
    assert exporter.ours(case)[2][metric] == exporter.probe(name, case.target)[metric]


SAME = (
    "probe_http_status_code", "probe_http_redirects", "probe_http_ssl", "probe_http_version", "probe_ip_protocol",
    "probe_http_uncompressed_body_length", "probe_failed_due_to_regex", "probe_dns_answer_rrs",
    "probe_dns_query_succeeded", "probe_success",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["good", "status 503", "body that it should not be", "redirect", "redirect to https", "HTTP/1.0", "IPv6", "chunked",
     "204 without a body", "tcp", "dns", "dns NXDOMAIN", "dns over TCP"],
)  # fmt: skip
def test_what_is_counted_is_the_same(exporter: Exporter, name: str) -> None:
    case = CASES[name]
    ours, theirs = exporter.ours(case)[2], exporter.probe(name, case.target)
    common = [metric for metric in SAME if metric in ours and metric in theirs]
    assert len(common) >= 2
    assert {metric: ours[metric] for metric in common} == {metric: theirs[metric] for metric in common}


TIMED = {
    "slow processing": http("http://127.0.0.1:{late}/", True),
    "slow transfer": http("http://127.0.0.1:{late_body}/", True),
    "slow tls": http("https://127.0.0.1:{late_tls}/", True),
}
PHASES = ("resolve", "connect", "tls", "processing", "transfer")


@pytest.mark.parametrize("name", TIMED)
def test_slowness_is_found_in_the_same_phase(exporter: Exporter, name: str) -> None:
    case = TIMED[name]
    ours, theirs = exporter.ours(case)[2], exporter.probe(name, case.target)
    slow = f"probe_http_duration_seconds[{name.removeprefix('slow ')}]"
    assert abs(ours[slow] - SLOW_SECONDS) < LATENCY_SLACK_SECONDS
    for metric in [f"probe_http_duration_seconds[{phase}]" for phase in PHASES] + ["probe_duration_seconds"]:
        assert abs(ours[metric] - theirs[metric]) < LATENCY_SLACK_SECONDS, metric


PINGED = {
    "ping": Case("ping", "127.0.0.1", True, {"count": 1}),
    "ping IPv6": Case("ping", "::1", True, {"count": 1}, {"preferred_ip_protocol": "ip6"}),
}


@pytest.mark.parametrize("name", PINGED)
def test_pings_are_answered_alike(exporter: Exporter, name: str) -> None:
    case = PINGED[name]
    state, reason, ours = exporter.ours(case)
    if state is State.UNKNOWN:
        pytest.skip(f"this user may not ping: {reason}")
    theirs = exporter.probe(name, case.target)
    assert (ours["probe_success"], theirs["probe_success"]) == (1, 1)
    assert ours["probe_ip_protocol"] == theirs["probe_ip_protocol"]
    assert abs(ours["probe_icmp_duration_seconds[rtt]"] - theirs["probe_icmp_duration_seconds[rtt]"]) < (
        LATENCY_SLACK_SECONDS
    )
