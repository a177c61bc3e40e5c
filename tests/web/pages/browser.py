"""A browser without JavaScript: follows redirects, keeps cookies, fills in forms and sends them as a person would."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

from jobs.certificates import certificates


@dataclass
class Form:
    """A form as it stands on a page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    words: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.texts: list[str] = []
        self._inside: Form | None = None
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._inside)
        elif self._inside is not None and tag == "textarea":
            self._area = given.get("name", "")
            self._inside.fields[self._area] = ""
        elif self._inside is not None and tag in {"input", "button", "select"} and given.get("name"):
            self._inside.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())
            if self._inside is not None:
                self._inside.words += f" {data.strip()}"
                if self._area is not None:
                    self._inside.fields[self._area] += data


class Browser:
    """One person's browser."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(
            base_url=url, follow_redirects=True, timeout=30, trust_env=False, verify=certificates()
        )
        self.answer: httpx.Response

    def close(self) -> None:
        """End it."""
        self.client.close()

    def open(self, path: str) -> Browser:
        """Open a page."""
        self.answer = self.client.get(path)
        return self

    @property
    def path(self) -> str:
        """Where it is."""
        return self.answer.url.path

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return re.sub(r"\s+", " ", " ".join(self._read().texts))

    @property
    def forms(self) -> list[Form]:
        """The forms on the page."""
        return self._read().forms

    def form(self, action: str) -> Form:
        """Return the form that goes to this address."""
        return next(form for form in self.forms if form.action == action)

    def send(self, action: str, **values: str) -> Browser:
        """Fill in the form that goes to this address, and send it."""
        form = self.form(action)
        self.answer = self.client.post(action, data={**form.fields, **values})
        return self

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.answer.text)
        return reader
