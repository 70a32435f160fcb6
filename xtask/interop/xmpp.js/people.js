// The scenario "people" of `cargo xtask interop`, spoken by xmpp.js: what romeo and juliet, whose accounts are new, see of each
// other. juliet has the resources five and ten, which have asked for the roster, and minus, which has not and takes no messages.

import { xml } from "@xmpp/client";
import { JULIET, ROMEO, Skip, check, domain, must, open, settle } from "./common.js";

const PATIENCE = 5_000;
const NURSE = `nurse@${domain}`;
const NS_ROSTER = "jabber:iq:roster";
const NS_BLOCKING = "urn:xmpp:blocking";
const NS_CARBONS = "urn:xmpp:carbons:2";

// Tests of stanzas.
const isMessage = (stanza) => stanza.is("message");
const message = (body, type = "chat") => (stanza) =>
  isMessage(stanza) && stanza.attrs.type === type && stanza.getChildText("body") === body;
const presence = (from, type) => (stanza) =>
  stanza.is("presence") && stanza.attrs.type === type && stanza.attrs.from === String(from);
const items = (iq) => iq.getChild("query", NS_ROSTER)?.getChildren("item") ?? [];
const isPush = (stanza) => stanza.is("iq") && stanza.attrs.type === "set" && items(stanza).length > 0;
const push = (jid, subscription, more) => (stanza) =>
  isPush(stanza) && items(stanza).some((item) => includes(item.attrs, { jid, subscription, ...more }));
const includes = (attrs, wanted) => Object.entries(wanted).every(([name, value]) => attrs[name] === value);
const blocking = (name) => (stanza) =>
  stanza.is("iq") &&
  stanza.attrs.type === "set" &&
  stanza.getChild(name, NS_BLOCKING)?.getChild("item")?.attrs.jid === ROMEO;
const isCarbon = (stanza) => stanza.getChildElements().some((child) => child.getNS() === NS_CARBONS);
const copied = (stanza, direction) =>
  stanza.getChild(direction, NS_CARBONS)?.getChild("forwarded", "urn:xmpp:forward:0")?.getChild("message");
const carbon = (direction, body) => (stanza) =>
  stanza.attrs.from === JULIET && copied(stanza, direction)?.getChildText("body") === body;

const condition = (stanza) => stanza.getChild("error").getChildElements()[0].name;
// The condition with which a request was refused, or undefined.
const refused = (request) =>
  request.then(
    () => undefined,
    (error) => error.condition ?? error.message,
  );

class Person {
  constructor(account, resource, priority = 0) {
    this.account = account;
    this.name = account === ROMEO ? "romeo" : resource;
    this.priority = priority;
    this.xmpp = open(account, resource);
    // The last are those after authentication.
    this.xmpp.on("element", (element) => {
      if (element.is("features", "http://etherx.jabber.org/streams")) this.features = element;
    });
    for (const [ns, name] of [
      [NS_ROSTER, "query"],
      [NS_BLOCKING, "block"],
      [NS_BLOCKING, "unblock"],
    ])
      this.xmpp.iqCallee.set(ns, name, () => true);
  }

  // Logs in, asks for the roster and becomes available.
  async enter({ roster = true } = {}) {
    await this.xmpp.start();
    if (roster) this.contacts = items(await this.roster());
    await this.presence({}, xml("priority", {}, String(this.priority)));
    return this;
  }

  async exit() {
    await this.xmpp.send(xml("presence", { type: "unavailable" }));
    return this.xmpp.stop();
  }

  get jid() {
    return this.xmpp.jid.toString();
  }

  async presence(attrs, ...children) {
    await this.xmpp.send(xml("presence", attrs, ...children));
    await settle(this.xmpp);
  }

  async message(to, body, { type = "chat" } = {}, ...children) {
    await this.xmpp.send(xml("message", { to, type }, xml("body", {}, body), ...children));
    await settle(this.xmpp);
  }

  // Without a version as one that knows none; the answer has no query if there is nothing new.
  roster(ver = "") {
    return this.xmpp.iqCaller.request(xml("iq", { type: "get" }, xml("query", { xmlns: NS_ROSTER, ver })), PATIENCE);
  }

  set(...payload) {
    return this.xmpp.iqCaller.request(xml("iq", { type: "set" }, xml(...payload)), PATIENCE);
  }

