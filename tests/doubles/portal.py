"""Another portal that signs tokens for its customers: key pairs, the set that it publishes, and the address of that."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.doubles.listener import Listener, Quiet

ISSUER = "https://portal.example"
AUDIENCE = "forbear"


def rsa_key() -> rsa.RSAPrivateKey:
    """Make a key pair."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def published(key_id: str, key: Any) -> dict[str, Any]:
    """Return what a portal publishes of a key pair."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        document = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        document = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        document = OKPAlgorithm.to_jwk(public, as_dict=True)
    document.pop("key_ops", None)
    return {**document, "kid": key_id, "use": "sig"}


def token(key: Any, algorithm: str, *, kid: str | None = "one", lives: int = 300, **claims: Any) -> str:
    """Sign a token; a claim that is None is left out."""
    now = int(time.time())
    told = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + lives, **claims}
    headers = {"kid": kid} if kid is not None else {}
    kept = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


@dataclass
class Publisher:
    """Serves a key set. Use as a context manager. `body`: sent instead of it; `status`: of the answer."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    asked: int = 0
    hangs: threading.Event | None = None
    """No answer before this is set."""

    def __enter__(self) -> Self:
        publisher = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked += 1
                if publisher.hangs is not None:
                    publisher.hangs.wait(30)
                body = publisher.body if publisher.body is not None else json.dumps({"keys": publisher.keys}).encode()
                self.send_response(publisher.status)
                if publisher.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._listener = Listener(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def url(self) -> str:
        """Where the set is."""
        return f"http://127.0.0.1:{self._listener.port}/.well-known/jwks.json"
