"""The API described for other programs, as OpenAPI in JSON; no page of it loads anything from elsewhere."""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from storage.processes import own_version

REFERENCE = "#/components/schemas/{name}"


def described() -> OpenAPIConfig:
    """Return how the API describes itself."""
    scheme = SecurityScheme(type="http", scheme="bearer", description="A customer's token, or the admin token.")
    return OpenAPIConfig(
        title="Forbear",
        version=own_version(),
        path="/schema",
        render_plugins=[WithBodies()],
        components=Components(security_schemes={"token": scheme}),
        security=[{"token": []}],
    )


class WithBodies(JsonRenderPlugin):
    """Adds the bodies: handlers read them from raw bytes, so the framework does not know their shapes."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: dict[str, Any] | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the description."""
        if self._whole is None:
            self._whole = with_bodies(request.app, openapi_schema)
        return super().render(request, self._whole)


def with_bodies(app: Litestar, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description with the body of every route that declares one (`takes`)."""
    schema = copy.deepcopy(schema)
    found = list(bodies(app))
    _, components = msgspec.json.schema_components([shape for *_, shape in found], ref_template=REFERENCE)
    schema["components"].setdefault("schemas", {}).update(components)
    for path, method, shape in found:
        content = {"application/json": {"schema": {"$ref": REFERENCE.format(name=shape.__name__)}}}
        required = any(field.required for field in msgspec.structs.fields(shape))
        schema["paths"][path][method.lower()]["requestBody"] = {"content": content, "required": required}
    return schema


def bodies(app: Litestar) -> list[tuple[str, str, type[msgspec.Struct]]]:
    """Find every route that takes a JSON body: its path, its method, the body's shape."""
    return [
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path), method, handler.opt["takes"])
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if "takes" in handler.opt
    ]
