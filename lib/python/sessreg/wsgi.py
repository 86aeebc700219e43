"""Seats for users whom a web server has logged in (REMOTE_USER): a middleware, and an endpoint for nginx.

    application = sessreg.wsgi.Middleware(application, sessreg.Client(service="wiki"))

Each request is a `use` of the session that the user has from that address. There is no login and no
logout: the session ends when it was not used for its time to live (`session_ttl`), and yields its seat after
`idle_after`. Nothing of this checks a password, so it must stand behind what does.

What a request says is hostile: it never becomes part of a header as it is, and a message is plain text.
"""

from __future__ import annotations

import argparse
import logging
import socketserver
import sys
import wsgiref.simple_server
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from . import errors
from .client import Client
from .records import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("sessreg.wsgi")
# What the header of a message keeps as it is; all else is percent-encoded, as UTF-8.
_HARMLESS = " !#$&()*+,-./:;=?@[]^_`{|}~"


class Visitor(NamedTuple):
    """Whose session a request belongs to; device: what names the browser or host that it came from."""

    user: str
    device: str
    host: str | None = None
    label: str | None = None


def by_address(environ: WSGIEnvironment) -> Visitor | None:
    """REMOTE_USER at REMOTE_ADDR; nobody, who needs no seat, if the server has logged nobody in."""
    return _visitor(environ, "REMOTE_USER", "REMOTE_ADDR")


def by_headers(environ: WSGIEnvironment) -> Visitor | None:
    """X-Sessreg-User at X-Sessreg-Address, as nginx is told to set them."""
    return _visitor(environ, "HTTP_X_SESSREG_USER", "HTTP_X_SESSREG_ADDRESS")


def _visitor(environ: WSGIEnvironment, user: str, address: str) -> Visitor | None:
    name, host = _text(environ.get(user)), _text(environ.get(address))
    return Visitor(name, host or "unknown", host or None) if name else None


def _text(value: object) -> str:
    """WSGI has the bytes of a header as characters of Latin-1 (PEP 3333)."""
    text = str(value or "")
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


@dataclass(frozen=True)
class _Denial:
    status: str
    reason: str
    message: str
    seconds: int = 0  # until another try is worth it


class _Gate:
    """Lets a visitor in or not."""

    def __init__(self, client: Client, identify: Callable[[WSGIEnvironment], Visitor | None],
                 on_error: str, retry_seconds: int) -> None:
        if on_error not in ("deny", "allow"):
            raise errors.Invalid("on_error", f"{on_error!r} is not known; pass 'deny' or 'allow'")
        self._client = client
        self._identify = identify
        self._on_error = on_error
        self._retry_seconds = retry_seconds

    def ask(self, environ: WSGIEnvironment) -> Visitor | Session | _Denial | None:
        """The session; or the visitor, let in uncounted; or None, for who is nobody."""
        visitor = self._identify(environ)
        if visitor is None:
            return None
        try:
            return self._client.use(visitor.user, visitor.device, visitor.host, visitor.label).session
        except errors.Refused as refused:
            return _Denial("503 Service Unavailable", refused.reason, refused.message,
                           refused.seconds or self._retry_seconds)
        except errors.Revoked as revoked:
            why = f": {revoked.reason}" if revoked.reason else "."
            return _Denial("403 Forbidden", "revoked", f"Your session was ended{why}")
        except errors.Invalid as invalid:
            _log.warning("a request was refused: %s", invalid)
            return _Denial("400 Bad Request", "invalid", "Your name or address cannot be one.")
        except errors.Error as error:
            _log.error("%s", error)
            if self._on_error == "allow" or (isinstance(error, errors.Unavailable) and error.let_through):
                return visitor
            return _Denial("503 Service Unavailable", "unavailable",
                           "It cannot be told at the moment whether there is a seat for you. Please try again "
                           "later.", self._retry_seconds)


