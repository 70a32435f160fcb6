"""A client on libpurple, as Pidgin and finch are: the small one of ../libpurple, which takes commands and tells what happens."""

import os
import re
import shutil
import subprocess

from common import CA, DIRECT_PORT, DOMAIN, HOME, JULIET, LOG, PASSWORD, PATIENCE, PORT, ROMEO, Program, wait


class Libpurple(Program):
    """One process, with its commands in a pipe and what it tells in a file."""

    lacks = {"copies": "not in libpurple"}

    def __init__(self, program):
        self.program = program
        LOG.unlink(missing_ok=True)

    def open(self, account=ROMEO, password=PASSWORD, direct=False, trusts=True, register=False, accepts=False):
        shutil.rmtree(HOME, ignore_errors=True)
        (HOME / "ca").mkdir(parents=True)
        if trusts:
            shutil.copy(CA, HOME / "ca/ca.pem")
        command = [self.program, str(HOME), account, password]
        command += [DIRECT_PORT, "old_ssl"] if direct else [PORT, "require_tls"]
        command += [str(HOME / "ca")] + (["register"] if register else []) + (["accept"] if accepts else [])
        self.told = LOG.with_suffix(".told")
        # Without this it does not write down what it sends.
        environment = {**os.environ, "LC_ALL": "C", "PURPLE_UNSAFE_DEBUG": "1", "PURPLE_VERBOSE_DEBUG": "1"}
        with LOG.open("a") as log, self.told.open("w") as told:
            self.begin = log.tell()
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=told, stderr=log, text=True)
        self.read = 0

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def tells(self, pattern):
        """Waits for a line, and goes on behind it."""

        def is_told():
            found = re.compile(pattern, re.M).search(self.told.read_text(), self.read)
            if found:
                self.read = found.end()
            assert found or self.process.poll() is None, f"it has ended: {self.told.read_text()[-100:]}"
            return found

        wait(pattern, is_told)

    def start(self):
        self.open()
        self.signs_on()
        return self.wire(r"Sending.*<auth .*mechanism='([^']+)")

    def signs_on(self):
        self.tells("^(signed on|disconnected: .*)$")
        last = self.told.read_text()[: self.read].splitlines()[-1]
        assert last == "signed on", last

    def wire(self, pattern):
        """What this process has written down and fits."""
        found = re.search(pattern, LOG.read_bytes()[self.begin :].decode(errors="replace"))
        return found.group(1) if found else ""

    def direct(self):
        self.kill()
        self.open(direct=True)
        self.signs_on()

    def send(self, text):
        self.type(f"send {JULIET} {text}")

    def shows(self, text):
        self.tells(f"^message .*{JULIET}.*: {text}$")

    def hides(self, text):
        assert f": {text}" not in self.told.read_text(), f"it shows {text}"

    def add(self):
        self.type(f"add {JULIET}")

    def sees(self, what):
        self.tells(f"^{JULIET} is {'available' if what == 'online' else what}$")

    def approve(self):
        self.tells(f"^{JULIET} asks$")
        self.type(f"approve {JULIET}")

    def away(self, text):
        self.type(f"away {text}")

    def online(self):
        self.type("online")

    def priority(self, priority):
        self.type(f"priority {priority}")

    def block(self):
        self.type(f"block {JULIET}")

    def unblock(self):
        self.type(f"unblock {JULIET}")

    def forget(self):
        self.type(f"remove {JULIET}")

    def register(self, user):
        self.kill()
        self.open(account=f"{user}@{DOMAIN}", register=True)
        self.tells("^registered$")
        self.type("connect")
        self.signs_on()
        self.type("unregister")
        # Servers may end the stream before they answer.
        self.tells("^(unregistered|disconnected: .*)$")
        return "removed"

    def quit(self):
        self.type("quit")
        status = self.process.wait(PATIENCE)
        assert status == 0, f"ended with {status}"

    def refuse(self):
        self.kill()
        self.open(password="wrong")
        self.tells("^disconnected: .*")
        assert self.wire("<failure.*(not-authorized)"), "no not-authorized"

    def untrusted(self):
        """A chain that can't be checked is offered for acceptance, refused, and then accepted. One that is invalid would not be offered."""
        self.kill()
        self.open(trusts=False)
        self.tells("^(choice: .*|notice: .*|disconnected: .*)")
        self.tells("^may answer: .*Accept")
        told = self.told.read_text()
        assert re.search(r"^choice: .*Accept certificate for", told, re.M), told
        assert "notice: " not in told, told
        assert not self.wire("(<auth)"), "it logs in"
        self.kill()
        self.open(trusts=False, accepts=True)
        self.signs_on()
        assert "choice: " in self.told.read_text(), "it was not asked"
        return "offered for acceptance, and accepted"

    def kill(self):
        self.process.kill()
        self.process.wait()
