"""The networks of `cargo xtask survive`: between this network namespace, where the servers are, and that of each client a link that loses
and delays packets, and is down at times, as a script says.

    link.py SERVER SCRIPT SEED FOLDER LINK...

Each LINK is the name of a namespace, and of whose weather it has: `ns:phone`. The script has lines such as these, with the seconds since the
start in front; loss is of a hundred, delay and jitter are milliseconds, each way:

    12.500 phone weather 3.0 150 80
    60.000 phone down
    75.250 phone up
    90.000 desk address 3

`tc netem` would do the same, but for that kernels are often built without it, and that it gives other losses each time. Here, with the same
seed, the same packets of a link are lost. Packets keep their order.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x0001 | 0x1000
# More than this does not wait on a link, one way: what comes then is lost.
MOST = 1000


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def tun(name):
    """A device of the network whose packets this program gets, and brings."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), TUN_WITHOUT_HEADER))
    return file


class Link:
    """A client's way to the servers."""

    def __init__(self, index, namespace, role, server, seed):
        self.index, self.namespace, self.role = index, namespace, role
        self.net = f"10.77.{index + 1}"
        self.random = [random.Random(f"{seed} {role} {way}") for way in range(2)]
        self.loss, self.delay, self.jitter, self.is_down = 0.0, 0.0, 0.0, False
        self.bytes, self.last, self.waiting = [0, 0], [0.0, 0.0], [0, 0]
        here, there = f"s{index}", f"c{index}"
        # The first is where packets from the servers come out, the second where those of the client do.
        self.files = [tun(here), tun(there)]
        ip("netns", "add", namespace)
        ip("link", "set", there, "netns", namespace)
        ip("link", "set", here, "up")
        ip("route", "add", f"{self.net}.0/24", "dev", here, "src", server)
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "set", there, "up")
        self.address = None
        self.set_address(2)

    def set_address(self, number):
        new, device = f"{self.net}.{number}", f"c{self.index}"
        if self.address:
            ip("-n", self.namespace, "address", "del", f"{self.address}/24", "dev", device)
        ip("-n", self.namespace, "address", "add", f"{new}/24", "dev", device)
        ip("-n", self.namespace, "route", "replace", "default", "dev", device, "src", new)
        self.address = new

    def obey(self, command, words):
        if command == "weather":
            self.loss, self.delay, self.jitter = (float(word) for word in words)
        elif command == "address":
            self.set_address(int(words[0]))
        else:
            self.is_down = command == "down"

    def arrival(self, way, length, now):
        """When a packet arrives that leaves now; nothing if it is lost."""
        self.bytes[way] += length
        is_lost = self.random[way].uniform(0, 100) < self.loss
        jitter = self.random[way].uniform(-self.jitter, self.jitter)
        if self.is_down or is_lost or self.waiting[way] >= MOST:
            return None
        self.last[way] = max(self.last[way], now + (self.delay + jitter) / 1000)
        return self.last[way]


def main():
    server, script, seed, folder, *names = sys.argv[1:]
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{server}/32", "dev", "lo")
    links = [Link(index, *name.split(":"), server, seed) for index, name in enumerate(names)]
    with open(script, encoding="ascii") as lines:
        steps = [line.split() for line in lines]
    ends = {link.files[way]: (link, way) for link in links for way in range(2)}
    poll = select.poll()
    for file in ends:
        poll.register(file, select.POLLIN)
    print("ready", flush=True)
    # What begins the script.
    while not os.path.exists(f"{folder}/start"):
        time.sleep(0.01)
    start, count, waiting = time.monotonic(), 0, []
    reported = start
    while True:
        now = time.monotonic()
        while steps and float(steps[0][0]) <= now - start:
            at, role, command, *words = steps.pop(0)
            for link in links:
                if link.role == role:
                    link.obey(command, words)
            print(f"{time.time():.3f}", at, role, command, *words, flush=True)
        while waiting and waiting[0][0] <= now:
            _, _, link, way, packet = heapq.heappop(waiting)
            link.waiting[way] -= 1
            # What was on the way when the link went down is lost, too.
            if not link.is_down:
                try:
                    os.write(link.files[1 - way], packet)
                except OSError:
                    pass
        if now - reported > 1:
            reported = now
            with open(f"{folder}/bytes.new", "w", encoding="ascii") as file:
                json.dump({link.namespace: sum(link.bytes) for link in links}, file)
            os.replace(f"{folder}/bytes.new", f"{folder}/bytes")
        due = [waiting[0][0]] if waiting else []
        due += [start + float(steps[0][0])] if steps else []
        pause = max(0, min([*due, now + 0.5]) - time.monotonic())
        for file, _ in poll.poll(pause * 1000 + 0.5):
            link, way = ends[file]
            for _ in range(64):
                try:
                    packet = os.read(file, 65536)
                except BlockingIOError:
                    break
                arrival = link.arrival(way, len(packet), time.monotonic())
                if arrival is not None:
                    count += 1
                    link.waiting[way] += 1
                    heapq.heappush(waiting, (arrival, count, link, way, packet))


main()
