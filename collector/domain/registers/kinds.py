"""Kinds of field: one small class per kind knows how a value is read, written, stored and described.

Here those of one value; `compound` has those of several and those that refer or hide. A kind has no label and no name;
those belong to the field. Nothing here touches a database: `column` only names what a table needs, and `store`/`load`
turn a value into what such a column holds and back.
"""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from collector.domain.registers.words import Option, Words

Column = Literal["string", "text", "integer", "float", "boolean"]

KEY = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
"""What a key looks like: it is a metric label value, part of an address and the name in YAML."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0", ""})


class Refused(Exception):
    """A value does not fit its kind; `words` says why, in both languages."""

    def __init__(self, english: str, indonesian: str) -> None:
        self.words = Words(english, indonesian)
        super().__init__(english)


@dataclass(frozen=True, slots=True)
class Kind:
    """What all kinds share. `parse` takes JSON, YAML or form text, and is idempotent on its own result."""

    column: ClassVar[Column] = "text"
    widget: ClassVar[str] = "text"
    empty: ClassVar[Any] = ""

    def parse(self, given: Any) -> Any:
        """The value of what was `given`.

        Raises:
            Refused: It does not fit.
        """
        return given

    def dump(self, value: Any) -> Any:
        """The value as JSON and YAML show it."""
        return value

    def store(self, value: Any) -> Any:
        """The value as its column holds it."""
        return value

    def load(self, stored: Any) -> Any:
        """The value of what a column holds."""
        return stored

    def schema(self) -> dict[str, Any]:
        """The value's JSON Schema."""
        return {"type": "string"}

    def form(self, value: Any) -> str:
        """The value as text in a form field."""
        return "" if value is None else str(self.dump(value))


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """One line of text; surrounding blanks are dropped."""

    longest: int = 200
    lines: bool = False

    def parse(self, given: Any) -> str:
        if given is None:
            return ""
        if not isinstance(given, str | int | float) or isinstance(given, bool):
            raise Refused("must be text", "harus berupa teks")
        text = str(given).replace("\r\n", "\n").strip()
        if CONTROL.search(text) or (not self.lines and "\n" in text):
            raise Refused("contains characters that cannot be shown", "berisi karakter yang tidak dapat ditampilkan")
        if len(text) > self.longest:
            raise Refused(f"must be at most {self.longest} characters", f"paling banyak {self.longest} karakter")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}


@dataclass(frozen=True, slots=True)
class Multiline(Text):
    """Text of several lines."""

    widget: ClassVar[str] = "multiline"
    longest: int = 4000
    lines: bool = True


@dataclass(frozen=True, slots=True)
class Slug(Kind):
    """A stable key: lower-case letters, digits, `.`, `_`, `-`."""

    column: ClassVar[Column] = "string"

    def parse(self, given: Any) -> str:
        text = str(given if given is not None else "").strip()
        if not KEY.fullmatch(text):
            raise Refused(
                "use lower-case letters, digits, '.', '_' and '-'; start and end with a letter or digit",
                "gunakan huruf kecil, angka, '.', '_', dan '-'; awali dan akhiri dengan huruf atau angka",
            )
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{KEY.pattern}$"}


