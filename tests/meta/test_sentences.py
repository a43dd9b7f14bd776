"""Everything that people read is a sentence that can be translated, and the finder of the others finds them."""

from __future__ import annotations

import pytest

from tests.meta.locales import ROOT, speaking
from tests.meta.sentences import findings

EXCEPT = {
    "agent/reason.py": "makes reasons",
    "collector/domain/message.py": "makes messages",
    "collector/edges/wording.py": "makes messages of what an agent sent",
    "collector/edges/grpc_errors.py": "speaks to agents, whose logs are English",
    "collector/edges/enrolment.py": "speaks to agents, whose logs are English",
    "collector/edges/identity.py": "speaks to agents, whose logs are English",
    "collector/store/migrations/__init__.py": "speaks on the command line, which is English",
    "collector/demo/flow.py": "speaks on the command line, which is English",
    "collector/demo/stream.py": "speaks on the command line, which is English",
    "collector/flows/ingest.py": "speaks to agents, whose logs are English",
}


def test_no_sentence_is_put_together() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in speaking()
        if str(path.relative_to(ROOT)) not in EXCEPT
        for line, what in findings(path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        'Reason(f"{path} does not exist")',
        'Message("There is no {name}.", key=1)',
        'Message("There is no {name}.")',
        "Message(text)",
        'raise NotFound(f"There is no {name}.")',
        'raise NotFound("There is no " + name)',
        'raise NotFound("There is no {}.".format(name))',
        'raise NotFound("No.", hint=f"Known: {known}.")',
        'raise InvalidInput("No.", fields={"name": f"at most {most}"})',
        'def f():\n    text = f"There is no {name}."\n    raise NotFound(text)',
        'def f():\n    text = "There is none."\n    raise NotFound(text)',
        'def f(text):\n    raise NotFound(text)\ndef g():\n    f("There is none.")',
        'HINTS = {"a": "Do this."}\ndef f(name):\n    raise NotFound("No.", hint=HINTS[name])',
    ],
)
def test_what_cannot_be_translated_is_found(source: str) -> None:
    assert list(findings(source))


@pytest.mark.parametrize(
    "source",
    [
        'Reason("{path} does not exist", path=str(path))',
        'raise NotFound("There is no such page.", hint="Look again." if known else "")',
        'raise NotFound(Message("There is no {name}.", name=n), hint=Message("Known: {known}.", known=", ".join(a)))',
        'raise InvalidInput("No.", fields={"name": Words("is required", "wajib diisi")})',
        'def f():\n    text = Message("There is no {name}.", name=name)\n    raise NotFound(text)',
        'def f(text):\n    raise NotFound(text)\ndef g():\n    f(mark("There is none."))',
        'raise ValueError(f"{name} is no name")',
    ],
)
def test_what_can_be_translated_is_left_alone(source: str) -> None:
    assert list(findings(source)) == []
