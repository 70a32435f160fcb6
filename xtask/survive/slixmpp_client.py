"""One of the two clients of `cargo xtask survive` at Prosody and ejabberd: slixmpp, with stream management and what else keeps a connection
alive. It does what `xtask/interop/balcony/src/survive.rs` does.
"""

import asyncio
import logging
import os
import socket
import sys
import time

from slixmpp import ClientXMPP

PACE = 1.0
HOST, PORT = os.environ["INTEROP_ADDRESS"].rsplit(":", 1)


def tell(what):
    print(f"{what} {time.time():.3f}", flush=True)


def own_address():
    """The address from which this device would reach the server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((HOST, int(PORT)))
            return probe.getsockname()[0]
        except OSError:
            return None


class Client(ClientXMPP):
    def __init__(self):
        super().__init__(os.environ["SURVIVE_JID"], os.environ["INTEROP_PASSWORD"])
        self.enable_direct_tls = False
        self.ca_certs = os.environ["INTEROP_CA"]
        self.peer = os.environ["SURVIVE_PEER"]
        # slixmpp drops what it is given while it has no connection; it waits here instead.
        self.is_there, self.later = False, []
        self.register_plugin("xep_0198")
        self.register_plugin("xep_0199", {"keepalive": True, "interval": 15, "timeout": 10})
        self.add_event_handler("message", lambda message: tell(f"got {message['body']}"))
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("session_resumed", self.on_resumed)
        self.add_event_handler("disconnected", self.on_disconnected)

    async def on_start(self, _event):
        tell("online")
        self.send_presence()
        self.catch_up()

    def on_resumed(self, _event):
        tell("resumed")
        self.catch_up()

    def catch_up(self):
        self.is_there = True
        while self.later:
            self.say(self.later.pop(0))

    def say(self, number):
        if self.is_there:
            self.send_message(mto=self.peer, mbody=str(number), mtype="chat")
        else:
            self.later.append(number)

    def on_disconnected(self, reason):
        self.is_there = False
        tell("offline")
        print(f"{time.time():.3f} offline: {reason}", file=sys.stderr, flush=True)
        # It does not connect again by itself, but waits longer each time when asked to.
        self.connect(HOST, int(PORT))

    async def write(self):
        for number in range(int(os.environ["SURVIVE_MESSAGES"])):
            tell(f"sent {number}")
            self.say(number)
            await asyncio.sleep(PACE)

    async def look(self):
        last = own_address()
        while True:
            await asyncio.sleep(PACE)
            found = own_address()
            if found and last and found != last:
                tell("woken")
                self.abort()
            last = found or last


async def main():
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    client = Client()
    client.connect(HOST, int(PORT))
    await asyncio.gather(client.write(), client.look())


asyncio.run(main())
