// The phone of the suite in a browser: the package for npm on a page in headless Chromium, which is told what to do line by line (../scenarios.txt).
// This process brings the lines; it speaks the protocol of WebDriver (W3C) to chromedriver, and needs nothing but Node.js.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const PACKAGE = new URL("../../crates/web/npm/", import.meta.url);
const FILES = { "/balcony.js": "text/javascript", "/balcony.wasm": "application/wasm" };

// What the page does with a line. What happens it puts into `window.said`.
const PHONE = `
  import { Client } from "/balcony.js";
  window.said = [];
  const say = (line) => window.said.push(line);
  let client, isAway = false;
  window.told = (line) => {
    const [word, ...words] = line.split(" ");
    const [to, text] = [words[0], words.slice(1).join(" ")];
    if (word === "connect") {
      const [jid, priority, password, url] = words;
      let isClosed = false;
      client = new Client({ jid, password, url, priority: Number(priority) });
      client.on("online", ({ jid, resumed }) => { isAway = false; say(resumed ? "resumed" : "online " + jid); });
      client.on("offline", ({ next }) => { if (next !== null && !isAway) say("offline"); isAway = true; });
      client.on("message", ({ from, body }) => say("message " + from + ": " + body));
      client.on("presence", ({ from, type, priority }) => { if (from !== client.jid) say(type === "available" ? "presence " + from + " " + priority : "gone " + from); });
      client.on("undelivered", ({ from, condition }) => say("undelivered " + from + ": " + condition));
      client.on("stanza", ({ from, id, xml }) => {
        if (id !== client.asked) return;
        const error = new DOMParser().parseFromString(xml, "text/xml").querySelector("error > *");
        say(error === null ? "answer of " + from : "refusal of " + from + ": " + error.localName);
      });
      client.on("end", ({ reason }) => say(client.isClosing && reason === "the client has been closed" ? "closed" : "ended: " + reason));
    } else if (word === "say") client.send(to, text);
    else if (word === "write") client.send(to, text, { type: "normal" });
    else if (word === "ask") client.asked = client.sendStanza("<iq type='get' id='" + crypto.randomUUID() + "' to='" + to + "'><ping xmlns='urn:xmpp:ping'/></iq>");
    else if (word === "wake") window.dispatchEvent(new Event("online"));
    else if (word === "close") { client.isClosing = true; client.close(); }
    else throw new Error("no such command: " + line);
  };
`;

const server = createServer((request, response) => {
  const type = FILES[request.url];
  if (type !== undefined) response.writeHead(200, { "Content-Type": type }).end(readFileSync(new URL(request.url.slice(1), PACKAGE)));
  else response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(`<!doctype html><title>Phone</title><script type="module">${PHONE}</script>`);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const driver = spawn("chromedriver", ["--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
const port = await new Promise((resolve, reject) => {
  let text = "";
  driver.once("exit", (status) => reject(new Error(`chromedriver has ended with ${status}\n${text}`)));
  driver.stdout.on("data", (data) => {
    text += data;
    const found = /successfully on port (\d+)/.exec(text);
    if (found !== null) resolve(found[1]);
  });
});

let session = `http://127.0.0.1:${port}/session`;
async function call(method, path, body) {
  const response = await fetch(`${session}${path}`, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
  return value;
}
const run = (script, ...args) => call("POST", "/execute/sync", { script, args });

let status = 0;
try {
  const args = ["--headless=new", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"];
  // As root, as in a container, Chromium has no sandbox.
  if (process.getuid() === 0) args.push("--no-sandbox");
  const { sessionId } = await call("POST", "", { capabilities: { alwaysMatch: { browserName: "chrome", "goog:chromeOptions": { args } } } });
  session += `/${sessionId}`;
  await call("POST", "/url", { url: `http://127.0.0.1:${server.address().port}/` });

  // One after the other: a line, or a look at what has been said.
  const lines = [];
  let isOver = false;
  const input = createInterface({ input: process.stdin });
  input.on("line", (line) => lines.push(line));
  input.on("close", () => (isOver = true));
  while (!isOver || lines.length > 0) {
    const line = lines.shift();
    const said = await run("if (arguments[0] !== null) window.told(arguments[0]); return window.said.splice(0)", line ?? null);
    for (const each of said) process.stdout.write(`${each}\n`);
    if (line === undefined && said.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
} catch (error) {
  console.error(error);
  status = 1;
}
// The browser is ended by its session: chromedriver leaves it behind.
if (session.endsWith("/session") === false) await call("DELETE", "").catch((error) => console.error(error));
driver.kill("SIGTERM");
process.exit(status);
