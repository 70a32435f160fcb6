// The scenario of `cargo xtask interop`, spoken by xmpp.js.
//
// Started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _LOG and _PASSWORD in the environment, and with NODE_EXTRA_CA_CERTS. juliet
// logs in with three resources of different priorities, romeo writes to her. Each check is one line on standard output: result,
// name, detail, with tabs between them.

import { client, xml } from "@xmpp/client";
import { createWriteStream } from "node:fs";

const { INTEROP_ADDRESS, INTEROP_DIRECT, INTEROP_DOMAIN: domain, INTEROP_LOG, INTEROP_PASSWORD } = process.env;
const PRIORITIES = { five: 5, ten: 10, minus: -1 };
const wire = createWriteStream(INTEROP_LOG);

class Skip extends Error {}

function report(result, name, detail = "") {
  console.log([result, name, String(detail).replace(/\s+/g, " ")].join("\t"));
}

// Runs one check and reports how it went.
async function check(name, action) {
  try {
    report("ok", name, (await action()) ?? "");
    return true;
  } catch (error) {
    report(error instanceof Skip ? "skip" : "FAIL", name, error.message || error);
    return false;
  }
}

function must(condition, message) {
  if (!condition) throw new Error(message);
}

function open(username, resource, { password = INTEROP_PASSWORD, service = `xmpp://${INTEROP_ADDRESS}` } = {}) {
  const xmpp = client({
    service,
    domain,
    resource,
    credentials: async (authenticate, mechanisms) => {
      xmpp.mechanism = mechanisms[0];
      const agent = xml("user-agent", { id: crypto.randomUUID() });
      await authenticate({ username, password }, mechanisms[0], agent);
    },
  });
  xmpp.timeout = 5_000;
  // Its own method waits until the socket has written, and the caller listens too late for an answer that comes at once.
  xmpp.write = async (text) => void xmpp.socket.write(text);
  xmpp.reconnect.stop();
  xmpp.bodies = [];
  xmpp.name = resource;
  const log = (direction) => (element) => wire.write(`${username}/${resource} ${direction}: ${element}\n`);
  xmpp.on("element", log("S"));
  xmpp.on("send", log("C"));
  xmpp.on("error", log("error"));
  xmpp.on("stanza", (stanza) => {
    if (stanza.is("message")) xmpp.bodies.push(stanza.getChildText("body"));
  });
  return xmpp;
}

const get = (xmpp, name, xmlns) => xmpp.iqCaller.get(xml(name, { xmlns }), domain);

// Waits until the server has done what this client has asked for, and this client has what was on its way.
const settle = (xmpp) => get(xmpp, "ping", "urn:xmpp:ping");

// One message; exactly the expected resources get it, once.
async function delivery(sender, receivers, to, type, expected) {
  const body = `${type} to ${to}`;
  await sender.send(xml("message", { to, type }, xml("body", {}, body)));
  await settle(sender);
  await Promise.all(receivers.map(settle));
  const got = receivers.flatMap(({ name, bodies }) => bodies.filter((each) => each === body).map(() => name));
  must(String(got) === String(expected), `expected ${expected}, delivered to ${got}`);
  return got.join(", ");
}

async function main() {
  const receivers = Object.keys(PRIORITIES).map((resource) => open("juliet", resource));
  const romeo = open("romeo", "balcony");
  const all = [...receivers, romeo];
  const bound = await check("bind", async () => {
    await Promise.all(all.map((xmpp) => xmpp.start()));
    // With Bind 2 (XEP-0386) the name is only a part of the resource, and the server makes the rest.
    for (const xmpp of all) must(xmpp.jid.resource.startsWith(xmpp.name), `bound ${xmpp.jid}`);
    const isNew = receivers.some(({ jid, name }) => jid.resource !== name);
    return receivers.map(({ name }) => name).join(", ") + (isNew ? " (SASL 2, Bind 2)" : "");
  });
  if (!bound) return;
  const [five, , minus] = receivers;
  await check("tls", () => {
    must(five.socket.socket.authorized, "the certificate was not verified");
    return five.socket.socket.getProtocol();
  });
  await check("scram", () => {
    must(five.mechanism.startsWith("SCRAM-SHA-"), `${five.mechanism} was used`);
    return five.mechanism;
  });
  for (const xmpp of receivers) {
    await xmpp.send(xml("presence", {}, xml("priority", {}, String(PRIORITIES[xmpp.name]))));
    await settle(xmpp);
  }
  const bare = `juliet@${domain}`;
  await check("chat", () => delivery(romeo, receivers, bare, "chat", ["ten"]));
  await check("headline", () => delivery(romeo, receivers, bare, "headline", ["five", "ten"]));
  await check("full", () => delivery(romeo, receivers, five.jid.toString(), "chat", ["five"]));
  await check("negative", () => delivery(romeo, receivers, minus.jid.toString(), "chat", ["minus"]));
  await check("ping", async () => void (await settle(five)));
  await check("disco", async () => {
    const query = await get(five, "query", "http://jabber.org/protocol/disco#info");
    must(query.getChildren("identity").some(({ attrs }) => attrs.category === "server"), "it is no server");
    return `${query.getChildren("feature").length} features`;
  });
  await check("version", async () => {
    const query = await get(five, "query", "jabber:iq:version");
    return `${query.getChildText("name")} ${query.getChildText("version")}`;
  });
  await check("unknown", async () => {
    const error = await get(five, "query", "urn:example:unknown").then(
      () => new Error("an unknown request had a result"),
      (error) => error,
    );
    must(error.condition === "service-unavailable", error.message);
    return error.condition;
  });
  await check("direct", async () => {
    // It looks for the name of the service in the certificate.
    const port = INTEROP_DIRECT.split(":").pop();
    const xmpp = open("romeo", "direct", { service: `xmpps://${domain}:${port}` });
    await xmpp.start();
    await settle(xmpp);
    const protocol = xmpp.socket.socket.getProtocol();
    await xmpp.stop();
    return protocol;
  });
  await check("refuse", async () => {
    const xmpp = open("juliet", "wrong", { password: `not ${INTEROP_PASSWORD}` });
    const error = await xmpp.start().then(
      () => new Error("the wrong password was good enough"),
      (error) => error,
    );
    await xmpp.stop();
    must(error.condition === "not-authorized", error.message);
    return error.condition;
  });
  await check("register", () => {
    throw new Skip("not in xmpp.js");
  });
  await check("close", async () => {
    for (const xmpp of all) must(await xmpp.stop(), `${xmpp.name} saw no closing tag`);
  });
}

await main();
process.exit();
