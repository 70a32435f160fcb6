"""profanity: the account is in its files, the rest is typed."""

import re
import shutil

from common import DIRECT_PORT, DOMAIN, HOME, JULIET, LOG, PASSWORD, PORT, ROMEO, Program
from terminal import Terminal


class Profanity(Program):
    """It has juliet's window in front of it."""

    def open(self, jid=ROMEO, password=PASSWORD, trusts=True, policy="force", port=PORT):
        shutil.rmtree(HOME, ignore_errors=True)
        (HOME / "data/profanity").mkdir(parents=True)
        account = ["[romeo]", "enabled=true", f"jid={jid}", f"server={DOMAIN}", f"port={port}", "resource=profanity"]
        account += [f"password={password}", f"tls.policy={policy}", ""]
        (HOME / "data/profanity/accounts").write_text("\n".join(account))
        self.launch(["-a", "romeo"], trusts)

    def launch(self, args, trusts=True):
        LOG.unlink(missing_ok=True)
        self.terminal = Terminal(["profanity", "-l", "DEBUG", "-f", str(LOG), *args], trusts)

    def start(self):
        self.open()
        self.terminal.shows("logged in successfully")
        # To see what is written there.
        self.terminal.type(f"/msg {JULIET}")
        # Otherwise it gets copies of what goes elsewhere.
        self.terminal.type("/carbons off")
        mechanism = re.search(r"SENT: <auth [^>]*mechanism=\"([^\"]+)", LOG.read_text(errors="replace"))
        return mechanism.group(1) if mechanism else ""

    def direct(self):
        self.kill()
        self.open(policy="legacy", port=DIRECT_PORT)
        self.terminal.shows("logged in successfully")

    def send(self, text):
        self.terminal.type(f"/msg {JULIET} {text}")

    def shows(self, text):
        self.terminal.shows(text)

    def hides(self, text):
        assert text not in self.terminal.settle(), f"it shows {text}"

    def add(self):
        self.terminal.type(f"/roster add {JULIET}")
        self.terminal.type(f"/sub request {JULIET}")

    def sees(self, what):
        # In the bar above juliet's messages.
        self.terminal.shows(f"{JULIET} [ {what} ]")

    def approve(self):
        self.terminal.shows("Authorization request")
        self.terminal.type(f"/sub allow {JULIET}")

    def away(self, text):
        self.terminal.type(f"/status set away {text}")

    def online(self):
        self.terminal.type("/status set online")

    def priority(self, priority):
        self.terminal.type(f"/priority {priority}")

    def copies(self):
        self.terminal.type("/carbons on")

    def block(self):
        self.terminal.type(f"/blocked add {JULIET}")

    def unblock(self):
        self.terminal.type(f"/blocked remove {JULIET}")

    def forget(self):
        self.terminal.type(f"/roster remove {JULIET}")

    def register(self, user):
        self.kill()
        self.launch([])
        self.terminal.shows("Profanity")
        self.terminal.type(f"/register {user} {DOMAIN} port {PORT} tls force")
        for prompt in ("Enter password", "Confirm password"):
            self.terminal.shows(prompt)
            self.terminal.type(PASSWORD)
        self.terminal.shows("Registration successful")
        self.kill()
        self.open(jid=f"{user}@{DOMAIN}")
        self.terminal.shows("logged in successfully")
        return "it has no removal"

    def quit(self):
        self.terminal.type("/quit")
        status = self.terminal.ends()
        assert status == 0, f"ended with {status}"
        assert "RECV: </stream:stream>" in LOG.read_text(errors="replace"), "no closing tag in answer"

    def refuse(self):
        self.kill()
        self.open(password="wrong")
        self.terminal.shows("Login failed")

    def untrusted(self):
        self.kill()
        self.open(trusts=False)
        self.terminal.shows("TLS certificate verification failed")

    def kill(self):
        self.terminal.kill()
