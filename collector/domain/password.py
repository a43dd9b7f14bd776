"""Which passwords are taken: long enough, and not what is tried first. Pure.

How easily a password is guessed is estimated elsewhere (`flows.passwords`); here is what follows, and what to say. No
rule about kinds of characters: such rules make passwords harder to remember and not harder to guess.

Source:
    NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0.0, 6.2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import Enum

from collector.domain.errors import InvalidInput
from collector.domain.registers.words import Words

MINIMUM = 12
MAXIMUM = 256
"""ASVS 6.2.1 and 6.2.9: at least 8, better more; at least 64 must be allowed."""
SCORE_LEAST = 3
"""On the estimator's scale of 0 to 4: more than 10^8 guesses."""
WORD_LEAST = 3
"""A shorter piece of a name stands in too many words to count."""

PRODUCT = "sigap"
_LOCAL = """
sayang sayangku cinta cintaku rindu kamu aku saya ibu ayah mama papa anak keluarga bahagia sukses semangat mantap
rahasia sandi katasandi password bismillah alhamdulillah allah assalamualaikum insyaallah islam muslim yesus
indonesia merdeka pancasila garuda nusantara jakarta bandung surabaya semarang yogyakarta jogja malang medan bali
makassar palembang persija persib persebaya arema bonek ganteng cantik kucing anjing gajah harimau macan naga
januari februari maret april mei juni juli agustus september oktober november desember senin selasa rabu kamis
jumat sabtu minggu satu dua tiga empat lima enam tujuh delapan sembilan sepuluh merah putih hijau biru kuning
hitam kantor admin admin@123 operator server monitoring selamat pagi siang malam
"""
LOCAL_WORDS = tuple(_LOCAL.split())
"""What people here choose and an English word list lacks, by how soon it is tried."""

_WAY_ON = Words(
    "Take four or more words that have nothing to do with each other, or let a password manager make one.",
    "Pakailah empat kata atau lebih yang tidak saling berhubungan, atau biarkan pengelola kata sandi membuatnya.",
)
_TOO_SHORT = Words("Use at least {0} characters.", "Pakailah paling sedikit {0} karakter.").fill(MINIMUM)
_TOO_LONG = Words("Use at most {0} characters.", "Pakailah paling banyak {0} karakter.").fill(MAXIMUM)


class Flaw(Enum):
    """Why a password is easily guessed."""

    COMMON = Words(
        "It is, or is close to, one of the passwords that are tried first.",
        "Ini, atau mirip dengan, salah satu kata sandi yang dicoba lebih dahulu.",
    )
    NAMES = Words(
        "Most of it is your name or the name of this product, which everybody knows.",
        "Sebagian besarnya adalah nama Anda atau nama produk ini, yang diketahui semua orang.",
    )
    PATTERN = Words(
        "Repetitions, rows of keys and counting up are tried first.",
        "Pengulangan, deretan tombol, dan urutan dicoba lebih dahulu.",
    )
    WORDS = Words("It is easily guessed.", "Ini mudah ditebak.")


def normal(password: str) -> str:
    """The password in the one form that is hashed: the same letters typed on another keyboard are the same."""
    return unicodedata.normalize("NFKC", password)


def names_of(name: str) -> tuple[str, ...]:
    """What a guesser knows: the words of an account's name or e-mail address, and the product's, longest first."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if len(word) >= WORD_LEAST]
    whole = re.sub(r"[\W_]+", "", name.casefold())
    known = dict.fromkeys(word for word in (whole, *words, PRODUCT) if len(word) >= WORD_LEAST)
    return tuple(sorted(known, key=len, reverse=True))


def without_names(password: str, names: Sequence[str]) -> str:
    """What is left to be guessed by somebody who knows the names."""
    left = password
    for name in names:
        left = re.sub(re.escape(name), "", left, flags=re.IGNORECASE)
    return left


def check_length(password: str) -> None:
    """Refuse a password for its length alone, before anything is computed of it.

    Raises:
        InvalidInput: Too short or too long.
    """
    if len(password) < MINIMUM:
        raise _refused(_TOO_SHORT)
    if len(password) > MAXIMUM:
        raise _refused(_TOO_LONG)


def judge(score: int, flaw: Flaw) -> None:
    """Accept a password by its estimated score, or say what is wrong with it and what to do.

    Raises:
        InvalidInput: It is easily guessed.
    """
    if score < SCORE_LEAST:
        raise _refused(Words(f"{flaw.value} {_WAY_ON}", f"{flaw.value.to('id')} {_WAY_ON.to('id')}"))


def _refused(text: Words) -> InvalidInput:
    return InvalidInput("The password was not accepted.", fields={"password": text})
