"""What the lines of an invoice are called, in each language that invoices are written in; written down when issued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.invoicing.metered import UsageKind
from engine.languages import ENGLISH


@dataclass(frozen=True, slots=True)
class LineTexts:
    """The texts of one language; `{}` is the tenant, of a skill the skill and the tenant."""

    setup: str
    monthly: str
    skill: str
    usage: Mapping[UsageKind, str]
    late: str
    """What is said of usage that came after its month was billed: `{}` is what else it is called, and the month."""


TEXTS: Final[Mapping[str, LineTexts]] = {
    ENGLISH: LineTexts(
        setup="Setup of {}",
        monthly="Tenant {}",
        skill="{} on {}",
        usage={UsageKind.MESSAGES: "Messages of {}", UsageKind.MODEL_SPEND: "Model spend of {}"},
        late="{}, told late for {}",
    ),
    "de": LineTexts(
        setup="Einrichtung von {}",
        monthly="Mandant {}",
        skill="{} auf {}",
        usage={UsageKind.MESSAGES: "Nachrichten von {}", UsageKind.MODEL_SPEND: "Modellkosten von {}"},
        late="{}, nachgemeldet für {}",
    ),
}


def written_in(language: str) -> str:
    """Return the language that invoices are written in for who reads this one; English where there is no other."""
    return next((tag for tag in (language, language.partition("-")[0]) if tag in TEXTS), ENGLISH)
