"""A component in slixmpp that says what was said to it, for `cargo xtask federate`.

It is started with COMPONENT_DOMAIN, _SECRET, _HOST and _PORT in the environment, and prints a line for each thing that happens.
"""

import asyncio
import os
import sys

from slixmpp import ComponentXMPP


class Echo(ComponentXMPP):
    """Answers each message from the address that it was sent to."""

    def __init__(self):
        domain, secret = os.environ["COMPONENT_DOMAIN"], os.environ["COMPONENT_SECRET"]
        super().__init__(domain, secret, os.environ["COMPONENT_HOST"], int(os.environ["COMPONENT_PORT"]))
        for plugin in ("xep_0030", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", lambda _: print("attached", flush=True))
        self.add_event_handler("disconnected", self.gone)
        self.add_event_handler("message", self.answer)

    def answer(self, message):
        print("message", message["from"].bare, message["to"], message["body"], sep="\t", flush=True)
        if message["type"] in ("chat", "normal") and message["body"]:
            # To whatever of the user's is online.
            self.send_message(mto=message["from"].bare, mfrom=message["to"], mbody=message["body"], mtype="chat")

    def gone(self, _):
        print("gone", flush=True)
        asyncio.get_event_loop().call_later(0.5, sys.exit, 1)


echo = Echo()
echo.connect()
asyncio.get_event_loop().run_forever()
