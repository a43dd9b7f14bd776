"""The product's languages: their catalogues, and messages in one of them.

English is the message id, so what has no translation is English. Who reads what is the edge's business.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from functools import cache

import web as assets
from collector.domain.message import Message, Value, written
from collector.domain.registers.words import Words

LANGUAGES: Mapping[str, str] = {"en": "English", "id": "Bahasa Indonesia"}
DEFAULT = "en"
_POINT: Mapping[str, str] = {"id": ","}


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The compiled messages of one language."""
    return gettext.translation("messages", assets.LOCALES, languages=[language], fallback=True)


def in_language(text: str, language: str) -> str:
    """What is said, in `language` as far as it carries it or the catalogue has it; other text stays as it is."""
    if isinstance(text, Words):
        return text.to(language)
    translate = catalogue(language).gettext
    if isinstance(text, Message):
        return text.retold(lambda template: translate(template) if template else "", lambda one: _value(one, language))
    return translate(text) if text else ""


def _value(value: Value, language: str) -> str:
    if isinstance(value, float):
        return written(value).replace(".", _POINT.get(language, "."))
    return value.to(language) if isinstance(value, Words) else str(value)
