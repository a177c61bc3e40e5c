"""References by which a payment finds its invoice: ISO 11649, and the QR reference of Swiss QR-IBANs."""

from __future__ import annotations

import string
from typing import Final

QR_DIGITS: Final = 26
MOST_CREDITOR_CHARACTERS: Final = 21
_CARRY: Final = (0, 9, 4, 6, 8, 2, 7, 1, 3, 5)  # modulo 10, recursive: SIX, Swiss implementation guidelines QR-bill
_LETTERS: Final = string.digits + string.ascii_uppercase


def reference_of(number: str, iban: str) -> str:
    """Return the reference of an invoice's number for payment to this IBAN: both have to be of one kind."""
    return qr_reference(number) if is_qr_iban(iban) else creditor_reference(number)


def creditor_reference(number: str) -> str:
    """Return `RF`, two check digits, and the number's letters and digits (ISO 11649). Raises ValueError."""
    body = "".join(c for c in number.upper() if c in _LETTERS)
    if not 1 <= len(body) <= MOST_CREDITOR_CHARACTERS:
        raise ValueError(f"a reference needs 1 to {MOST_CREDITOR_CHARACTERS} letters and digits, not `{number}`")
    return f"RF{98 - _remainder(body + 'RF00'):02d}{body}"


def qr_reference(number: str) -> str:
    """Return the number's digits as 26, and a check digit. Raises ValueError."""
    digits = "".join(c for c in number if c in string.digits)
    if not (1 <= len(digits) <= QR_DIGITS and digits.strip("0")):
        raise ValueError(f"a QR reference needs 1 to {QR_DIGITS} digits, one of them not 0, not `{number}`")
    body = digits.zfill(QR_DIGITS)
    carry = 0
    for digit in body:
        carry = _CARRY[(carry + int(digit)) % 10]
    return f"{body}{(10 - carry) % 10}"


def is_qr_iban(iban: str) -> bool:
    """Tell whether an IBAN asks for QR references: Swiss or Liechtenstein, of an institution 30000 to 31999."""
    plain = compact(iban)
    return plain[:2] in {"CH", "LI"} and plain[4:9].isdigit() and 30_000 <= int(plain[4:9]) <= 31_999


def is_iban(iban: str) -> bool:
    """Tell whether a text is an IBAN: its characters, and its check digits (ISO 13616)."""
    plain = compact(iban)
    if not (15 <= len(plain) <= 34 and plain[:2].isalpha() and plain[2:4].isdigit()):
        return False
    if any(c not in _LETTERS for c in plain) or (plain[:2] in {"CH", "LI"} and len(plain) != 21):
        return False
    return _remainder(plain[4:] + plain[:4]) == 1


def compact(text: str) -> str:
    """Take the spaces out that people write for reading."""
    return text.replace(" ", "").upper()


def _remainder(text: str) -> int:
    return int("".join(str(_LETTERS.index(c)) for c in text)) % 97
