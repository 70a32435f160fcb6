"""The scenario "resources" of `cargo xtask interop`, spoken by slixmpp: juliet logs in with three resources of different priorities,
romeo writes to her.
"""

import asyncio
import os

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from common import DOMAIN, JULIET, PASSWORD, PATIENCE, ROMEO, Client, Skip, check, run

PRIORITIES = {"five": 5, "ten": 10, "minus": -1}
# Those that slixmpp has; for -PLUS it has no binding on TLS 1.3.
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]


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


async def mechanisms(client):
    """Logs in by each mechanism that both have."""
    known = client.plugin["feature_mechanisms"].mech_list
    names = [name for name in MECHANISMS if name in known]
    for name in names:
        other = Client(f"{ROMEO}/mechanism", mechanism=name)
        await other.open()
        used = other.plugin["feature_mechanisms"].mech.name
        assert used == name, f"{used} in place of {name}"
        await other.disconnect(wait=1)
    return ", ".join(names)


async def wrong_password():
    client = Client(f"{JULIET}/wrong", "not " + PASSWORD)
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


# As in `PREPARED` of the program that starts this.
PREPARED = (("prepared-1", "m\u00b2"), ("prepared-2", "\u00bdlife"), ("prepared-3", "\ufb01sh"))


async def prepared():
    """Logs in with passwords that have another form where they are prepared, by SCRAM and by PLAIN."""
    for user, password in PREPARED:
        for mechanism in (None, "PLAIN"):
            client = Client(f"{user}@{DOMAIN}/prepared", password, mechanism=mechanism)
            try:
                await client.open()
            except asyncio.TimeoutError:
                raise AssertionError(f"{password}: {client.refusals}") from None
            finally:
                await client.disconnect(wait=1)
    return ", ".join(password for _, password in PREPARED)


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
    client = Client(f"{ROMEO}/direct", direct=True)
    await client.open()
    await client.settle()
    detail = await encrypted(client)
    await client.disconnect(wait=1)
    return detail


async def main():
    receivers = [Client(f"{JULIET}/{resource}") for resource in PRIORITIES]
    romeo = Client(f"{ROMEO}/balcony")
    five, _, _ = receivers
    if await check("bind", log_in([*receivers, romeo])) is None:
        return
    await check("tls", encrypted(five))
    await check("scram", mechanism(five))
    await check("mechanisms", mechanisms(five))
    for receiver in receivers:
        receiver.send_presence(ppriority=PRIORITIES[receiver.boundjid.resource])
        await receiver.settle()
    await check("chat", delivery(romeo, receivers, JULIET, "chat", ["ten"]))
    await check("headline", delivery(romeo, receivers, JULIET, "headline", ["five", "ten"]))
    await check("full", delivery(romeo, receivers, f"{JULIET}/five", "chat", ["five"]))
    await check("negative", delivery(romeo, receivers, f"{JULIET}/minus", "chat", ["minus"]))
    await check("ping", five.plugin["xep_0199"].ping(DOMAIN, timeout=PATIENCE))
    await check("disco", disco(five))
    await check("version", version(five))
    await check("unknown", unknown(five))
    await check("direct", direct())
    await check("refuse", wrong_password())
    await check("prepared", prepared())
    await check("register", register())

    async def leave():
        answered = await asyncio.gather(*(client.leave() for client in [*receivers, romeo]))
        assert all(answered), "no closing tag in answer"

    await check("close", leave())


if __name__ == "__main__":
    run(main)