  setItem(attrs, ...children) {
    return this.set("query", { xmlns: NS_ROSTER }, xml("item", attrs, ...children));
  }

  block(name) {
    return this.set(name, { xmlns: NS_BLOCKING }, xml("item", { jid: ROMEO }));
  }

  async blocked() {
    const list = await this.xmpp.iqCaller.get(xml("blocklist", { xmlns: NS_BLOCKING }), undefined, PATIENCE);
    return String(list.getChildren("item").map((item) => item.attrs.jid));
  }

  // Forgets what has come so far.
  async clear() {
    await settle(this.xmpp);
    this.xmpp.stanzas.length = 0;
  }

  // Takes a stanza that has come, if there is one.
  take(test) {
    const at = this.xmpp.stanzas.findIndex(test);
    return at < 0 ? undefined : this.xmpp.stanzas.splice(at, 1)[0];
  }

  // Waits for a stanza and takes it.
  gets(what, test) {
    return new Promise((resolve, reject) => {
      const { xmpp } = this;
      const look = () => {
        const stanza = this.take(test);
        if (stanza) finish(resolve, stanza);
      };
      const finish = (settleWith, value) => {
        clearTimeout(timer);
        xmpp.off("stanza", look);
        settleWith(value);
      };
      const timer = setTimeout(() => finish(reject, new Error(`${this.name} got no ${what}`)), PATIENCE);
      xmpp.on("stanza", look);
      look();
    });
  }

  async getsNo(what, test) {
    await settle(this.xmpp);
    must(!this.xmpp.stanzas.some(test), `${this.name} got a ${what}`);
  }
}

let five, ten, minus, romeo;
const inMinus = () => new Person(JULIET, "minus", -1).enter({ roster: false });

