"""go-sendxmpp: one process listens, others send."""

import os
import pathlib
import subprocess

from common import CA, DIRECT_PORT, DOMAIN, HOME, JULIET, LOG, PASSWORD, PATIENCE, PORT, ROMEO, Program, Skip, wait


class GoSendxmpp(Program):
    """It knows messages and nothing else."""

    lacks = dict.fromkeys(
        ("add", "approved", "approve", "seen", "shown", "priority", "copies", "block", "unblock", "offline", "forget", "register"),
        "no command for it",
    )

    def run(self, *args, password=PASSWORD, trusts=True, tls=False):
        command = ["go-sendxmpp", "-d", "-u", ROMEO, "-p", password]
        command += ["-t", "-j", f"{DOMAIN}:{DIRECT_PORT}"] if tls else ["-j", f"{DOMAIN}:{PORT}"]
        return command + list(args), {**os.environ, "HOME": str(HOME), **({"SSL_CERT_FILE": CA} if trusts else {})}

    def start(self):
        HOME.mkdir(exist_ok=True)
        command, environment = self.run("-l")
        with LOG.open("wb") as log:
            self.shown = LOG.with_suffix(".shown").open("w+")
            self.listener = subprocess.Popen(command, env=environment, stdout=self.shown, stderr=log)

        def is_bound():
            assert self.listener.poll() is None, LOG.read_text().strip().splitlines()[-1].split(" ", 2)[-1]
            return "<presence" in LOG.read_text()

        wait("its presence", is_bound)
        return "PLAIN" if "xmpp-sasl'/>" in LOG.read_text() else ""

    def direct(self):
        complaint = self.once(tls=True)
        assert not complaint, complaint

    def once(self, **options):
        """Sends a message, and gives the last thing that it complains about."""
        command, environment = self.run(JULIET, **options)
        done = subprocess.run(
            command, env=environment, input="?", capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""

    def send(self, text):
        command, environment = self.run(JULIET)
        subprocess.run(
            command, env=environment, input=text, capture_output=True, text=True, timeout=PATIENCE, check=True
        )

    def shows(self, text):
        wait(text, lambda: text in pathlib.Path(self.shown.name).read_text())

    def quit(self):
        self.kill()
        raise Skip("it listens until it is killed")

    def refuse(self):
        complaint = self.once(password="wrong")
        assert "auth failure" in complaint, complaint or "no complaint"

    def untrusted(self):
        complaint = self.once(trusts=False)
        assert "certificate" in complaint, complaint or "no complaint"

    def kill(self):
        self.listener.kill()
        self.listener.wait()
