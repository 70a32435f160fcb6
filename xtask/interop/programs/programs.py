"""The scenario "programs" of `cargo xtask interop`: romeo sits in front of a program for people. juliet uses `balcony`, and so do
the other devices of romeo.

Started with the program's name and what else it takes, and with the environment that common.py names. Each check is one line on
standard output: result, name, detail, with tabs between them.
"""

import json
import os
import subprocess
import sys

from common import ADDRESS, CA, JULIET, LOG, PASSWORD, ROMEO, Skip, wait
from gosendxmpp import GoSendxmpp
from libpurple import Libpurple
from profanity import Profanity

PROGRAMS = {"go-sendxmpp": GoSendxmpp, "libpurple": Libpurple, "profanity": Profanity}
ENVIRONMENT = {**os.environ, "BALCONY_PASSWORD": PASSWORD}
SOON = 5


def balcony(what, account, *args):
    """Runs a command of `balcony` to its end. What it prints; a refusal is an error with what it says."""
    command = [os.environ["INTEROP_BALCONY"], what, "--as", account, "--connect", ADDRESS, "--ca", CA, *args]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
    return done.stdout


def contacts(account):
    return [json.loads(line) for line in balcony("roster", account, "list", "--json").splitlines()]


class Listener:
    """`balcony listen`, with what it has heard."""

    count = 0

    def __init__(self, account, resource, *args):
        Listener.count += 1
        path = LOG.with_suffix(f".{Listener.count}.{resource}")
        self.heard, errors = path.with_suffix(f".{resource}.out"), path.with_suffix(f".{resource}.log")
        command = [os.environ["INTEROP_BALCONY"], "listen", "--as", f"{account}/{resource}", "--connect", ADDRESS]
        command += ["--ca", CA, "--json", *args]
        with self.heard.open("w") as heard, errors.open("w") as complaints:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=heard, stderr=complaints)
        wait(f"{resource} of {account}", lambda: "listening as" in errors.read_text())

    def lines(self):
        return [json.loads(line) for line in self.heard.read_text().splitlines()]

    def hears(self, text):
        wait(f"message: {text}", lambda: self.times(text) > 0, SOON)
        assert self.times(text) == 1, "it came more than once"

    def times(self, text):
        return sum(line.get("body") == text for line in self.lines())

    def sees(self, what, **wanted):
        """Waits for news of romeo."""
        is_it = lambda line: line["from"].split("/")[0] == ROMEO and wanted.items() <= line.items()
        wait(what, lambda: any(map(is_it, self.lines())), SOON)

    def leave(self):
        self.process.terminate()
        self.process.wait()


class Play:
    """The checks. juliet's roster and romeo's are empty at first."""

    def __init__(self, program):
        self.program = program
        self.juliet = Listener(JULIET, "balcony")
        self.other = None

    def says(self, text, to=ROMEO):
        balcony("send", JULIET, to, text)

    def fence(self, text):
        """What the program has done before is done when juliet hears this."""
        self.program.send(text)
        self.juliet.hears(text)

    def start(self):
        return self.program.start()

    def send(self):
        self.program.send("wherefore")
        self.juliet.hears("wherefore")

    def receive(self):
        self.says("henceforth")
        self.program.shows("henceforth")

    def add(self):
        self.program.add()
        self.juliet.sees("request", type="subscribe")
        contact = contacts(ROMEO)[0]
        assert contact["jid"] == JULIET and contact["asked"], contact

    def approved(self):
        balcony("roster", JULIET, "approve", ROMEO)
        self.program.sees("online")
        assert contacts(ROMEO)[0]["subscription"] == "to", contacts(ROMEO)

    def approve(self):
        balcony("roster", JULIET, "add", ROMEO)
        self.program.approve()
        self.juliet.sees("approval", type="subscribed")
        self.juliet.sees("presence", type="available")
        assert contacts(JULIET)[0]["subscription"] == "both", contacts(JULIET)

    def seen(self):
        """Somebody else's presence."""
        self.juliet.leave()
        self.program.sees("offline")
        self.juliet = Listener(JULIET, "balcony", "--show", "away", "--status", "adieu")
        self.program.sees("away")

    def shown(self):
        """The program's own presence."""
        self.program.away("asleep")
        self.juliet.sees("presence", type="available", show="away", status="asleep")
        self.program.online()

    def priority(self):
        self.other = Listener(ROMEO, "other", "--priority", "5")
        self.program.priority(10)
        self.fence("tenfold")
        self.says("tomorrow")
        self.program.shows("tomorrow")
        self.program.priority(1)
        self.fence("onefold")
        self.says("banished")
        self.other.hears("banished")
        self.program.hides("banished")
        assert not self.other.times("tomorrow"), "the other one got it, too"
        self.program.priority(10)

    def copies(self):
        self.program.copies()
        self.fence("copied")
        self.says("sometime", f"{ROMEO}/other")
        self.program.shows("sometime")
        balcony("send", f"{ROMEO}/third", JULIET, "elsewhere")
        self.program.shows("elsewhere")
        return "received, sent"

    def block(self):
        self.program.block()
        wait("blocked address", lambda: JULIET in balcony("roster", ROMEO, "blocked"), SOON)
        try:
            self.says("unheard")
        except AssertionError as refusal:
            assert "service-unavailable" in str(refusal), refusal
        self.fenced_off()
        self.program.hides("unheard")

    def fenced_off(self):
        """Somebody who is not blocked is heard, so what came before has been kept away."""
        balcony("send", f"{ROMEO}/third", ROMEO, "myself")

    def unblock(self):
        self.program.unblock()
        wait("empty list", lambda: JULIET not in balcony("roster", ROMEO, "blocked"), SOON)
        self.says("reconciled")
        self.program.shows("reconciled")

    def offline(self):
        self.other.leave()
        detail = self.program.quit()
        self.says("firstly")
        self.says("secondly")
        self.program.start()
        self.program.shows("firstly")
        self.program.shows("secondly")
        return detail

    def forget(self):
        self.program.forget()
        self.juliet.sees("cancellation", type="unsubscribed")
        assert not contacts(ROMEO), contacts(ROMEO)

    def register(self):
        user = f"mercutio-{os.getpid()}"
        detail = self.program.register(user)
        return f"registered and logged in; {detail}"

    def direct(self):
        return self.program.direct()

    def quit(self):
        return self.program.quit()

    def wrong(self):
        self.program.refuse()

    def untrusted(self):
        return self.program.untrusted()

    def end(self):
        for listener in (self.juliet, self.other):
            if listener:
                listener.leave()
        self.program.kill()


# In this order; those of a program's `lacks` are left out.
CHECKS = (
    "send", "receive", "add", "approved", "approve", "seen", "shown", "priority", "copies", "block", "unblock", "offline", "forget",
    "register", "direct", "quit", "wrong", "untrusted",
)  # fmt: skip


def check(name, action):
    """Runs one check and reports how it went: whether it is well; nothing if it was left out."""
    try:
        print("ok", name, action() or "", sep="\t", flush=True)
        return True
    except Skip as reason:
        print("skip", name, reason, sep="\t", flush=True)
        return None
    except (AssertionError, subprocess.SubprocessError) as error:
        print("FAIL", name, " ".join(str(error).split()), sep="\t", flush=True)
    return False


def main():
    play = Play(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
    try:
        started = check("start", play.start)
        if started is False:
            return
        for name in CHECKS:
            reason = play.program.lacks.get(name) if started else "no login"
            if reason:
                print("skip", name, reason, sep="\t", flush=True)
            else:
                check(name, getattr(play, name))
    finally:
        play.end()


if __name__ == "__main__":
    main()
