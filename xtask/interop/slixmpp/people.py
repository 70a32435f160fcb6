"""The scenario "people" of `cargo xtask interop`, spoken by slixmpp: what romeo and juliet, whose accounts are new, see of each other.

juliet has the resources five and ten, which have asked for the roster, and minus, which has not and takes no messages.
"""

import asyncio

from slixmpp import JID
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

import common
from common import DOMAIN, JULIET, ROMEO, Skip, check, run

PATIENCE = 5
NURSE = f"nurse@{DOMAIN}"


class Client(common.Client):
    """A client that keeps what it gets until the scenario asks for it."""

    def __init__(self, account, resource, priority=0):
        super().__init__(f"{account}/{resource}")
        self.name = "romeo" if account == ROMEO else resource
        self.resource, self.priority = resource, priority
        self.inbox, self.news = [], asyncio.Event()
        for plugin in ("xep_0191", "xep_0203", "xep_0280"):
            self.register_plugin(plugin)
        # The scenario decides about subscriptions.
        self.roster.auto_authorize = None
        self.add_filter("in", self.keep)

    def keep(self, stanza):
        self.inbox.append(stanza)
        self.news.set()
        return stanza

    async def enter(self, roster=True):
        """Logs in, asks for the roster and becomes available."""
        await self.open()
        if roster:
            self.contacts = items(await self.get_roster())
        self.send_presence(ppriority=self.priority)
        await self.settle()
        return self

    async def exit(self):
        self.send_presence(ptype="unavailable")
        await self.leave()

    async def gets(self, what, test):
        """Waits for a stanza and takes it out of the inbox."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for stanza in self.inbox:
                        if test(stanza):
                            self.inbox.remove(stanza)
                            return stanza
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} got no {what}") from None

    async def gets_no(self, what, test):
        await self.settle()
        assert not any(map(test, self.inbox)), f"{self.name} got a {what}"

    async def clear(self):
        """Forgets what has come so far."""
        await self.settle()
        self.inbox.clear()

    async def message(self, to, body, *payload, kind="chat"):
        message = self.make_message(mto=to, mbody=body, mtype=kind)
        for element in payload:
            message.append(element)
        message.send()
        await self.settle()


def presence(sender, kind="available"):
    return lambda stanza: stanza.name == "presence" and stanza["type"] == kind and stanza["from"] == sender


def items(iq):
    return iq.xml.findall("{jabber:iq:roster}query/{jabber:iq:roster}item")


def push(contact, subscription, **attributes):
    """A roster push for this contact."""

    def test(stanza):
        if stanza.name != "iq" or stanza["type"] != "set":
            return False
        wanted = {"jid": contact, "subscription": subscription, **attributes}
        return any(all(item.get(name) == value for name, value in wanted.items()) for item in items(stanza))

    return test


def any_push(stanza):
    return stanza.name == "iq" and stanza.xml.find("{jabber:iq:roster}query") is not None and stanza["type"] == "set"


def blocking(name):
    """A push that says that romeo has been blocked or unblocked."""
    path = f"{{urn:xmpp:blocking}}{name}/{{urn:xmpp:blocking}}item[@jid='{ROMEO}']"
    return lambda stanza: stanza.name == "iq" and stanza["type"] == "set" and stanza.xml.find(path) is not None


def message(body, kind="chat"):
    return lambda stanza: stanza.name == "message" and stanza["type"] == kind and stanza["body"] == body


def carbon(direction, body):
    return lambda stanza: (
        stanza.name == "message"
        and stanza["from"] == JULIET
        and stanza.xml.find(f"{{urn:xmpp:carbons:2}}{direction}") is not None
        and stanza[f"carbon_{direction}"]["body"] == body
    )


def any_carbon(stanza):
    return any("{urn:xmpp:carbons:2}" in child.tag for child in stanza.xml)


async def refused(request):
    """The condition with which a request was refused, or nothing."""
    try:
        await request
        return None
    except IqError as error:
        return error.condition


class People:
    """The scenario."""

    async def login(self):
        self.five = await Client(JULIET, "five", 5).enter()
        self.ten = await Client(JULIET, "ten", 10).enter()
        self.minus = await Client(JULIET, "minus", -1).enter(roster=False)
        self.romeo = await Client(ROMEO, "balcony").enter()
        assert not self.five.contacts, self.five.contacts
        await self.ten.gets("presence of five", presence(f"{JULIET}/five"))
        await self.five.gets("presence of ten", presence(f"{JULIET}/ten"))
        return "the roster is empty"

    async def directed(self):
        five, romeo = self.five, self.romeo
        five.send_presence(pto=f"{ROMEO}/balcony", pstatus="hist")
        await romeo.gets("directed presence", presence(f"{JULIET}/five"))
        five.send_presence(ptype="unavailable")
        await romeo.gets("unavailable presence", presence(f"{JULIET}/five", "unavailable"))
        five.send_presence(ppriority=5)
        await five.settle()
        await romeo.gets_no("presence", presence(f"{JULIET}/five"))

    async def roster(self):
        await self.five.update_roster(NURSE, name="Nurse", groups=["Capulets"])
        for client in (self.five, self.ten):
            await client.gets("push", push(NURSE, "none", name="Nurse"))
            item = client.client_roster[NURSE]
            assert (item["name"], list(item["groups"])) == ("Nurse", ["Capulets"]), item
        await self.minus.gets_no("push", any_push)
        return "pushed to five, ten"

    async def versions(self):
        five = self.five
        if "rosterver" not in five.features:
            raise Skip("not offered")
        old = five.client_roster.version
        assert old, "no version in the push"
        five.client_roster.version = old
        fresh = await five.get_roster()
        assert not items(fresh), "what was known was sent again"
        await five.update_roster(NURSE, name="Angelica")
        await five.gets("push", push(NURSE, "none", name="Angelica"))
        assert five.client_roster.version != old, "the version stays"
        five.client_roster.version = old
        result = await five.get_roster()
        if items(result):
            assert items(result)[0].get("name") == "Angelica", result
            return "the whole roster"
        await five.gets("push in place of the roster", push(NURSE, "none", name="Angelica"))
        return "pushes"

    async def removal(self):
        await self.five.del_roster_item(NURSE)
        for client in (self.five, self.ten):
            await client.gets("push", push(NURSE, "remove"))
        condition = await refused(self.five.del_roster_item(NURSE))
        assert condition == "item-not-found", f"the second time: {condition or 'a result'}"
        return f"the second time {condition}"

    async def ask(self):
        self.romeo.send_presence(pto=JULIET, ptype="subscribe")
        await self.romeo.gets("push", push(JULIET, "none", ask="subscribe"))
        for client in (self.five, self.ten):
            await client.gets("request", presence(ROMEO, "subscribe"))
        late = await Client(JULIET, "late").enter()
        await late.gets("request that waits", presence(ROMEO, "subscribe"))
        await late.exit()
        return "five, ten; again at the next login"

    async def approval(self):
        self.ten.send_presence(pto=ROMEO, ptype="subscribed")
        await self.romeo.gets("approval", presence(JULIET, "subscribed"))
        approved = await self.romeo.gets("push", push(JULIET, "to"))
        assert 'ask="' not in str(approved), "the push still has ask"
        for client in (self.five, self.ten):
            await client.gets("push", push(ROMEO, "from"))
            await self.romeo.gets(f"presence of {client.resource}", presence(f"{JULIET}/{client.resource}"))

    async def preapproval(self):
        five, romeo = self.five, self.romeo
        offered = "preapproval" in romeo.features
        if offered:
            romeo.send_presence(pto=JULIET, ptype="subscribed")
            await romeo.settle()
        five.send_presence(pto=ROMEO, ptype="subscribe")
        if not offered:
            await romeo.gets("request", presence(JULIET, "subscribe"))
            romeo.send_presence(pto=JULIET, ptype="subscribed")
        await five.gets("approval", presence(ROMEO, "subscribed"))
        await five.gets("push", push(ROMEO, "both"))
        await romeo.gets("push", push(JULIET, "both"))
        await five.gets("presence", presence(f"{ROMEO}/balcony"))
        if not offered:
            raise Skip("not offered")
        await romeo.gets_no("request", presence(JULIET, "subscribe"))
        await romeo.gets("push with approved", push(JULIET, "to", approved="true"))

    async def presence(self):
        self.five.send_presence(pshow="away", pstatus="asleep", ppriority=5)
        for client in (self.romeo, self.ten, self.minus):
            seen = await client.gets("presence", presence(f"{JULIET}/five", "away"))
            assert seen["status"] == "asleep", seen
        return "romeo and her own resources"

    async def probe(self):
        await self.romeo.exit()
        await self.five.gets("unavailable presence", presence(f"{ROMEO}/balcony", "unavailable"))
        self.romeo = await Client(ROMEO, "garden").enter()
        await self.romeo.gets("presence of five", presence(f"{JULIET}/five", "away"))
        await self.romeo.gets("presence of ten", presence(f"{JULIET}/ten"))
        await self.romeo.gets("presence of minus", presence(f"{JULIET}/minus"))
        await self.five.gets("presence", presence(f"{ROMEO}/garden"))
        return "five is away, ten, minus"

    async def lost(self):
        self.ten.abort()
        await self.romeo.gets("unavailable presence", presence(f"{JULIET}/ten", "unavailable"))
        await self.five.gets("unavailable presence", presence(f"{JULIET}/ten", "unavailable"))
        self.ten = await Client(JULIET, "ten", 10).enter()
        await self.romeo.gets("presence", presence(f"{JULIET}/ten"))

    async def offline(self):
        for client in (self.five, self.ten, self.minus):
            await client.exit()
            await self.romeo.gets("unavailable", presence(f"{JULIET}/{client.resource}", "unavailable"))
        await self.romeo.message(JULIET, "one")
        await self.romeo.message(JULIET, "news", kind="headline")
        await self.romeo.message(JULIET, "two")
        await self.romeo.message(JULIET, "three", kind="normal")
        is_message = lambda stanza: stanza.name == "message"
        self.minus = await Client(JULIET, "minus", -1).enter(roster=False)
        await self.minus.gets_no("message", is_message)
        self.five = await Client(JULIET, "five", 5).enter()
        await self.five.gets("third message", message("three", "normal"))
        got = [stanza["body"] for stanza in self.five.inbox if is_message(stanza)]
        assert got == ["one", "two"], f"before the third came {got}"
        for stanza in filter(is_message, self.five.inbox):
            assert stanza["from"] == f"{ROMEO}/garden" and stanza["delay"]["stamp"], stanza
            by = stanza["delay"]["from"]
            assert by in (DOMAIN, JULIET), f"delayed by {by}"
        self.ten = await Client(JULIET, "ten", 10).enter()
        await self.ten.gets_no("message", is_message)
        return "in order, once, not to priority -1"

    async def block(self):
        five, ten, romeo = self.five, self.ten, self.romeo
        for client in (five, ten):
            assert not await client.plugin["xep_0191"].get_blocked_jids(), "somebody is blocked"
        await romeo.clear()
        await five.plugin["xep_0191"].block(JID(ROMEO))
        for client in (five, ten):
            await client.gets("push", blocking("block"))
            await romeo.gets("unavailable", presence(f"{JULIET}/{client.resource}", "unavailable"))
        assert await ten.plugin["xep_0191"].get_blocked_jids() == {JID(ROMEO)}
        await five.message(ROMEO, "from the one who blocks")
        error = await five.gets("error", lambda stanza: stanza.name == "message" and stanza["type"] == "error")
        assert error["error"]["condition"] == "not-acceptable", error
        assert error.xml.find(".//{urn:xmpp:blocking:errors}blocked") is not None, "no <blocked/>"

    async def blocked(self):
        five, romeo = self.five, self.romeo
        condition = await refused(romeo.plugin["xep_0199"].send_ping(JID(f"{JULIET}/five"), timeout=PATIENCE))
        assert condition == "service-unavailable", f"a ping: {condition or 'a result'}"
        heard = lambda stanza: stanza.name != "iq" and JID(stanza["from"]).bare == ROMEO and stanza["type"] != "error"
        five.inbox = [stanza for stanza in five.inbox if not heard(stanza)]
        await romeo.message(JULIET, "can you hear me?")
        romeo.send_presence(pstatus="unseen")
        await romeo.settle()
        await five.gets_no("stanza of his", heard)
        errors = [stanza["error"]["condition"] for stanza in romeo.inbox if stanza.name == "message"]
        assert errors in ([], ["service-unavailable"]), errors
        return f"a request: {condition}; a message: {', '.join(errors) or 'silence'}"

    async def unblock(self):
        five, ten, romeo = self.five, self.ten, self.romeo
        await five.plugin["xep_0191"].unblock(JID(ROMEO))
        for client in (five, ten):
            await client.gets("push", blocking("unblock"))
            await romeo.gets(f"presence of {client.resource}", presence(f"{JULIET}/{client.resource}"))
        assert not await five.plugin["xep_0191"].get_blocked_jids(), "somebody is blocked"
        await romeo.message(f"{JULIET}/five", "and now?")
        await five.gets("message", message("and now?"))
        return "presence and messages are back"

    async def carbons(self):
        five, ten, romeo = self.five, self.ten, self.romeo
        await ten.plugin["xep_0280"].enable()
        await five.message(ROMEO, "to romeo")
        await romeo.gets("message", message("to romeo"))
        copy = await ten.gets("copy", carbon("sent", "to romeo"))
        assert copy["carbon_sent"]["from"] == f"{JULIET}/five", copy
        await romeo.message(f"{JULIET}/five", "to five")
        await five.gets("message", message("to five"))
        copy = await ten.gets("copy", carbon("received", "to five"))
        assert copy["carbon_received"]["to"] == f"{JULIET}/five", copy
        await five.gets_no("copy", any_carbon)
        return "sent, received"

    async def private(self):
        five, ten, romeo = self.five, self.ten, self.romeo
        private = ET.Element("{urn:xmpp:carbons:2}private")
        no_copy = ET.Element("{urn:xmpp:hints}no-copy")
        await five.message(ROMEO, "in secret", private, no_copy)
        await romeo.gets("message", message("in secret"))
        await romeo.message(f"{JULIET}/five", "in secret, too", private, no_copy)
        await five.gets("message", message("in secret, too"))
        await ten.gets_no("copy", any_carbon)

    async def disable(self):
        five, ten, romeo = self.five, self.ten, self.romeo
        await ten.plugin["xep_0280"].disable()
        await five.message(ROMEO, "no copies")
        await romeo.gets("message", message("no copies"))
        await ten.gets_no("copy", any_carbon)

    async def cancel(self):
        await self.romeo.clear()
        self.five.send_presence(pto=ROMEO, ptype="unsubscribed")
        await self.romeo.gets("cancellation", presence(JULIET, "unsubscribed"))
        await self.romeo.gets("push", push(JULIET, "from"))
        for client in (self.five, self.ten):
            await client.gets("push", push(ROMEO, "to"))
            await self.romeo.gets("unavailable", presence(f"{JULIET}/{client.resource}", "unavailable"))

    async def forget(self):
        await self.romeo.del_roster_item(JULIET)
        await self.romeo.gets("push", push(JULIET, "remove"))
        await self.five.gets("cancellation", presence(ROMEO, "unsubscribed"))
        await self.five.gets("push", push(ROMEO, "none"))
        await self.five.gets("unavailable", presence(f"{ROMEO}/garden", "unavailable"))

    async def end(self):
        everybody = (self.five, self.ten, self.minus, self.romeo)
        assert all([await client.leave() for client in everybody]), "no closing tag in answer"


async def main():
    people = People()
    if await check("login", people.login()) is None:
        return
    for name in (
        "directed", "roster", "versions", "removal", "ask", "approval", "preapproval", "presence", "probe", "lost",
        "offline", "block", "blocked", "unblock", "carbons", "private", "disable", "cancel", "forget", "end",
    ):  # fmt: skip
        await check(name, getattr(people, name)())


if __name__ == "__main__":
    run(main)