const CHECKS = {
  async login() {
    five = await new Person(JULIET, "five", 5).enter();
    ten = await new Person(JULIET, "ten", 10).enter();
    minus = await inMinus();
    romeo = await new Person(ROMEO, "balcony").enter();
    must(five.contacts.length === 0, "there are contacts");
    await ten.gets("presence of five", presence(five.jid));
    await five.gets("presence of ten", presence(ten.jid));
    return "the roster is empty";
  },
  async directed() {
    await five.presence({ to: romeo.jid }, xml("status", {}, "hist"));
    await romeo.gets("directed presence", presence(five.jid));
    await five.presence({ type: "unavailable" });
    await romeo.gets("unavailable presence", presence(five.jid, "unavailable"));
    await five.presence({}, xml("priority", {}, "5"));
    await romeo.getsNo("presence", presence(five.jid));
  },
  async roster() {
    await five.setItem({ jid: NURSE, name: "Nurse" }, xml("group", {}, "Capulets"));
    for (const person of [five, ten]) {
      const [item] = items(await person.gets("push", push(NURSE, "none", { name: "Nurse" })));
      must(item.getChildText("group") === "Capulets", `group: ${item}`);
    }
    await minus.getsNo("push", isPush);
    return "pushed to five, ten";
  },
  async versions() {
    const old = (await five.roster()).getChild("query").attrs.ver;
    if (!old) throw new Skip("not offered");
    must(!(await five.roster(old)).getChild("query"), "what was known was sent again");
    await five.setItem({ jid: NURSE, name: "Angelica" });
    const { ver } = (await five.gets("push", push(NURSE, "none", { name: "Angelica" }))).getChild("query").attrs;
    must(ver && ver !== old, `the version is ${ver}`);
    const query = (await five.roster(old)).getChild("query");
    if (query) {
      must(query.getChild("item").attrs.name === "Angelica", `not ${query}`);
      return "the whole roster";
    }
    await five.gets("push in place of the roster", push(NURSE, "none", { name: "Angelica" }));
    return "pushes";
  },
  async removal() {
    const remove = () => five.setItem({ jid: NURSE, subscription: "remove" });
    await remove();
    for (const person of [five, ten]) await person.gets("push", push(NURSE, "remove"));
    const refusal = await refused(remove());
    must(refusal === "item-not-found", `the second time: ${refusal ?? "a result"}`);
    return `the second time ${refusal}`;
  },
  async ask() {
    await romeo.presence({ to: JULIET, type: "subscribe" });
    await romeo.gets("push", push(JULIET, "none", { ask: "subscribe" }));
    for (const person of [five, ten]) await person.gets("request", presence(ROMEO, "subscribe"));
    const late = await new Person(JULIET, "late").enter();
    await late.gets("request that waits", presence(ROMEO, "subscribe"));
    await late.exit();
    return "five, ten; again at the next login";
  },
  async approval() {
    await ten.presence({ to: ROMEO, type: "subscribed" });
    await romeo.gets("approval", presence(JULIET, "subscribed"));
    await romeo.gets("push", push(JULIET, "to", { ask: undefined }));
    for (const person of [five, ten]) {
      await person.gets("push", push(ROMEO, "from"));
      await romeo.gets(`presence of ${person.name}`, presence(person.jid));
    }
  },
  async preapproval() {
    const isOffered = romeo.features.getChild("sub", "urn:xmpp:features:pre-approval");
    if (isOffered) await romeo.presence({ to: JULIET, type: "subscribed" });
    await five.presence({ to: ROMEO, type: "subscribe" });
    if (!isOffered) {
      await romeo.gets("request", presence(JULIET, "subscribe"));
      await romeo.presence({ to: JULIET, type: "subscribed" });
    }
    await five.gets("approval", presence(ROMEO, "subscribed"));
    await five.gets("push", push(ROMEO, "both"));
    await romeo.gets("push", push(JULIET, "both"));
    await five.gets("presence", presence(romeo.jid));
    if (!isOffered) throw new Skip("not offered");
    await romeo.getsNo("request", presence(JULIET, "subscribe"));
    await romeo.gets("push with approved", push(JULIET, "to", { approved: "true" }));
  },
  async presence() {
    await five.presence({}, xml("show", {}, "away"), xml("status", {}, "asleep"), xml("priority", {}, "5"));
    const isAway = (stanza) => presence(five.jid)(stanza) && stanza.getChildText("show") === "away";
    for (const person of [romeo, ten, minus]) {
      const seen = await person.gets("presence", isAway);
      must(seen.getChildText("status") === "asleep", `no status: ${seen}`);
    }
    return "romeo and her own resources";
  },
  async probe() {
    const { jid } = romeo;
    await romeo.exit();
    await five.gets("unavailable presence", presence(jid, "unavailable"));
    romeo = await new Person(ROMEO, "garden").enter();
    const seen = await romeo.gets("presence of five", presence(five.jid));
    must(seen.getChildText("show") === "away", `not away: ${seen}`);
    for (const person of [ten, minus]) await romeo.gets(`presence of ${person.name}`, presence(person.jid));
    await five.gets("presence", presence(romeo.jid));
    return "five is away, ten, minus";
  },
  async lost() {
    const { jid } = ten;
    ten.xmpp.socket.socket.destroy();
    await romeo.gets("unavailable presence", presence(jid, "unavailable"));
    await five.gets("unavailable presence", presence(jid, "unavailable"));
    ten = await new Person(JULIET, "ten", 10).enter();
    await romeo.gets("presence", presence(ten.jid));
  },
  async offline() {
    for (const person of [five, ten, minus]) {
      const { jid } = person;
      await person.exit();
      await romeo.gets("unavailable", presence(jid, "unavailable"));
    }
    await romeo.message(JULIET, "one");
    await romeo.message(JULIET, "news", { type: "headline" });
    await romeo.message(JULIET, "two");
    await romeo.message(JULIET, "three", { type: "normal" });
    minus = await inMinus();
    await minus.getsNo("message", isMessage);
    five = await new Person(JULIET, "five", 5).enter();
    const got = [];
    while (got.length < 3) got.push(await five.gets(`message ${got.length + 1}`, isMessage));
    const bodies = String(got.map((stanza) => stanza.getChildText("body")));
    must(bodies === "one,two,three", `she got ${bodies}`);
    for (const stanza of got) {
      const delay = stanza.getChild("delay", "urn:xmpp:delay")?.attrs;
      must(stanza.attrs.from === romeo.jid && delay?.stamp, `no delay: ${stanza}`);
      must([domain, JULIET].includes(delay.from), `delayed by ${delay.from}`);
    }
    await five.getsNo("fourth message", isMessage);
    ten = await new Person(JULIET, "ten", 10).enter();
    await ten.getsNo("message", isMessage);
    return "in order, once, not to priority -1";
  },
  async block() {
    for (const person of [five, ten]) must((await person.blocked()) === "", "somebody is blocked");
    await romeo.clear();
    await five.block("block");
    for (const person of [five, ten]) {
      await person.gets("push", blocking("block"));
      await romeo.gets("unavailable", presence(person.jid, "unavailable"));
    }
    must((await ten.blocked()) === ROMEO, "he is not in the list");
    await five.message(ROMEO, "from the one who blocks");
    const error = await five.gets("error", (stanza) => isMessage(stanza) && stanza.attrs.type === "error");
    must(condition(error) === "not-acceptable", condition(error));
    must(error.getChild("error").getChild("blocked", "urn:xmpp:blocking:errors"), "no <blocked/>");
  },
  async blocked() {
    const ping = romeo.xmpp.iqCaller.get(xml("ping", "urn:xmpp:ping"), five.jid, PATIENCE);
    const refusal = await refused(ping);
    must(refusal === "service-unavailable", `a ping: ${refusal ?? "a result"}`);
    const isHeard = ({ name, attrs }) => name !== "iq" && attrs.type !== "error" && attrs.from?.startsWith(ROMEO);
    while (five.take(isHeard));
    await romeo.message(JULIET, "can you hear me?");
    await romeo.presence({}, xml("status", {}, "unseen"));
    await five.getsNo("stanza of his", isHeard);
    const errors = romeo.xmpp.stanzas.filter(isMessage).map(condition);
    must(["", "service-unavailable"].includes(String(errors)), `a message: ${errors}`);
    return `a request: ${refusal}; a message: ${String(errors) || "silence"}`;
  },
  async unblock() {
    await five.block("unblock");
    for (const person of [five, ten]) {
      await person.gets("push", blocking("unblock"));
      await romeo.gets(`presence of ${person.name}`, presence(person.jid));
    }
    must((await five.blocked()) === "", "somebody is blocked");
    await romeo.message(five.jid, "and now?");
    await five.gets("message", message("and now?"));
    return "presence and messages are back";
  },
  async carbons() {
    await ten.set("enable", NS_CARBONS);
    await five.message(ROMEO, "to romeo");
    await romeo.gets("message", message("to romeo"));
    const sent = await ten.gets("copy", carbon("sent", "to romeo"));
    must(copied(sent, "sent").attrs.from === five.jid, `not from five: ${sent}`);
    await romeo.message(five.jid, "to five");
    await five.gets("message", message("to five"));
    const received = await ten.gets("copy", carbon("received", "to five"));
    must(copied(received, "received").attrs.to === five.jid, `not to five: ${received}`);
    await five.getsNo("copy", isCarbon);
    return "sent, received";
  },
  async private() {
    const hints = [xml("private", NS_CARBONS), xml("no-copy", "urn:xmpp:hints")];
    await five.message(ROMEO, "in secret", {}, ...hints);
    await romeo.gets("message", message("in secret"));
    await romeo.message(five.jid, "in secret, too", {}, ...hints);
    await five.gets("message", message("in secret, too"));
    await ten.getsNo("copy", isCarbon);
  },
  async disable() {
    await ten.set("disable", NS_CARBONS);
    await five.message(ROMEO, "no copies");
    await romeo.gets("message", message("no copies"));
    await ten.getsNo("copy", isCarbon);
  },
  async cancel() {
    await romeo.clear();
    await five.presence({ to: ROMEO, type: "unsubscribed" });
    await romeo.gets("cancellation", presence(JULIET, "unsubscribed"));
    await romeo.gets("push", push(JULIET, "from"));
    for (const person of [five, ten]) {
      await person.gets("push", push(ROMEO, "to"));
      await romeo.gets("unavailable", presence(person.jid, "unavailable"));
    }
  },
  async forget() {
    await romeo.setItem({ jid: JULIET, subscription: "remove" });
    await romeo.gets("push", push(JULIET, "remove"));
    await five.gets("cancellation", presence(ROMEO, "unsubscribed"));
    await five.gets("push", push(ROMEO, "none"));
    await five.gets("unavailable", presence(romeo.jid, "unavailable"));
  },
  async end() {
    for (const { xmpp, name } of [five, ten, minus, romeo]) must(await xmpp.stop(), `${name} saw no closing tag`);
  },
};

for (const [name, action] of Object.entries(CHECKS)) {
  if (!(await check(name, action)) && name === "login") break;
}
process.exit();
