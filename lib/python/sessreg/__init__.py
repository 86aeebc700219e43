"""Exact limits of user sessions, for applications: a client of sessregd(8).

    with sessreg.Client(service="shop") as seats:
        session = seats.admit("anna", host="192.0.2.7", device=cookie)
        seats.touch(session.token)              # at each request
        seats.close(session.token)              # when she logs out

`sessreg.aio` is for asyncio, `sessreg.embedded` for an application that has a registry and a daemon of its
own, and `sessreg.wsgi` for what is logged in by a web server.
"""

from .client import Client
from .errors import Denied, Ended, Error, Expired, Invalid, Lost, Refused, Revoked, Unavailable
from .records import Attempts, Listing, Own, Session, Standing, Used

__version__ = "0.1.0"

__all__ = ["Attempts", "Client", "Denied", "Ended", "Error", "Expired", "Invalid", "Listing", "Lost", "Own",
           "Refused", "Revoked", "Session", "Standing", "Unavailable", "Used", "__version__"]
