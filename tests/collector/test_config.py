"""Settings: what is refused, and that it is said so that a person can mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector import config
from collector.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[web]\nadress = 'x'", "web.adress is no setting; [web] has: address, "),
        ("[wbe]\naddress = 'x'", "[wbe] is no section of the settings; there are: web, "),
        ("web = 3", "web must be a section: write [web]"),
        ("[web", "cannot be read"),
        ("[web]\naddress = 'nowhere'", "web.address is not accepted: expected host:port, such as 127.0.0.1:8420"),
        ("[web]\naddress = '127.0.0.1:99999'", "no port above 65535"),
        ("[log]\nlevel = 'loud'", "log.level is not accepted: expected debug, info, warning or error"),
        ("[store]\nraw_days = 0", "store.raw_days is not accepted"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "sigap.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        config.load(file, {})
    assert words in caught.value.message


def test_the_environment_is_held_to_the_same_rules_and_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sigap.toml"
    file.write_text("[web]\naddress = '127.0.0.1:1'\n")
    assert config.load(file, {"SIGAP_WEB__ADDRESS": "127.0.0.1:2"}).web.address == "127.0.0.1:2"
    with pytest.raises(InvalidInput, match="adress is no setting"):
        config.load(file, {"SIGAP_WEB__ADRESS": "127.0.0.1:2"})


def test_a_secret_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        config.load(None, {"SIGAP_STORE__URL": "['hush-hush']"})
    assert "store.url" in caught.value.message
    assert "hush" not in caught.value.message


def test_under_systemd_data_are_where_the_link_of_the_unit_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "sigap").symlink_to("private")
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/sigap")
    assert config.load(None, {}).data == tmp_path / "private"
    assert config.load(None, {"SIGAP_STORE__DATA": "/srv/sigap"}).data == Path("/srv/sigap")
