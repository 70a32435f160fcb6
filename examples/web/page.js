// Three XMPP clients in one page: two resources of Juliet's, and Romeo, who writes to her. The protocol is in the package `balcony-web`; here is
// what the page shows.
import { Client } from "./balcony/balcony.js";

const RESOURCES = [
  { name: "phone", priority: 5 },
  { name: "laptop", priority: 0 },
];
// Milliseconds after which a message that has come nowhere and has not come back is said to have been dropped, or to wait.
const PATIENCE = 700;
// Lines that are kept.
const LINES = 300;

// RFC 6121 section 8.5, Table 1: how many resources there are with a priority of 0 or more, whom it is written to, and what becomes of it by its type.
const HIGHEST = "the highest";
const RULES = [
  ["none at all", "account", "waits", "waits", "comes back", "dropped"],
  ["none at all", "resource", "that one", "that one", "that one", "that one"],
  ["none at all", "no such resource", "comes back", "waits", "comes back", "dropped"],
  ["only negative ones", "account", "waits", "waits", "comes back", "dropped"],
  ["only negative ones", "resource", "that one", "that one", "that one", "that one"],
  ["only negative ones", "no such resource", "comes back", "waits", "comes back", "dropped"],
  ["one", "account", "that one", "that one", "comes back", "that one"],
  ["one", "resource", "that one", "that one", "that one", "that one"],
  ["one", "no such resource", "comes back", "the one", "comes back", "dropped"],
  ["several", "account", HIGHEST, HIGHEST, "comes back", "each of them"],
  ["several", "resource", "that one", "that one", "that one", "that one"],
  ["several", "no such resource", "comes back", HIGHEST, "comes back", "dropped"],
];
// The same in a sentence.
const SAYS = {
  waits: "so it waits on the server until there is one with a priority of 0 or more",
  "comes back": "so it comes back as an error",
  dropped: "so nobody gets it: news for nobody is no news",
  "that one": "so it goes there",
  "the one": "so it goes to the one that there is",
  [HIGHEST]: "so it goes to the highest",
  "each of them": "so each of them gets it",
};
const TYPES = ["normal", "chat", "groupchat", "headline"];
const SECTIONS = { account: "8.5.2", resource: "8.5.3.1", "no such resource": "8.5.3.2.1" };

const $ = (id) => document.getElementById(id);
const node = (name, text, attributes = {}) => Object.assign(document.createElement(name), { textContent: text ?? "", ...attributes });

const devices = [];
// Juliet's resources that are not of this page, as Romeo sees them: their names, and their priorities.
const others = new Map();
let romeo;
let account = "juliet@localhost";
// The message that was sent last: where it has come to so far.
let sent;

