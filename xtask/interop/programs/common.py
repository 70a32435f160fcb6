"""What the programs of `cargo xtask interop` have in common.

Started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _CA, _LOG, _PASSWORD and _BALCONY in the environment.
"""

import os
import pathlib
import time

ADDRESS = os.environ["INTEROP_ADDRESS"]
DOMAIN = os.environ["INTEROP_DOMAIN"]
ROMEO = os.environ["INTEROP_ROMEO"]
JULIET = os.environ["INTEROP_JULIET"]
CA = os.environ["INTEROP_CA"]
LOG = pathlib.Path(os.environ["INTEROP_LOG"])
PASSWORD = os.environ["INTEROP_PASSWORD"]
PORT = ADDRESS.rsplit(":", 1)[1]
DIRECT_PORT = os.environ["INTEROP_DIRECT"].rsplit(":", 1)[1]
HOME = LOG.with_suffix(".home")
PATIENCE = 15


class Skip(Exception):
    """The program can't do this."""


def wait(what, ready, patience=PATIENCE):
    end = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)


class Program:
    """What romeo may ask of the program in front of him. What it can't do it skips."""

    # Why the program skips a check.
    lacks = {}

    def start(self):
        """Logs in over STARTTLS, and gives the mechanism."""
        raise NotImplementedError

    def direct(self):
        """Logs in over direct TLS, in a process of its own."""
        raise NotImplementedError

    def send(self, text):
        """Sends it to juliet."""
        raise NotImplementedError

    def shows(self, text):
        """Waits until this, that juliet has written, is on the screen."""
        raise NotImplementedError

    def hides(self, text):
        """Sees to it that it is not."""
        raise NotImplementedError

    def quit(self):
        """Says goodbye, and sees to it that the server has closed its stream in answer."""
        raise NotImplementedError

    def refuse(self):
        """A wrong password is refused."""
        raise NotImplementedError

    def untrusted(self):
        """A stranger's certificate is refused."""
        raise NotImplementedError

    def kill(self):
        """Ends it, if it still runs."""
        raise NotImplementedError