class Middleware:
    """Answers in place of `application` where a user has no seat: 503 with the message and Retry-After if
    refused, 403 with the reason if revoked, as plain text.

    identify: whose session a request is; None for a request that needs no seat. on_error: ``deny`` or
    ``allow``, if the daemon is not there. retry_seconds: for Retry-After where nobody knows better.
    A request that is let in has its :class:`~sessreg.Session` in `environ["sessreg.session"]`. Any number
    of threads may use one; so may processes that are forked later.
    """

    def __init__(self, application: WSGIApplication, client: Client,
                 identify: Callable[[WSGIEnvironment], Visitor | None] = by_address, *,
                 on_error: str = "deny", retry_seconds: int = 30) -> None:
        self._application = application
        self._gate = _Gate(client, identify, on_error, retry_seconds)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._gate.ask(environ)
        if isinstance(answer, _Denial):
            return _say(environ, start_response, answer.status, answer.message, _headers(answer))
        if isinstance(answer, Session):
            environ["sessreg.session"] = answer
        return self._application(environ, start_response)


class AuthRequest:
    """An endpoint for nginx's auth_request: 204 if the user has a seat, and else 403, with the message in
    X-Sessreg-Message, percent-encoded where it is not plain ASCII, a word in X-Sessreg-Reason, and
    Retry-After. Who is nobody is refused. It believes the headers that it is asked with: only nginx may
    reach it, and must set them."""

    def __init__(self, client: Client, identify: Callable[[WSGIEnvironment], Visitor | None] = by_headers, *,
                 on_error: str = "deny", retry_seconds: int = 30) -> None:
        self._gate = _Gate(client, identify, on_error, retry_seconds)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._gate.ask(environ)
        if answer is None:
            answer = _Denial("", "nobody", "Nobody is logged in.")
        if not isinstance(answer, _Denial):
            start_response("204 No Content", [])
            return []
        # Any other status than 401 and 403 is an error to nginx.
        return _say(environ, start_response, "403 Forbidden", answer.message, [
            ("X-Sessreg-Message", quote(answer.message, safe=_HARMLESS)),
            ("X-Sessreg-Reason", quote(answer.reason)), *_headers(answer)])


def _headers(denial: _Denial) -> list[tuple[str, str]]:
    return [("Retry-After", str(denial.seconds))] if denial.seconds > 0 else []


def _say(environ: WSGIEnvironment, start_response: StartResponse, status: str, message: str,
         headers: list[tuple[str, str]]) -> Iterable[bytes]:
    body = f"{message}\n".encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"),
                            ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
                            ("X-Content-Type-Options", "nosniff"), *headers])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


# --- python3 -m sessreg.wsgi ---


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 10  # of one that connects and says nothing

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main(arguments: list[str] | None = None) -> int:
    """Serves AuthRequest on loopback until it is ended."""
    parser = argparse.ArgumentParser(prog="python3 -m sessreg.wsgi",
                                     description="Serves an endpoint for nginx's auth_request on 127.0.0.1.")
    parser.add_argument("--service", required=True, help="of sessreg.conf(5)")
    parser.add_argument("--site", help="default: default")
    parser.add_argument("--socket", help="sessregd's (default: $SESSREG_SOCKET, else "
                                         "/run/sessreg/sessregd.sock)")
    parser.add_argument("--port", type=int, default=9180, help="default: 9180; 0: any, which is printed")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="default: 2")
    parser.add_argument("--on-error", choices=("deny", "allow"), default="deny",
                        help="what happens while there is no sessregd (default: deny)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        endpoint = AuthRequest(Client(options.service, options.site, options.socket, options.timeout),
                               on_error=options.on_error)
        server = wsgiref.simple_server.make_server("127.0.0.1", options.port, endpoint, _Server, _Handler)
    except errors.Error as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except (OSError, OverflowError) as error:
        print(f"{parser.prog}: cannot listen on port {options.port} of 127.0.0.1: {error}; pass another --port",
              file=sys.stderr)
        return 1
    with server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
