// The scenario "resume" of `cargo xtask interop`, spoken by xmpp.js: romeo's network is cut again and again while he and juliet
// write to each other.

import { xml } from "@xmpp/client";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { INTEROP_ADDRESS, JULIET, ROMEO, check, must, open } from "./common.js";

const CUTS = 20;
// So many messages each way while all is well, and so many that the network swallows.
const BURST = 5;
const PATIENCE = 15_000;

// A network between a client and its server that can be cut, and brings nothing from some time before that.
async function relay() {
  const [host, port] = INTEROP_ADDRESS.split(":");
  const sockets = new Set();
  const network = { isSilent: false };
  const server = createServer((here) => {
    const there = connect(port, host);
    for (const [from, to] of [
      [here, there],
      [there, here],
    ]) {
      sockets.add(from);
      from.on("data", (data) => void (network.isSilent || to.write(data)));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  network.service = `xmpp://127.0.0.1:${server.address().port}`;
  network.cut = () => {
    for (const socket of sockets) socket.destroy();
    network.isSilent = false;
  };
  return network;
}

const expected = Array.from({ length: CUTS * 2 * BURST }, (_, number) => String(number));
const bodies = ({ stanzas }) => stanzas.map((stanza) => stanza.getChildText("body")).filter((body) => body !== null);

// All messages, once, in order.
async function all(xmpp) {
  for (const end = Date.now() + PATIENCE; bodies(xmpp).length < expected.length && Date.now() < end;) await sleep(50);
  const got = bodies(xmpp);
  const lost = expected.filter((body) => !got.includes(body));
  const twice = got.filter((body, at) => got.indexOf(body) < at);
  must(!lost.length && !twice.length, `lost: ${lost}, twice: ${twice}`);
  must(String(got) === String(expected), "not in order");
  return `${got.length} messages`;
}

async function main() {
  const network = await relay();
  const romeo = open(ROMEO, "train", { service: network.service });
  const juliet = open(JULIET, "balcony");
  const both = [romeo, juliet];
  let resumed = 0;
  romeo.streamManagement.on("resumed", () => void (resumed += 1));
  const isIn = await check("login", async () => {
    for (const xmpp of both) {
      await xmpp.start();
      // Its own presence comes back. No request: xmpp.js does not count the answers to its requests, so that the messages behind them
      // come twice.
      const back = once(xmpp, "stanza", { signal: AbortSignal.timeout(PATIENCE) });
      await xmpp.send(xml("presence"));
      await back;
      for (let tries = 0; !xmpp.streamManagement.enabled && tries < 20; tries++) await sleep(50);
      must(xmpp.streamManagement.enabled, "no stream management");
    }
    return "with stream management";
  });
  if (!isIn) return;
  await check("resumed", async () => {
    romeo.reconnect.delay = 10;
    romeo.reconnect.start();
    const { jid } = romeo;
    let number = 0;
    for (let round = 0; round < CUTS; round++) {
      for (network.isSilent of [false, true]) {
        for (let at = 0; at < BURST; at++, number++) {
          const message = (to) => xml("message", { to: String(to), type: "chat" }, xml("body", {}, String(number)));
          await romeo.send(message(juliet.jid));
          await juliet.send(message(jid));
        }
        await sleep(30);
      }
      const back = once(romeo.streamManagement, "resumed", { signal: AbortSignal.timeout(PATIENCE) });
      network.cut();
      await back;
    }
    must(resumed === CUTS, `${resumed} resumed`);
    must(String(romeo.jid) === String(jid), `${romeo.jid} and not ${jid}`);
    return `${resumed} of ${CUTS}`;
  });
  await check("down", () => all(romeo));
  await check("up", () => all(juliet));
  await check("close", async () => {
    romeo.reconnect.stop();
    await Promise.all(both.map((xmpp) => xmpp.stop()));
  });
}

await main();
process.exit();
