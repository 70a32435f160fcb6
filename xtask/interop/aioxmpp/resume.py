"""The scenario "resume" of `cargo xtask interop`, spoken by aioxmpp: romeo's network is cut again and again while he and juliet write to
each other.

It is started as the scenarios in slixmpp are.
"""

import asyncio
import logging
import os
import sys
from datetime import timedelta

import aioxmpp
import aioxmpp.dispatcher
import OpenSSL.SSL
from aioxmpp import security_layer

CUTS = int(os.environ["INTEROP_CUTS"])
# How often each of them writes.
PACE = 0.02
PATIENCE = 15


def report(result, name, detail=""):
    print(result, name, " ".join(str(detail).split()), sep="\t", flush=True)


def cuts():
    """How often the network has been cut so far. While that is being written there is nothing."""
    with open(os.environ["INTEROP_COUNT"], encoding="ascii") as file:
        return int(file.read() or 0)


def context():
    """Whom TLS trusts: nobody but the authority of this run."""
    trusted = security_layer.default_ssl_context()
    trusted.load_verify_locations(os.environ["INTEROP_CA"])
    return trusted


class Person:
    """Somebody, and what has happened to them."""

    def __init__(self, jid, address):
        host, port = address.rsplit(":", 1)
        layer = aioxmpp.make_security_layer(os.environ["INTEROP_PASSWORD"])
        self.client = aioxmpp.PresenceManagedClient(
            aioxmpp.JID.fromstr(jid),
            layer._replace(ssl_context_factory=context),
            override_peer=[(host, int(port), aioxmpp.connector.STARTTLSConnector())],
            max_initial_attempts=None,
        )
        self.client.backoff_start = timedelta(milliseconds=50)
        self.client.backoff_cap = timedelta(milliseconds=300)
        self.resumed, self.begun, self.bodies = 0, 0, []
        self.client.on_stream_established.connect(self.on_established)
        self.client.on_stream_resumed.connect(self.on_resumed)
        self.client.on_failure.connect(lambda error: logging.error("failed: %r", error))
        dispatcher = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        dispatcher.register_callback(aioxmpp.MessageType.CHAT, None, self.on_message)

    def on_established(self):
        self.begun += 1

    def on_resumed(self):
        self.resumed += 1

    def on_message(self, message):
        self.bodies.append(message.body.any())

    def say(self, to, number):
        message = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.body[None] = str(number)
        self.client.enqueue(message)

    async def all(self, name, sent):
        """All messages, once, in order."""
        expected = [str(number) for number in range(sent)]
        for _ in range(PATIENCE * 20):
            if len(self.bodies) >= sent:
                break
            await asyncio.sleep(0.05)
        if self.bodies == expected:
            return report("ok", name, f"{sent} messages")
        lost = [each for each in expected if each not in self.bodies]
        twice = sorted({each for each in self.bodies if self.bodies.count(each) > 1})

        def some(those):
            return f"{len(those)} (the first {those[0]})" if those else "none"

        return report("FAIL", name, f"lost: {some(lost)}, twice: {some(twice)}" if lost or twice else "not in order")


async def main():
    romeo_jid, juliet_jid = os.environ["INTEROP_ROMEO"], os.environ["INTEROP_JULIET"]
    romeo = Person(f"{romeo_jid}/train", os.environ["INTEROP_RELAY"])
    juliet = Person(f"{juliet_jid}/balcony", os.environ["INTEROP_ADDRESS"])
    both = [romeo, juliet]
    for person in both:
        person.client.presence = aioxmpp.PresenceState(available=True)
    try:
        async with asyncio.timeout(PATIENCE):
            while not all(person.begun for person in both):
                await asyncio.sleep(PACE)
    except TimeoutError:
        return report("FAIL", "login", "no session")
    managed = all(person.client.stream.sm_enabled for person in both)
    report("ok" if managed else "FAIL", "login", "with stream management" if managed else "without")
    number = 0
    async with asyncio.timeout(150):
        while cuts() < CUTS:
            romeo.say(juliet_jid, number)
            juliet.say(romeo_jid, number)
            number += 1
            await asyncio.sleep(PACE)
    # The last cut may be under way.
    await asyncio.sleep(1)
    goes_on = romeo.resumed > 0 and romeo.begun == 1
    detail = f"{romeo.resumed} times" if goes_on else f"{romeo.begun} begun, {romeo.resumed} resumed"
    report("ok" if goes_on else "FAIL", "resumed", detail)
    await romeo.all("down", number)
    await juliet.all("up", number)
    for person in both:
        stopped = asyncio.get_running_loop().create_future()
        person.client.on_stopped.connect(lambda stopped=stopped: stopped.done() or stopped.set_result(None))
        person.client.stop()
        await asyncio.wait_for(stopped, PATIENCE)
    return report("ok", "close")


logging.basicConfig(filename=os.environ["INTEROP_LOG"], filemode="w", level=logging.DEBUG)
sys.exit(asyncio.run(main()))