function url() {
  const { protocol, host } = location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/xmpp-websocket`;
}

function rules() {
  const body = $("rules").tBodies[0];
  for (const [index, [count, to, ...cells]] of RULES.entries()) {
    const row = node("tr", "", { id: `rule-${index}` });
    row.append(node("th", count, { scope: "row" }), node("td", to), ...cells.map((cell) => node("td", cell)));
    body.append(row);
  }
}

// All resources of Juliet's that have sent their presence.
function present() {
  return [...devices.filter((device) => device.isThere), ...[...others].map(([name, priority]) => ({ name, priority }))];
}

// Which rule counts now for a message to this address.
function rule(to) {
  const there = present();
  const wanting = there.filter((device) => device.priority >= 0);
  const count = there.length === 0 ? "none at all" : ["only negative ones", "one"][wanting.length] ?? "several";
  const resource = to.split("/")[1];
  const whom = resource === undefined ? "account" : [...devices, ...there].some((device) => device.name === resource) ? "resource" : "no such resource";
  return RULES.findIndex((row) => row[0] === count && row[1] === whom);
}

function mark(index, type) {
  for (const marked of document.querySelectorAll(".marked, .column")) marked.classList.remove("marked", "column");
  const row = $(`rule-${index}`);
  row.classList.add("marked");
  row.cells[2 + TYPES.indexOf(type)].classList.add("column");
}

function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function explain() {
  const { to, type, index, priorities } = sent;
  const [count, whom, ...cells] = RULES[index];
  const cell = cells[TYPES.indexOf(type)];
  const verdict = node("p");
  verdict.dataset.at = sent.at.join(" ");
  if (sent.at.length > 0) verdict.append("It went to ", node("strong", list(sent.at)), ".");
  else if (sent.error !== undefined) verdict.append("It came back to Romeo: ", node("strong", sent.error), ".");
  else if (sent.isOver) verdict.append(node("strong", cell === "waits" ? "It waits on the server" : "It was dropped without a word"), ".");
  else verdict.append("It is on its way.");
  const resources = { "none at all": "Juliet has no resource", "only negative ones": "Juliet’s resources have negative priorities", one: "Juliet has one resource with a priority of 0 or more", several: "Juliet has several resources with priorities of 0 or more" }[count];
  const aim = { account: "to her account", resource: "to that one resource, whatever its priority", "no such resource": "to a resource that is not there" }[whom];
  const why = node("p", `${resources}${priorities === "" ? "" : ` (${priorities})`}, and the message, of the type ${type}, was written ${aim}, ${SAYS[cell]}.`);
  const where = node("p", `RFC 6121, section ${SECTIONS[whom]}${whom === "account" ? (count.startsWith("none") ? ".2.1" : ".1.1") : ""}; the line is marked below. The address in “to” stays ${to}.`, { className: "note" });
  $("verdict").replaceChildren(verdict, why, where);
}

function wire(name, { direction, xml }) {
  const isLogin = !/^<(message|presence|iq)[\s/>]/.test(xml);
  const item = node("li", "", { className: direction });
  Object.assign(item.dataset, { client: name, login: isLogin ? "1" : "" });
  const time = new Date().toLocaleTimeString("en-GB");
  item.append(`${time} `, node("b", direction === "out" ? `${name} → server` : `server → ${name}`), `\n${xml}`);
  item.hidden = isHidden(item);
  $("wire").prepend(item);
  while ($("wire").children.length > LINES) $("wire").lastChild.remove();
}

function isHidden(item) {
  const wanted = $("filter").value;
  return (wanted !== "" && item.dataset.client !== wanted) || (item.dataset.login === "1" && !$("login-too").checked);
}

function connect(name, jid, password, priority, state) {
  const client = new Client({ jid, password, url: url(), priority });
  client.on("wire", (event) => wire(name, event));
  client.on("online", (event) => (state.textContent = `online as ${event.jid}`));
  client.on("offline", ({ reason, next }) => (state.textContent = next === null ? `offline: ${reason}` : `offline: ${reason}; connecting again`));
  client.on("end", ({ reason }) => (state.textContent = `offline: ${reason}`));
  return client;
}

// One of Juliet's resources: its card, and its client.
function device({ name, priority }, password) {
  const card = node("section", "", { className: "card", id: name });
  const title = node("h2", `Juliet’s ${name}`, { id: `${name}-title` });
  card.setAttribute("aria-labelledby", title.id);
  const state = node("p", "offline", { className: "state" });
  const label = node("label", "", { className: "priority", htmlFor: `${name}-priority` });
  const value = node("output", String(priority), { htmlFor: `${name}-priority` });
  label.append("Priority, from −128 to 127", value);
  const slider = node("input", "", { type: "range", id: `${name}-priority`, min: -128, max: 127, step: 1, value: priority });
  const there = node("input", "", { type: "checkbox", checked: true });
  const thereLabel = node("label", "", { className: "row" });
  thereLabel.append(there, "is there (sends its presence)");
  const inbox = node("ul", "", { className: "inbox", tabIndex: 0 });
  inbox.setAttribute("aria-label", `Messages that have come to the ${name}`);
  card.append(title, state, label, slider, thereLabel, inbox);
  $("resources").append(card);

  const self = { name, priority, isThere: true, card };
  const client = connect(name, `${account}/${name}`, password, priority, state);
  const say = () => {
    self.priority = slider.valueAsNumber;
    self.isThere = there.checked;
    try {
      if (self.isThere) client.setPresence({ priority: self.priority });
      else client.setUnavailable();
    } catch (error) {
      state.textContent = error.message;
    }
  };
  // Each position that it passes would be a stanza.
  slider.addEventListener("input", () => (value.textContent = slider.value));
  slider.addEventListener("change", say);
  there.addEventListener("change", say);
  client.on("presence", ({ type, from }) => {
    if (type === "subscribe") client.sendStanza(new XMLSerializer().serializeToString(presence("subscribed", from)));
  });
  client.on("message", ({ id, from, body, type, delayed }) => {
    if (body === null) return;
    const item = node("li", body);
    item.append(node("small", `${type} from ${from}${delayed === null ? "" : ", waited on the server"}`));
    inbox.prepend(item);
    while (inbox.children.length > 20) inbox.lastChild.remove();
    if (sent?.id !== id) return;
    sent.at.push(name);
    card.classList.add("landed");
    explain();
  });
  self.client = client;
  return self;
}

// The first connection has to come about, so that whoever has mistyped something hears of it. One that is lost later comes back by itself.
function firstOnline(client) {
  return new Promise((resolve, reject) => {
    const stop = client.on("offline", ({ reason }) => reject(new Error(reason)));
    client.online().then(resolve, reject).finally(stop);
  });
}

function presence(type, to) {
  const element = document.implementation.createDocument("jabber:client", "presence").documentElement;
  element.setAttribute("type", type);
  element.setAttribute("to", to);
  return element;
}

function addresses() {
  const options = [account, ...RESOURCES.map(({ name }) => `${account}/${name}`), `${account}/nowhere`];
  const notes = [": the account", ...RESOURCES.map(() => ": one resource"), ": not there"];
  $("write").elements.to.replaceChildren(...options.map((to, index) => node("option", to + notes[index], { value: to })));
}

function write(event) {
  event.preventDefault();
  const { to, type, body } = Object.fromEntries(new FormData($("write")));
  const index = rule(to);
  const priorities = present().map(({ name, priority }) => `${name}: ${priority}`).join(", ");
  for (const { card } of devices) card.classList.remove("landed");
  try {
    sent = { to, type, index, priorities, at: [], id: undefined, isOver: false };
    // The id is known before anything can come of it: that comes later.
    sent.id = romeo.send(to, body, { type });
  } catch (error) {
    $("verdict").replaceChildren(node("p", `It could not be sent: ${error.message}`, { className: "error" }));
    sent = undefined;
    return;
  }
  mark(index, type);
  explain();
  const mine = sent;
  setTimeout(() => {
    mine.isOver = true;
    if (sent === mine) explain();
  }, PATIENCE);
}

async function start(login) {
  account = login.account.split("/")[0];
  addresses();
  $("resources").replaceChildren();
  devices.splice(0, devices.length, ...RESOURCES.map((resource) => device(resource, login.password)));
  romeo = connect("romeo", `${login.writer.split("/")[0]}/garden`, login["writer-password"], 0, $("writer-state"));
  others.clear();
  romeo.on("presence", ({ from, type, priority }) => {
    const [owner, resource] = from.split("/");
    if (owner !== account || resource === undefined || RESOURCES.some(({ name }) => name === resource)) return;
    if (type === "unavailable") others.delete(resource);
    else if (type === "available") others.set(resource, priority);
  });
  romeo.on("undelivered", ({ id, condition, text }) => {
    if (sent?.id !== id) return;
    sent.error = text === null ? condition : `${condition} (${text})`;
    explain();
  });
  const names = [...RESOURCES.map(({ name }) => name), "romeo"];
  $("filter").replaceChildren(node("option", "all three", { value: "" }), ...names.map((name) => node("option", name, { value: name })));
  await Promise.all([romeo, ...devices.map((each) => each.client)].map(firstOnline));
  // So that he sees her, and is told of errors; she lets him.
  romeo.sendStanza(new XMLSerializer().serializeToString(presence("subscribe", account)));
  $("write").querySelector("button").disabled = false;
}

async function begin(login) {
  $("login").hidden = true;
  try {
    await start(login);
    $("login-error").textContent = "";
  } catch (error) {
    // Nobody stays half there.
    for (const client of [romeo, ...devices.map((each) => each.client)]) client?.close().catch(() => {});
    $("login-error").textContent = error.message;
    $("login").hidden = false;
  }
}

rules();
addresses();
$("write").addEventListener("submit", write);
for (const id of ["filter", "login-too"]) {
  $(id).addEventListener("change", () => [...$("wire").children].forEach((item) => (item.hidden = isHidden(item))));
}
$("clear").addEventListener("click", () => $("wire").replaceChildren());
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(Object.fromEntries(new FormData($("login"))));
});

// What follows `#` is sent to nobody: `balcony serve --demo` has printed it for whoever has started it.
const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const fields = $("login").elements;
fields.account.value = given.account ?? `juliet@${location.hostname}`;
fields.writer.value = given.writer ?? `romeo@${location.hostname}`;
if (given.account && given.password && given.writer && given["writer-password"]) begin(given);
else $("login").hidden = false;
