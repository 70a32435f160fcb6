"""What the scenarios of `cargo xtask interop` in slixmpp have in common.

They are started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _CA, _LOG and _PASSWORD in the environment. Each check is
one line on standard output: result, name, detail, with tabs between them.
"""

import asyncio
import logging
import os
import sys

from slixmpp import ClientXMPP

ADDRESS = os.environ["INTEROP_ADDRESS"]
DIRECT = os.environ["INTEROP_DIRECT"]
DOMAIN = os.environ["INTEROP_DOMAIN"]
PASSWORD = os.environ["INTEROP_PASSWORD"]
ROMEO = os.environ["INTEROP_ROMEO"]
JULIET = os.environ["INTEROP_JULIET"]
PATIENCE = 15


class Skip(Exception):
    """The server does not offer what the check is about."""


class Client(ClientXMPP):
    """A client that keeps the bodies of the messages that it gets."""

    def __init__(self, jid, password=PASSWORD, direct=False, mechanism=None):
        super().__init__(jid, password, sasl_mech=mechanism)
        self.enable_direct_tls = direct
        self.enable_starttls = not direct
        self.host, self.port = (DIRECT if direct else ADDRESS).rsplit(":", 1)
        self.ca_certs = os.environ["INTEROP_CA"]
        self.bodies = []
        self.refusals = []
        for plugin in ("xep_0030", "xep_0077", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        self.plugin["xep_0077"].create_account = False
        self.add_event_handler("message", lambda message: self.bodies.append(message["body"]))
        self.add_event_handler("failed_auth", lambda failure: self.refusals.append(failure["condition"]))

    async def open(self):
        """Logs in and binds the resource."""
        started = asyncio.ensure_future(self.wait_until("session_start", PATIENCE))
        self.connect(self.host, int(self.port))
        await started

    async def settle(self):
        """Waits until the server has done what this client has asked for, and this client has what was on its way."""
        await self.plugin["xep_0199"].ping(DOMAIN, timeout=PATIENCE)

    async def leave(self):
        """Closes the stream; whether the server has closed its own in answer."""
        await self.disconnect(wait=5)
        return self.disconnect_reason == "End of stream"


def report(result, name, detail=""):
    print(result, name, " ".join(str(detail).split()), sep="\t", flush=True)


async def check(name, coroutine):
    """Runs one check and reports how it went. Gives what the check found, or nothing."""
    try:
        found = await asyncio.wait_for(coroutine, PATIENCE * 2)
        report("ok", name, found if isinstance(found, str) else "")
        return found
    except Skip as reason:
        report("skip", name, reason)
    except AssertionError as error:
        report("FAIL", name, error)
    except Exception as error:  # pylint: disable=broad-except
        report("FAIL", name, f"{type(error).__name__}: {error}")
    return None


def run(main):
    """Runs a scenario, with what goes over the wire in the log."""
    logging.basicConfig(
        filename=os.environ["INTEROP_LOG"],
        filemode="w",
        level=logging.DEBUG,
        format="%(asctime)s %(name)s %(message)s",
    )
    sys.exit(asyncio.run(main()))
