"""Notes that customers write for themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts, notes
from storage.notes import Note
from web.inputs import identifier, paragraphs
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

CHARACTERS = 20_000
FULL = f"You have {notes.MOST} notes, and there is room for no more. Throw one away first."
CHANGED = "This note was changed elsewhere since you opened it. What you wrote is below: you can keep it as a new note."


@get("/notes", guards=[people_only], sync_to_thread=True)
def show_notes(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show all of them, and the form for another."""
    return _all(request, services, owner_of(request))


def _all(
    request: HttpRequest, services: Services, owner: UUID, *, fault: str = "", words: str = "", status: int = 200
) -> Response[Any]:
    with services.database.begin() as conn:
        found, zone = notes.of_customer(conn, owner), accounts.customer(conn, owner).zone
    return page(request, "notes.html", status=status, zone=zone, notes=found, fault=fault, words=words)


@post("/notes", guards=[people_only])
async def write_note(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Keep a new note; where that is not possible, what was written stays in the form."""
    form = await form_of(request)
    owner, words = owner_of(request), form.get("text", "")

    def write() -> Response[Any]:
        try:
            kept = paragraphs(words, "text", CHARACTERS)
        except Problem as problem:
            return _all(request, services, owner, fault=_said(problem), words=words, status=400)
        with services.database.begin() as conn:
            made = notes.write(conn, owner, kept)
        return go_to("/notes") if made else _all(request, services, owner, fault=FULL, words=words, status=409)

    return await services.in_thread(write)


@get("/notes/{note_id:str}", guards=[people_only], sync_to_thread=True)
def show_note(request: HttpRequest, services: TheServices, note_id: PathId) -> Response[Any]:
    """Show one, to be changed."""
    note = _theirs(request, services, note_id)
    return page(request, "note.html", note=note, words=note.text, fault="")


@post("/notes/{note_id:str}", guards=[people_only])
async def change_note(request: HttpRequest, services: TheServices, note_id: PathId) -> Response[Any]:
    """Keep a change, unless the note has changed since it was shown."""
    form = await form_of(request)
    owner, words = owner_of(request), form.get("text", "")
    version = form.get("version", "")

    def change() -> Response[Any]:
        note = _theirs(request, services, note_id)
        try:
            kept = paragraphs(words, "text", CHARACTERS)
        except Problem as problem:
            return page(request, "note.html", status=400, note=note, words=words, fault=_said(problem))
        seen = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 0
        with services.database.begin() as conn:
            if notes.change(conn, owner, note.id, kept, seen):
                return go_to("/notes")
        return _all(request, services, owner, fault=CHANGED, words=words, status=409)

    return await services.in_thread(change)


@post("/notes/{note_id:str}/delete", guards=[people_only])
async def delete_note(request: HttpRequest, services: TheServices, note_id: PathId) -> Response[Any]:
    """Throw one away."""
    await form_of(request)

    def delete() -> None:
        note = _theirs(request, services, note_id)
        with services.database.begin() as conn:
            notes.delete(conn, owner_of(request), note.id)

    await services.in_thread(delete)
    return go_to("/notes")


def _theirs(request: HttpRequest, services: Services, note_id: str) -> Note:
    with services.database.begin() as conn:
        note = notes.get(conn, owner_of(request), UUID(identifier(note_id, "note")))
    if note is None:
        raise nothing_here("note")
    return note


def _said(problem: Problem) -> str:
    return problem.detail.replace("`text`", "The note")


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_notes, write_note, show_note, change_note, delete_note)
