// The scenario "resume" of `cargo xtask interop`, spoken by xmpp.js: romeo's network is cut again and again while he and juliet
// write to each other.

import { xml } from "@xmpp/client";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { JULIET, ROMEO, check, must, open } from "./common.js";

const { INTEROP_RELAY, INTEROP_CUTS, INTEROP_COUNT } = process.env;
// How often each of them writes.
const PACE = 20;
const PATIENCE = 15_000;

// How often the network has been cut so far.
const cuts = () => Number(readFileSync(INTEROP_COUNT, "ascii"));

const bodies = ({ stanzas }) => stanzas.map((stanza) => stanza.getChildText("body")).filter((body) => body !== null);

// A client that gives the library nothing while it has no session: it would drop it.
function person(account, resource, options) {
  const xmpp = open(account, resource, options);
  const later = [];
  let isThere = false;
  const catchUp = () => {
    isThere = true;
    while (later.length) xmpp.say(...later.shift());
  };
  xmpp.say = (to, number) => {
    if (!isThere) return void later.push([to, number]);
    const message = xml("message", { to, type: "chat" }, xml("body", {}, String(number)));
    // What it cannot write it keeps, and sends again.
    xmpp.send(message).catch(() => {});
  };
  Object.assign(xmpp, { resumed: 0, begun: 0 });
  xmpp.on("disconnect", () => void (isThere = false));
  xmpp.streamManagement.on("resumed", () => {
    xmpp.resumed++;
    catchUp();
  });
  xmpp.on("online", () => {
    xmpp.begun++;
    xmpp.send(xml("presence")).then(catchUp);
  });
  xmpp.reconnect.delay = 50;
  xmpp.reconnect.start();
  return xmpp;
}

// All messages, once, in order.
async function all(xmpp, sent) {
  const expected = Array.from({ length: sent }, (_, number) => String(number));
  for (const end = Date.now() + PATIENCE; bodies(xmpp).length < sent && Date.now() < end;) await sleep(50);
  const got = bodies(xmpp);
  const lost = expected.filter((body) => !got.includes(body));
  const twice = got.filter((body, at) => got.indexOf(body) < at);
  const some = (list) => (list.length ? `${list.length} (the first ${list[0]})` : "none");
  must(!lost.length && !twice.length, `lost: ${some(lost)}, twice: ${some(twice)}`);
  must(String(got) === String(expected), "not in order");
  return `${got.length} messages`;
}

async function main() {
  const romeo = person(ROMEO, "train", { service: `xmpp://${INTEROP_RELAY}` });
  const juliet = person(JULIET, "balcony");
  const both = [romeo, juliet];
  const isIn = await check("login", async () => {
    for (const xmpp of both) {
      // Where the first connection is cut it connects again, and this fails nevertheless.
      xmpp.start().catch(() => {});
      for (let tries = 0; !xmpp.streamManagement.enabled && tries < 500; tries++) await sleep(20);
      must(xmpp.streamManagement.enabled, "no stream management");
    }
    return "with stream management";
  });
  if (!isIn) return;
  let sent = 0;
  for (const end = Date.now() + 10 * PATIENCE; cuts() < INTEROP_CUTS && Date.now() < end; sent++) {
    romeo.say(JULIET, sent);
    juliet.say(ROMEO, sent);
    await sleep(PACE);
  }
  // The last cut may be under way.
  await sleep(1000);
  await check("resumed", () => {
    must(romeo.begun === 1 && romeo.resumed > 0, `${romeo.begun} begun, ${romeo.resumed} resumed`);
    return `${romeo.resumed} times`;
  });
  await check("down", () => all(romeo, sent));
  await check("up", () => all(juliet, sent));
  await check("close", async () => {
    for (const xmpp of both) xmpp.reconnect.stop();
    await Promise.all(both.map((xmpp) => xmpp.stop()));
  });
}

await main();
process.exit();
