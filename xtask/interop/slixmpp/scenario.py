"""The scenario of `cargo xtask interop`, spoken by slixmpp.

Started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _CA, _LOG and _PASSWORD in the environment. juliet logs in with three resources of
different priorities, romeo writes to her. Each check is one line on standard output: result, name, detail, with tabs
between them.
"""

import asyncio
import logging
import os
import sys

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

ADDRESS = os.environ["INTEROP_ADDRESS"]
DIRECT = os.environ["INTEROP_DIRECT"]
DOMAIN = os.environ["INTEROP_DOMAIN"]
PASSWORD = os.environ["INTEROP_PASSWORD"]
PRIORITIES = {"five": 5, "ten": 10, "minus": -1}
PATIENCE = 15


class Skip(Exception):
    """The server does not offer what the check is about."""


class Client(ClientXMPP):
    """A client that keeps the bodies of the messages that it gets."""

    def __init__(self, jid, password=PASSWORD, direct=False):
        super().__init__(jid, password)
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
    except Exception as error:  # pylint: disable=broad-except
        report("FAIL", name, f"{type(error).__name__}: {error}")
    return None


async def log_in(clients):
    await asyncio.gather(*(client.open() for client in clients))
    return ", ".join(client.boundjid.resource for client in clients[:3])


async def encrypted(client):
    tls = client.transport.get_extra_info("ssl_object")
    assert tls is not None, "the stream is not encrypted"
    assert client.ssl_context.verify_mode.name == "CERT_REQUIRED" and client.ssl_context.check_hostname
    return tls.version()


async def mechanism(client):
    name = client.plugin["feature_mechanisms"].mech.name
    assert name.startswith("SCRAM-SHA-"), f"{name} was used"
    return name


async def wrong_password():
    client = Client(f"juliet@{DOMAIN}/wrong", "not " + PASSWORD)
    over = asyncio.ensure_future(client.wait_until("failed_all_auth", PATIENCE))
    started = []
    client.add_event_handler("session_start", started.append)
    client.connect(client.host, int(client.port))
    try:
        await over
    except asyncio.TimeoutError:
        pass
    finally:
        await client.disconnect(wait=1)
    assert not started, "the wrong password was good enough"
    assert client.refusals, "no answer"
    assert set(client.refusals) == {"not-authorized"}, client.refusals
    return f"not-authorized, {len(client.refusals)} tried"


async def delivery(sender, receivers, to, kind, expected):
    """One message; exactly the expected resources get it, once."""
    body = f"{kind} to {to}"
    sender.send_message(mto=to, mbody=body, mtype=kind)
    await sender.settle()
    await asyncio.gather(*(receiver.settle() for receiver in receivers))
    got = [receiver.boundjid.resource for receiver in receivers for each in receiver.bodies if each == body]
    assert got == expected, f"expected {expected}, delivered to {got}"
    return ", ".join(got)


async def disco(client):
    info = (await client.plugin["xep_0030"].get_info(jid=DOMAIN, timeout=PATIENCE))["disco_info"]
    assert any(identity[0] == "server" for identity in info["identities"]), info["identities"]
    assert "http://jabber.org/protocol/disco#info" in info["features"], info["features"]
    return f"{len(info['features'])} features"


async def version(client):
    found = (await client.plugin["xep_0092"].get_version(DOMAIN, timeout=PATIENCE))["software_version"]
    assert found["name"], "no name"
    return f"{found['name']} {found['version']}"


async def unknown(client):
    iq = client.make_iq_get(ito=DOMAIN)
    iq.append(ET.Element("{urn:example:unknown}query"))
    try:
        await iq.send(timeout=PATIENCE)
    except IqError as error:
        assert error.condition in ("service-unavailable", "feature-not-implemented"), error.condition
        return error.condition
    raise AssertionError("an unknown request had a result")


async def register():
    """Registers an account on a stream that is not logged in, then logs in with it and removes it."""
    user = f"mercutio-{os.getpid()}"
    client = Client(f"{user}@{DOMAIN}/new")
    offered = []
    client.plugin["xep_0077"].create_account = True

    async def fill_in(_form):
        offered.append(True)
        iq = client.make_iq_set(ito=DOMAIN)
        iq["register"]["username"] = user
        iq["register"]["password"] = PASSWORD
        await iq.send(timeout=PATIENCE)

    client.add_event_handler("register", fill_in)
    try:
        await client.open()
    except asyncio.TimeoutError:
        if not offered:
            raise Skip("not offered") from None
        raise
    finally:
        if not client.sessionstarted:
            await client.disconnect(wait=1)
    removal = await remove(client)
    await client.disconnect(wait=1)
    return "registered and logged in; " + removal


async def remove(client):
    """A server need not let accounts remove themselves. One that does may end the stream before it answers."""
    iq = client.make_iq_set()
    iq["register"]["remove"] = True
    answer = asyncio.ensure_future(iq.send(timeout=5))
    ended = asyncio.ensure_future(client.wait_until("disconnected", 5))
    await asyncio.wait([answer, ended], return_when=asyncio.FIRST_COMPLETED)
    answered = answer.done() and not ended.done()
    ended.cancel()
    if answered and isinstance(answer.exception(), IqError):
        return "removal: " + answer.exception().condition
    answer.cancel()
    return "removed"


async def direct():
    client = Client(f"romeo@{DOMAIN}/direct", direct=True)
    await client.open()
    await client.settle()
    detail = await encrypted(client)
    await client.disconnect(wait=1)
    return detail


async def main():
    bare = f"juliet@{DOMAIN}"
    receivers = [Client(f"{bare}/{resource}") for resource in PRIORITIES]
    romeo = Client(f"romeo@{DOMAIN}/balcony")
    five, _, _ = receivers
    if await check("bind", log_in([*receivers, romeo])) is None:
        return
    await check("tls", encrypted(five))
    await check("scram", mechanism(five))
    for receiver in receivers:
        receiver.send_presence(ppriority=PRIORITIES[receiver.boundjid.resource])
        await receiver.settle()
    await check("chat", delivery(romeo, receivers, bare, "chat", ["ten"]))
    await check("headline", delivery(romeo, receivers, bare, "headline", ["five", "ten"]))
    await check("full", delivery(romeo, receivers, f"{bare}/five", "chat", ["five"]))
    await check("negative", delivery(romeo, receivers, f"{bare}/minus", "chat", ["minus"]))
    await check("ping", five.plugin["xep_0199"].ping(DOMAIN, timeout=PATIENCE))
    await check("disco", disco(five))
    await check("version", version(five))
    await check("unknown", unknown(five))
    await check("direct", direct())
    await check("refuse", wrong_password())
    await check("register", register())

    async def leave():
        answered = await asyncio.gather(*(client.leave() for client in [*receivers, romeo]))
        assert all(answered), "no closing tag in answer"

    await check("close", leave())


if __name__ == "__main__":
    logging.basicConfig(
        filename=os.environ["INTEROP_LOG"],
        filemode="w",
        level=logging.DEBUG,
        format="%(asctime)s %(name)s %(message)s",
    )
    sys.exit(asyncio.run(main()))
