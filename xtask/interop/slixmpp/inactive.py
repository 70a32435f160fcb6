"""The scenario "inactive" of `cargo xtask interop`, spoken by slixmpp: romeo's phone is in a pocket while juliet comes, goes and writes
to him.
"""

import asyncio

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from common import JULIET, PATIENCE, ROMEO, Client, Skip, check, run

# What is not urgent has come within this time, if it comes at all.
SOON = 0.5


class Phone(Client):
    """A client that keeps in order what juliet shows and writes."""

    def __init__(self, jid):
        super().__init__(jid)
        self.seen = []
        self.register_plugin("xep_0085")
        self.register_plugin("xep_0352")
        for name in ("presence", "message"):
            matcher = MatchXPath("{%s}%s" % (self.default_ns, name))
            self.register_handler(Callback(f"all {name}", matcher, self.on_stanza))

    def on_stanza(self, stanza):
        if stanza["from"].bare == JULIET:
            self.seen.append(stanza["type"] if stanza.name == "presence" else stanza["body"] or stanza["chat_state"])

    async def sees(self, what):
        async with asyncio.timeout(PATIENCE):
            while what not in self.seen:
                await asyncio.sleep(0.02)


async def log_in(clients):
    for client in clients:
        await client.open()
        client.send_presence()
        await client.settle()
    if not clients[0].plugin["xep_0352"].enabled:
        raise Skip("the server does not offer it")
    return "it is offered"


async def waits(phone, juliet):
    phone.plugin["xep_0352"].send_inactive()
    await phone.settle()
    await asyncio.sleep(SOON)
    phone.seen.clear()
    for show in ("away", "xa", "dnd"):
        juliet.send_presence(pto=phone.boundjid.full, pshow=show)
    typing = juliet.make_message(mto=phone.boundjid.full, mtype="chat")
    typing["chat_state"] = "composing"
    typing.send()
    await juliet.settle()
    await asyncio.sleep(SOON)
    assert not phone.seen, f"{phone.seen} has come"


async def brings_all(phone, juliet):
    juliet.send_message(mto=phone.boundjid.full, mbody="Hist!", mtype="chat")
    await phone.sees("Hist!")
    assert phone.seen[-3:] == ["dnd", "composing", "Hist!"], f"{phone.seen} has come"
    return ", ".join(phone.seen)


async def looks(phone, juliet):
    await asyncio.sleep(SOON)
    phone.seen.clear()
    juliet.send_presence(pto=phone.boundjid.full, pshow="chat")
    await juliet.settle()
    await asyncio.sleep(SOON)
    assert not phone.seen, f"{phone.seen} has come"
    phone.plugin["xep_0352"].send_active()
    await phone.sees("chat")
    juliet.send_presence(pto=phone.boundjid.full, pshow="away")
    await phone.sees("away")


async def main():
    phone, juliet = Phone(f"{ROMEO}/phone"), Phone(f"{JULIET}/balcony")
    if await check("offer", log_in([phone, juliet])) is None:
        return
    await check("waits", waits(phone, juliet))
    await check("urgent", brings_all(phone, juliet))
    await check("looks", looks(phone, juliet))

    async def leave():
        answered = await asyncio.gather(*(client.leave() for client in [phone, juliet]))
        assert all(answered), "no closing tag in answer"

    await check("close", leave())


if __name__ == "__main__":
    run(main)
