"""A terminal with a program in it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from common import CA, HOME, PATIENCE


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
        self.width = 199
        self.resize()

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

    def redraw(self):
        """Has all of the screen written again: programs write only what has changed, which may be part of a word."""
        self.seen = ""
        self.width = 400 - self.width
        self.resize()

    def resize(self):
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, self.width, 0, 0))

    def settle(self):
        """All of the screen, as it is after a moment."""
        self.redraw()
        while select.select([self.end], [], [], 0.5)[0] and self.read(0):
            pass
        return self.text()

    def text(self):
        """What is seen, with one space where there are several."""
        return " ".join(self.seen.split())

    def shows(self, text):
        """Waits until the text is on the screen."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if text in self.text() or text in self.settle():
                return
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
