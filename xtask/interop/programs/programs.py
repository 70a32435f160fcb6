"""The scenario "programs" of `cargo xtask interop`: romeo uses a program for people, juliet `balcony send` and `balcony listen`.

Started with the program's name, and with INTEROP_ADDRESS, _DOMAIN, _ROMEO, _JULIET, _CA, _LOG, _PASSWORD and _BALCONY in the
environment. Each check is one line on standard output: result, name, detail, with tabs between them.
"""

import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

ADDRESS = os.environ["INTEROP_ADDRESS"]
DOMAIN = os.environ["INTEROP_DOMAIN"]
ROMEO = os.environ["INTEROP_ROMEO"]
JULIET = os.environ["INTEROP_JULIET"]
CA = os.environ["INTEROP_CA"]
LOG = pathlib.Path(os.environ["INTEROP_LOG"])
PASSWORD = os.environ["INTEROP_PASSWORD"]
PORT = ADDRESS.rsplit(":", 1)[1]
HOME = LOG.with_suffix(".home")
PATIENCE = 15


class Terminal:
    """A program that believes that somebody sits in front of it."""

    def __init__(self, command, trusts=True):
        self.seen = ""
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=str(HOME), TERM="xterm")
            os.environ.update(XDG_DATA_HOME=str(HOME / "data"), XDG_CONFIG_HOME=str(HOME / "config"))
            if trusts:
                os.environ["SSL_CERT_FILE"] = CA
            os.execvp(command[0], command)
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def type(self, line):
        os.write(self.end, line.encode() + b"\r")

    def read(self, seconds):
        """What has been written within this time; nothing if the program has ended."""
        if not select.select([self.end], [], [], seconds)[0]:
            return True
        try:
            some = os.read(self.end, 65536).decode(errors="replace")
        except OSError:
            return False
        # The sequences that move the cursor and choose colours.
        self.seen += re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\([B0])", " ", some)
        return True

    def shows(self, text):
        """Waits until the text is on the screen."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if text in self.seen:
                return
            if not self.read(0.1):
                break
        raise AssertionError(f"not on the screen: {text}")

    def ends(self):
        """Waits for the end, and gives the exit status."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.read(0.1):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class Profanity:
    """The account is in its files, the rest is typed."""

    def open(self, password=PASSWORD, trusts=True):
        shutil.rmtree(HOME, ignore_errors=True)
        (HOME / "data/profanity").mkdir(parents=True)
        account = ["[romeo]", "enabled=true", f"jid={ROMEO}", f"server={DOMAIN}", f"port={PORT}", "resource=profanity"]
        account += [f"password={password}", "tls.policy=force", ""]
        (HOME / "data/profanity/accounts").write_text("\n".join(account))
        self.terminal = Terminal(["profanity", "-l", "DEBUG", "-f", str(LOG), "-a", "romeo"], trusts)
        return self.terminal

    def start(self):
        LOG.unlink(missing_ok=True)
        self.open().shows("logged in successfully")
        mechanism = re.search(r"SENT: <auth [^>]*mechanism=\"([^\"]+)", LOG.read_text(errors="replace"))
        return mechanism.group(1) if mechanism else ""

    def send(self, text):
        self.terminal.type(f"/msg {JULIET} {text}")

    def receive(self, text):
        self.terminal.shows(text)

    def quit(self):
        self.terminal.type("/quit")
        status = self.terminal.ends()
        assert status == 0, f"ended with {status}"
        assert "RECV: </stream:stream>" in LOG.read_text(errors="replace"), "no closing tag in answer"

    def refuse(self):
        self.open(password="wrong").shows("Login failed")
        self.kill()

    def untrusted(self):
        self.open(trusts=False).shows("TLS certificate verification failed")
        self.kill()

    def kill(self):
        self.terminal.kill()


class GoSendxmpp:
    """One process listens, others send."""

    def run(self, *args, password=PASSWORD, trusts=True):
        command = ["go-sendxmpp", "-d", "-u", ROMEO, "-p", password, "-j", f"{DOMAIN}:{PORT}", *args]
        return command, {**os.environ, "HOME": str(HOME), **({"SSL_CERT_FILE": CA} if trusts else {})}

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

    def receive(self, text):
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


class Juliet:
    """`balcony listen`, and `balcony send` for her answers."""

    def __init__(self):
        self.heard = LOG.with_suffix(".juliet").open("w+")
        self.errors = LOG.with_suffix(".juliet.log").open("w+")
        command = self.command("listen", "/balcony") + ["--json"]
        self.process = subprocess.Popen(command, env=self.environment(), stdout=self.heard, stderr=self.errors)
        wait("juliet", lambda: "listening as" in pathlib.Path(self.errors.name).read_text())

    def command(self, what, resource=""):
        return [os.environ["INTEROP_BALCONY"], what, "--as", JULIET + resource, "--connect", ADDRESS, "--ca", CA]

    def environment(self):
        return {**os.environ, "BALCONY_PASSWORD": PASSWORD}

    def hears(self, text):
        path = pathlib.Path(self.heard.name)
        wait(f"message for juliet: {text}", lambda: text in path.read_text())
        assert path.read_text().count(text) == 1, "it came more than once"

    def says(self, text):
        subprocess.run(self.command("send") + [ROMEO, text], env=self.environment(), check=True)

    def kill(self):
        self.process.terminate()
        self.process.wait()


class Skip(Exception):
    """The program can't do this."""


def wait(what, ready):
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)


def check(name, action):
    try:
        print("ok", name, action() or "", sep="\t", flush=True)
        return True
    except Skip as reason:
        print("skip", name, reason, sep="\t", flush=True)
    except (AssertionError, subprocess.SubprocessError) as error:
        print("FAIL", name, " ".join(str(error).split()), sep="\t", flush=True)
    return False


def main():
    program = {"profanity": Profanity, "go-sendxmpp": GoSendxmpp}[sys.argv[1]]()
    juliet = Juliet()

    def send():
        program.send("wherefore")
        juliet.hears("wherefore")

    def receive():
        juliet.says("henceforth")
        program.receive("henceforth")

    try:
        if not check("start", program.start):
            return
        check("send", send)
        check("receive", receive)
        check("quit", program.quit)
        check("wrong", program.refuse)
        check("untrusted", program.untrusted)
    finally:
        juliet.kill()
        program.kill()


if __name__ == "__main__":
    main()
