// The scenario "resources" of `cargo xtask interop`, spoken by xmpp.js: juliet logs in with three resources of different
// priorities, romeo writes to her.

import { xml } from "@xmpp/client";
import {
  INTEROP_DIRECT,
  INTEROP_PASSWORD,
  JULIET,
  ROMEO,
  Skip,
  check,
  domain,
  get,
  must,
  open,
  settle,
} from "./common.js";

const PRIORITIES = { five: 5, ten: 10, minus: -1 };

// One message; exactly the expected resources get it, once.
async function delivery(sender, receivers, to, type, expected) {
  const body = `${type} to ${to}`;
  await sender.send(xml("message", { to, type }, xml("body", {}, body)));
  await settle(sender);
  await Promise.all(receivers.map(settle));
  const got = receivers.flatMap(({ name, stanzas }) =>
    stanzas.filter((stanza) => stanza.is("message") && stanza.getChildText("body") === body).map(() => name),
  );
  must(String(got) === String(expected), `expected ${expected}, delivered to ${got}`);
  return got.join(", ");
}

async function main() {
  const receivers = Object.keys(PRIORITIES).map((resource) => open(JULIET, resource));
  const romeo = open(ROMEO, "balcony");
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
  await check("mechanisms", async () => {
    for (const mechanism of five.mechanisms) {
      const xmpp = open(ROMEO, "mechanism", { mechanism });
      await xmpp.start();
      await xmpp.stop();
    }
    return five.mechanisms.join(", ");
  });
  for (const xmpp of receivers) {
    await xmpp.send(xml("presence", {}, xml("priority", {}, String(PRIORITIES[xmpp.name]))));
    await settle(xmpp);
  }
  await check("chat", () => delivery(romeo, receivers, JULIET, "chat", ["ten"]));
  await check("headline", () => delivery(romeo, receivers, JULIET, "headline", ["five", "ten"]));
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
    const xmpp = open(ROMEO, "direct", { service: `xmpps://${domain}:${port}` });
    await xmpp.start();
    await settle(xmpp);
    const protocol = xmpp.socket.socket.getProtocol();
    await xmpp.stop();
    return protocol;
  });
  await check("refuse", async () => {
    const xmpp = open(JULIET, "wrong", { password: `not ${INTEROP_PASSWORD}` });
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
