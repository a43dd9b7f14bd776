"""Reasons and refusals in the language of whoever reads them."""

from __future__ import annotations

import pytest

from collector.domain.message import Message
from collector.domain.sample import State
from collector.domain.tree import blame
from collector.store import registers, status
from collector.store.database import Database
from collector.store.status import Transition
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of, signed_in
from tests.collector.edges.http.world import World

INDONESIAN = {"Cookie": "language=id"}
REFUSED = Message("Connection to {address} refused: nothing listens there", address="10.0.0.5:443")
TOLD = "Koneksi ke 10.0.0.5:443 ditolak: tidak ada yang mendengarkan di sana"


@pytest.fixture
async def made(sqlite: Database) -> World:
    return await world.make(sqlite, hosts=1, history_ms=world.MINUTE_MS)


async def test_a_check_that_is_down_says_why_in_the_readers_language(made: World, browser: Browser) -> None:
    check = await made.db.read(lambda connection: registers.by_key(connection, "check", "shop.http"))
    service = await made.db.read(lambda connection: registers.by_key(connection, "service", "shop"))
    why = blame([("shop.http", State.DOWN, REFUSED)], State.DOWN)
    changes = [
        Transition(subject, which, made.now_ms, made.now_ms, State.UP, State.DOWN, reason)
        for subject, which, reason in (("check", check.id, REFUSED), ("service", service.id, why))
    ]
    await made.db.write(lambda connection: status.record(connection, changes))
    for path in ("/", "/hosts/web-1", "/services/shop"):
        assert TOLD in await (await browser.get(path, headers=INDONESIAN)).text(), path
        assert REFUSED in await (await browser.get(path, headers={"Cookie": "language=en"})).text(), path
    twin = await (await browser.get("/services/shop.json", headers=INDONESIAN)).json()
    assert twin["service"]["reason"] == f"shop.http: {REFUSED}"


async def test_a_form_says_what_is_wrong_in_the_readers_language(browser: Browser) -> None:
    headers = await csrf_of(browser, "/registers") | INDONESIAN
    twice = await browser.post("/registers/host", data={"key": "web-1", "name": "x"}, headers=headers)
    assert "Sudah ada host &#39;web-1&#39;." in await twice.text()
    step = {"transition": "fly", "version": "1"}
    odd = await browser.post("/registers/service/shop/transitions", data=step, headers=headers)
    text = await odd.text()
    assert "Register layanan tidak memiliki transisi &#39;fly&#39;." in text
    assert "Yang dikenal: " in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "register: host\nkey: new\nname: New\ncolour: red\n",
            {"host/new.colour": "baris 4 (dokumen 1, host new): colour"},
        ),
        ("a: 1\n---\na: &x 1\nb: *x\n", "Dokumen tidak dapat dibaca: baris 4: alias (*nama) tidak didukung."),
        ("a: 1\na: 2\n", "Dokumen tidak dapat dibaca: baris 2: 'a' ditulis dua kali."),
        ("just text", "baris 1 (dokumen 1) bukan pasangan nama dan nilai."),
    ],
)
async def test_where_documents_are_wrong_is_told_in_the_language_that_is_asked_for(
    made: World, browser: Browser, text: str, told: object
) -> None:
    made.context.authenticate = signed_in("admin", by_token=True)
    headers = {"Accept": "application/json", "Accept-Language": "id"}
    problem = await (await browser.post("/api/v1/apply", data=text, headers=headers)).json()
    assert told in (problem.get("places"), problem["detail"])


async def test_a_program_is_refused_in_the_language_that_it_asks_for(made: World, browser: Browser) -> None:
    made.context.authenticate = signed_in("admin", by_token=True, language="id")
    body = {"key": "new", "name": "New", "site": 5}
    told = {}
    for language in ("id", "en", ""):
        headers = {"Accept": "application/json", "Accept-Language": language}
        answer = await browser.post("/api/v1/host", json=body | {"labels": 5}, headers=headers)
        assert answer.headers["Content-Language"] == (language or "en")
        assert "Accept-Language" in answer.headers["Vary"]
        told[language] = await answer.text()
    assert "Data host tidak dapat disimpan" in told["id"]
    assert told["en"] == told[""]
    assert "The host cannot be saved" in told["en"]


@pytest.mark.parametrize(
    ("path", "rows"), [("/hosts", "Host"), ("/settings/accounts", "Akun"), ("/registers/rule", "Aturan")]
)
async def test_an_order_that_there_is_not_is_refused_by_the_list_in_words(
    browser: Browser, path: str, rows: str
) -> None:
    answer = await browser.get(path, params={"sort": "-colour"}, headers=INDONESIAN)
    assert answer.status == 422
    assert rows in (told := await answer.text())
    assert "tidak dapat diurutkan menurut &#39;" in told
