"""Secrets at rest: AES-256-GCM with a key that is not in the database, so a copied database gives nothing away.

Only seals and opens; who may ask is decided elsewhere.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from collector.domain.errors import StoreError
from collector.domain.message import Message
from collector.store.vault import Vault

KEY_FILE = "register.key"
KEY_BYTES = 32
NONCE_BYTES = 12
PREFIX = "v1:"


@dataclass(frozen=True, slots=True)
class Seal:
    """`seal` and `unseal` text under one key. The empty text stays empty: there is nothing to hide."""

    key: bytes = field(repr=False)

    @classmethod
    def kept_in(cls, vault: Vault) -> Seal:
        """The seal whose key lies in `vault`; made there at the first use."""
        key = vault.read(KEY_FILE)
        if key is None:
            key = os.urandom(KEY_BYTES)
            vault.write(KEY_FILE, key)
        if len(key) != KEY_BYTES:
            raise StoreError(
                Message("{path} is not a key.", path=str(vault.folder / KEY_FILE)), hint="Restore it from the backup."
            )
        return cls(key)

    def seal(self, plain: str) -> str:
        """The text, sealed; two seals of one text differ."""
        if not plain:
            return ""
        nonce = os.urandom(NONCE_BYTES)
        body = AESGCM(self.key).encrypt(nonce, plain.encode(), PREFIX.encode())
        return PREFIX + base64.b64encode(nonce + body).decode()

    def unseal(self, sealed: str) -> str:
        """The text that was sealed.

        Raises:
            StoreError: It was sealed under another key, or was altered.
        """
        if not sealed:
            return ""
        try:
            raw = base64.b64decode(sealed.removeprefix(PREFIX), validate=True)
            return AESGCM(self.key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], PREFIX.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                "A stored secret cannot be opened: it was sealed under another key.",
                hint=Message("Restore {file} from the backup, or enter the secret again.", file=KEY_FILE),
            ) from error
