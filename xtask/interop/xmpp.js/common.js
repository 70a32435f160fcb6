// What the scenarios of `cargo xtask interop` in xmpp.js have in common.
//
// They are started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _LOG and _PASSWORD in the environment, and with
// NODE_EXTRA_CA_CERTS. Each check is one line on standard output: result, name, detail, with tabs between them.

import { client, xml } from "@xmpp/client";
import { createWriteStream } from "node:fs";

export const {
  INTEROP_ADDRESS,
  INTEROP_DIRECT,
  INTEROP_DOMAIN: domain,
  INTEROP_ROMEO: ROMEO,
  INTEROP_JULIET: JULIET,
  INTEROP_LOG,
  INTEROP_PASSWORD,
} = process.env;
const wire = createWriteStream(INTEROP_LOG);

export class Skip extends Error {}

function report(result, name, detail = "") {
  console.log([result, name, String(detail).replace(/\s+/g, " ")].join("\t"));
}

// Runs one check and reports how it went.
export async function check(name, action) {
  try {
    report("ok", name, (await action()) ?? "");
    return true;
  } catch (error) {
    report(error instanceof Skip ? "skip" : "FAIL", name, error.message || error);
    return false;
  }
}

export function must(condition, message) {
  if (!condition) throw new Error(message);
}

// Of the mechanisms that both have it takes the first, or the one that is named.
export function open(
  account,
  resource,
  { password = INTEROP_PASSWORD, service = `xmpp://${INTEROP_ADDRESS}`, mechanism } = {},
) {
  const [username] = account.split("@");
  const xmpp = client({
    service,
    domain,
    resource,
    credentials: async (authenticate, mechanisms) => {
      xmpp.mechanisms = mechanisms;
      xmpp.mechanism = mechanism ?? mechanisms[0];
      const agent = xml("user-agent", { id: crypto.randomUUID() });
      await authenticate({ username, password }, xmpp.mechanism, agent);
    },
  });
  xmpp.timeout = 5_000;
  // Its own method waits until the socket has written, and the caller listens too late for an answer that comes at once.
  xmpp.write = async (text) => void xmpp.socket.write(text);
  xmpp.reconnect.stop();
  xmpp.name = resource;
  const log = (direction) => (element) => wire.write(`${username}/${resource} ${direction}: ${element}\n`);
  xmpp.on("element", log("S"));
  xmpp.on("send", log("C"));
  xmpp.on("error", log("error"));
  xmpp.stanzas = [];
  xmpp.on("stanza", (stanza) => void xmpp.stanzas.push(stanza));
  return xmpp;
}

export const get = (xmpp, name, xmlns) => xmpp.iqCaller.get(xml(name, { xmlns }), domain);

// Waits until the server has done what this client has asked for, and this client has what was on its way.
export const settle = (xmpp) => get(xmpp, "ping", "urn:xmpp:ping");
