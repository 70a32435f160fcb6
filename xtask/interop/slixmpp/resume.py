"""The scenario "resume" of `cargo xtask interop`, spoken by slixmpp: romeo's network is cut again and again while he and juliet write to
each other.
"""

import asyncio
import os

from common import ADDRESS, JULIET, PATIENCE, ROMEO, Client, check, run

CUTS = int(os.environ["INTEROP_CUTS"])
RELAY = os.environ["INTEROP_RELAY"]
# How often each of them writes, and tries to connect.
PACE, PAUSE = 0.02, 0.05


def cuts():
    """How often the network has been cut so far. While that is being written there is nothing."""
    with open(os.environ["INTEROP_COUNT"], encoding="ascii") as file:
        return int(file.read() or 0)


class Managed(Client):
    """A client with stream management that connects again, and gives slixmpp nothing while there is no session: it would drop it."""

    def __init__(self, jid, address):
        super().__init__(jid)
        self.host, self.port = address.rsplit(":", 1)
        self.register_plugin("xep_0198")
        self.resumed, self.begun, self.is_there, self.later = 0, 0, False, []
        self.add_event_handler("session_resumed", self.on_resumed)
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("disconnected", self.on_disconnected)

    def on_resumed(self, _event):
        self.resumed += 1
        self.catch_up()

    def on_start(self, _event):
        self.begun += 1
        self.send_presence()
        self.catch_up()

    async def on_disconnected(self, _event):
        self.is_there = False
        await asyncio.sleep(PAUSE)
        if not self.is_leaving:
            self.connect(self.host, int(self.port))

    is_leaving = False

    def catch_up(self):
        self.is_there = True
        while self.later:
            self.say(*self.later.pop(0))

    def say(self, to, number):
        if self.is_there:
            self.send_message(mto=to, mbody=f"{number}", mtype="chat")
        else:
            self.later.append((to, number))


async def log_in(clients):
    for client in clients:
        client.connect(client.host, int(client.port))
    async with asyncio.timeout(PATIENCE):
        while not all(client.begun for client in clients):
            await asyncio.sleep(PACE)
    return "with stream management"


async def write(romeo, juliet, deadline=150):
    number = 0
    async with asyncio.timeout(deadline):
        while cuts() < CUTS:
            romeo.say(JULIET, number)
            juliet.say(ROMEO, number)
            number += 1
            await asyncio.sleep(PACE)
    return number


async def went_on(client):
    assert client.resumed > 0 and client.begun == 1, f"{client.begun} begun, {client.resumed} resumed"
    return f"{client.resumed} times"


def some(those):
    return f"{len(those)} (the first {those[0]})" if those else "none"


async def all_of(client, number):
    """All messages, once, in order."""
    expected = [str(number) for number in range(number)]
    try:
        async with asyncio.timeout(PATIENCE):
            while len(client.bodies) < len(expected):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    lost = [each for each in expected if each not in client.bodies]
    twice = sorted({each for each in client.bodies if client.bodies.count(each) > 1})
    assert not lost and not twice, f"lost: {some(lost)}, twice: {some(twice)}"
    assert client.bodies == expected, "not in order"
    return f"{len(expected)} messages"


async def main():
    romeo, juliet = Managed(f"{ROMEO}/train", RELAY), Managed(f"{JULIET}/balcony", ADDRESS)
    if await check("login", log_in([romeo, juliet])) is None:
        return
    number = await write(romeo, juliet)
    # The last cut may be under way.
    await asyncio.sleep(1)
    await check("resumed", went_on(romeo))
    await check("down", all_of(romeo, number))
    await check("up", all_of(juliet, number))

    async def leave():
        for client in (romeo, juliet):
            client.is_leaving = True
        answered = await asyncio.gather(*(client.leave() for client in [romeo, juliet]))
        assert all(answered), "no closing tag in answer"

    await check("close", leave())


if __name__ == "__main__":
    run(main)