@dataclass(frozen=True, slots=True)
class Integer(Kind):
    """A whole number between two inclusive bounds."""

    column: ClassVar[Column] = "integer"
    widget: ClassVar[str] = "number"
    empty: ClassVar[Any] = 0
    least: int = 0
    most: int = 2**31 - 1

    def parse(self, given: Any) -> int | None:
        if given is None or given == "":
            return None
        try:
            if isinstance(given, bool) or (isinstance(given, float) and not given.is_integer()):
                raise ValueError
            number = int(given)
        except (TypeError, ValueError, OverflowError):
            raise Refused("must be a whole number", "harus berupa bilangan bulat") from None
        _within(number, self.least, self.most)
        return number

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A finite floating-point number."""

    column: ClassVar[Column] = "float"
    widget: ClassVar[str] = "number"
    empty: ClassVar[Any] = 0.0
    least: float = -1e15
    most: float = 1e15

    def parse(self, given: Any) -> float | None:
        if given is None or given == "":
            return None
        try:
            if isinstance(given, bool):
                raise ValueError
            number = float(given)
        except (TypeError, ValueError):
            raise Refused("must be a number", "harus berupa bilangan") from None
        if not math.isfinite(number):
            raise Refused("must be a number", "harus berupa bilangan")
        _within(number, self.least, self.most)
        return number

    def form(self, value: float | None) -> str:
        return "" if value is None else f"{value:.15g}"

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Exact(Kind):
    """A decimal number kept exactly; columns hold it as an integer number of 10^-places, so it sorts and sums."""

    column: ClassVar[Column] = "integer"
    widget: ClassVar[str] = "number"
    empty: ClassVar[Any] = Decimal(0)
    least: Decimal = Decimal(0)
    most: Decimal = Decimal(10**12)
    places: int = 4

    def parse(self, given: Any) -> Decimal | None:
        if given is None or given == "":
            return None
        try:
            if isinstance(given, bool):
                raise ValueError
            number = Decimal(str(given))
        except (InvalidOperation, ValueError):
            raise Refused("must be a decimal number", "harus berupa bilangan desimal") from None
        if not number.is_finite():
            raise Refused("must be a decimal number", "harus berupa bilangan desimal")
        _within(number, self.least, self.most)
        if number != round(number, self.places):
            raise Refused(
                f"must have at most {self.places} decimal places", f"paling banyak {self.places} angka desimal"
            )
        return number.normalize() if number else Decimal(0)

    def dump(self, value: Decimal | None) -> str | None:
        return None if value is None else f"{value:f}"

    def store(self, value: Decimal | None) -> int | None:
        return None if value is None else int(value.scaleb(self.places))

    def load(self, stored: int | None) -> Decimal | None:
        return None if stored is None else Decimal(stored).scaleb(-self.places).normalize()

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"], "description": f"Decimal between {self.least} and {self.most}."}


@dataclass(frozen=True, slots=True)
class Boolean(Kind):
    """Yes or no."""

    column: ClassVar[Column] = "boolean"
    widget: ClassVar[str] = "checkbox"
    empty: ClassVar[Any] = False

    def parse(self, given: Any) -> bool:
        if isinstance(given, bool):
            return given
        word = str(given if given is not None else "").strip().lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise Refused("must be true or false", "harus true atau false")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Enum(Kind):
    """One of a few named values; `offered` names those that people choose from, None all."""

    column: ClassVar[Column] = "string"
    widget: ClassVar[str] = "select"
    options: tuple[Option, ...] = ()
    offered: tuple[str, ...] | None = None

    def parse(self, given: Any) -> str:
        value = str(given if given is not None else "").strip()
        if value not in (known := [option.value for option in self.options]):
            raise Refused(f"must be one of: {', '.join(known)}", f"harus salah satu dari: {', '.join(known)}")
        return value

    def label(self, value: str) -> Words:
        """What people call `value`."""
        return next((option.label for option in self.options if option.value == value), Words(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [option.value for option in self.options]}


@dataclass(frozen=True, slots=True)
class Date(Kind):
    """A calendar day, ISO 8601."""

    column: ClassVar[Column] = "string"
    widget: ClassVar[str] = "date"
    empty: ClassVar[Any] = None

    def parse(self, given: Any) -> datetime.date | None:
        if given is None or given == "":
            return None
        if isinstance(given, datetime.date) and not isinstance(given, datetime.datetime):
            return given
        try:
            return datetime.date.fromisoformat(str(given))
        except ValueError:
            raise Refused("must be a date like 2026-01-31", "harus berupa tanggal seperti 2026-01-31") from None

    def dump(self, value: datetime.date | None) -> str | None:
        return None if value is None else value.isoformat()

    def store(self, value: datetime.date | None) -> str | None:
        return self.dump(value)

    def load(self, stored: str | None) -> datetime.date | None:
        return None if stored is None else datetime.date.fromisoformat(stored)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


@dataclass(frozen=True, slots=True)
class TimeZone(Kind):
    """An IANA time zone."""

    column: ClassVar[Column] = "string"
    widget: ClassVar[str] = "time_zone"

    def parse(self, given: Any) -> str:
        name = str(given if given is not None else "").strip()
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise Refused(
                "must be a time zone such as Asia/Jakarta", "harus berupa zona waktu seperti Asia/Jakarta"
            ) from None
        return name


@dataclass(frozen=True, slots=True)
class URL(Kind):
    """An absolute http or https address, without a password: whoever may read the record would read it too."""

    widget: ClassVar[str] = "url"
    longest: int = 2000

    def parse(self, given: Any) -> str:
        text = str(given if given is not None else "").strip()
        if not text:
            return ""
        try:
            parts = urlsplit(text)
            carries_secret = "@" in parts.netloc
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = carries_secret = False
        if carries_secret:
            raise Refused(
                "must not carry a user name or password: everybody who may read this would read it",
                "tidak boleh memuat nama pengguna atau kata sandi: siapa pun yang membaca ini ikut membacanya",
            )
        if not usable or len(text) > self.longest or re.search(r"[\s\x00-\x1f]", text):
            raise Refused(
                "must be an address like https://example.org/path",
                "harus berupa alamat seperti https://example.org/path",
            )
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uri", "maxLength": self.longest}


def _within(number: Any, least: Any, most: Any) -> None:
    if not least <= number <= most:
        raise Refused(f"must be between {least} and {most}", f"harus antara {least} dan {most}")


def slugify(text: str) -> str:
    """A valid key made of `text`: `Web 3.Example` becomes `web-3.example`; `x` where nothing usable is left."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", text.lower())[:128].strip("._-")
    return slug or "x"
