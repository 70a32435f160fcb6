"""The scenario "resume" of `cargo xtask interop`, spoken by slixmpp: romeo's network is cut again and again while he and juliet write to
each other.
"""

import asyncio

from common import JULIET, PATIENCE, ROMEO, Client, check, run

CUTS = 20
# So many messages each way while all is well, and so many that the network swallows.
BURST = 5


class Relay:
    """A network between a client and its server that can be cut, and brings nothing from some time before that."""

    def __init__(self, host, port):
        self.there = (host, port)
        self.writers = []
        self.is_silent = False

    async def start(self):
        self.server = await asyncio.start_server(self.bring, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()

    async def bring(self, reader, writer):
        other_reader, other_writer = await asyncio.open_connection(*self.there)
        self.writers += [writer, other_writer]
        await asyncio.gather(self.copy(reader, other_writer), self.copy(other_reader, writer))

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(4096):
                if not self.is_silent:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        self.is_silent = False


class Managed(Client):
    """A client with stream management that connects again."""

    def __init__(self, jid):
        super().__init__(jid)
        self.register_plugin("xep_0198")
        self.resumed = 0
        self.begun = 0
        self.add_event_handler("session_resumed", self.on_resumed)
        self.add_event_handler("session_start", self.on_start)

    def on_resumed(self, _event):
        self.resumed += 1

    def on_start(self, _event):
        self.begun += 1

    async def come_back(self, before):
        """Whether the session goes on."""
        async with asyncio.timeout(PATIENCE):
            while self.resumed == before:
                await asyncio.sleep(0.01)


async def log_in(clients):
    for client in clients:
        await client.open()
        client.send_presence()
        await client.settle()
    return "with stream management"


async def cuts(relay, romeo, juliet):
    number = 0
    for _ in range(CUTS):
        before = romeo.resumed
        # slixmpp itself loses what it is given in the moment in which its connection ends: it gets nothing then.
        for relay.is_silent in (False, True):
            for _ in range(BURST):
                romeo.send_message(mto=juliet.boundjid.full, mbody=f"{number}", mtype="chat")
                juliet.send_message(mto=romeo.boundjid.full, mbody=f"{number}", mtype="chat")
                number += 1
            await asyncio.sleep(0.03)
        ended = asyncio.ensure_future(romeo.wait_until("disconnected", PATIENCE))
        relay.cut()
        await ended
        romeo.connect(romeo.host, int(romeo.port))
        await romeo.come_back(before)
    assert romeo.resumed == CUTS and romeo.begun == 1, f"{romeo.resumed} resumed, {romeo.begun} begun"
    return f"{romeo.resumed} of {CUTS}"


async def all_of(client):
    """All messages, once, in order."""
    expected = [str(number) for number in range(CUTS * 2 * BURST)]
    try:
        async with asyncio.timeout(PATIENCE):
            while len(client.bodies) < len(expected):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    lost = [each for each in expected if each not in client.bodies]
    twice = sorted({each for each in client.bodies if client.bodies.count(each) > 1})
    assert not lost and not twice, f"lost: {lost}, twice: {twice}"
    assert client.bodies == expected, "not in order"
    return f"{len(expected)} messages"


async def main():
    romeo, juliet = Managed(f"{ROMEO}/train"), Managed(f"{JULIET}/balcony")
    relay = Relay(romeo.host, int(romeo.port))
    romeo.host, romeo.port = await relay.start()
    if await check("login", log_in([romeo, juliet])) is None:
        return
    await check("resumed", cuts(relay, romeo, juliet))
    await check("down", all_of(romeo))
    await check("up", all_of(juliet))

    async def leave():
        answered = await asyncio.gather(*(client.leave() for client in [romeo, juliet]))
        assert all(answered), "no closing tag in answer"

    await check("close", leave())


if __name__ == "__main__":
    run(main)
