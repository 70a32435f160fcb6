// The page of examples/web in Chromium, against a server: `cargo xtask web --test` runs it. It speaks the protocol of WebDriver (W3C) to chromedriver
// and needs nothing but Node.js. Arguments: the programs `balcony` and `chromedriver`, and a folder for screenshots if there are to be any.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [balcony, chromedriver, pictures] = process.argv.slice(2);
const PATIENCE = 20_000;
const folder = mkdtempSync(join(tmpdir(), "balcony-web-"));
const started = [];

// Starts a program, and waits until it has printed something that matches.
function start(program, args, wanted) {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  child.ended = new Promise((resolve) => child.once("exit", resolve));
  started.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = (why) => reject(new Error(`${program}: ${why}\n${text}`));
    const timer = setTimeout(() => fail("says nothing"), PATIENCE);
    child.once("error", (error) => fail(error.message));
    child.once("exit", (status) => fail(`has ended with ${status}`));
    child.stdout.on("data", (data) => {
      text += data;
      const found = wanted.exec(text);
      if (found === null) return;
      clearTimeout(timer);
      resolve({ child, found });
    });
  });
}

async function stop(child) {
  child.kill("SIGTERM");
  await child.ended;
}

const serve = (port) => start(balcony, ["serve", "--demo", "--listen", "127.0.0.1:0", "--listen-http", `127.0.0.1:${port}`, "--log", "warn"], /http:\/\/(127\.0\.0\.1:(\d+))\/(#\S+)?\n/);

// There is no browser that could be used, or it does not start here: nothing is known of the page then. The status says so to `cargo xtask web`.
class NoBrowser extends Error {}
const NO_BROWSER = 77;

let driver;
async function call(method, path, body) {
  const response = await fetch(`${driver}${path}`, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
  return value;
}

// Runs in the page.
const run = (script, ...args) => call("POST", "/execute/sync", { script, args });
const runLong = (script, ...args) => call("POST", "/execute/async", { script: `const done = arguments[arguments.length - 1]; (async (...args) => { ${script} })(...arguments).then(done, (error) => done("FAILED: " + error))`, args });

async function until(what, script, ...args) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await run(script, ...args);
    if (value) return value;
    if (Date.now() > end) {
      const body = await run("return document.body.innerText");
      throw new Error(`it has not come about that ${what}:\n${body}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function picture(name) {
  if (pictures === undefined) return;
  writeFileSync(join(pictures, name), Buffer.from(await call("GET", "/screenshot"), "base64"));
}

const priority = (name, value) =>
  run("const slider = document.getElementById(arguments[0] + '-priority'); slider.value = arguments[1]; for (const kind of ['input', 'change']) slider.dispatchEvent(new Event(kind, { bubbles: true }))", name, value);

const WORDS = ["But soft, what light?", "It is the east, and Juliet is the sun.", "Arise, fair sun!"];
let count = 0;
// Lets Romeo write, and waits until the page says what has become of it.
async function write(to, type, expected) {
  count += 1;
  const text = WORDS[count - 1] ?? `Words ${count}`;
  await run(
    "const form = document.getElementById('write'); const [to, type, body] = arguments; Object.assign(form.elements.to, { value: to }); form.elements.type.value = type; form.elements.body.value = body; form.requestSubmit()",
    to,
    type,
    text,
  );
  await until(`a message of the type ${type} to ${to} is told of as “${expected}”`, "return document.getElementById('verdict').innerText.includes(arguments[0])", expected);
  console.log(`${type} to ${to}: ${expected}`);
  return text;
}

// A presence that was sent before has been seen by the server: requests and presence keep their order, and so does what comes of them.
const settled = () => new Promise((resolve) => setTimeout(resolve, 300));

// Starts Chromium by chromedriver; its session's id.
async function browser() {
  if (typeof fetch === "undefined") throw new Error(`Node.js ${process.version} has no fetch, which 18 has`);
  const { found } = await start(chromedriver, ["--port=0"], /successfully on port (\d+)/);
  driver = `http://127.0.0.1:${found[1]}/session`;
  const args = ["--headless=new", "--window-size=980,1080", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
  // As root, as in a container, Chromium has no sandbox.
  if (process.getuid() === 0) args.push("--no-sandbox");
  const { sessionId } = await call("POST", "", { capabilities: { alwaysMatch: { browserName: "chrome", "goog:chromeOptions": { args }, "goog:loggingPrefs": { browser: "ALL" } } } });
  return sessionId;
}

async function story() {
  let server = await serve(0);
  const [, place, port, secrets] = server.found;
  const passwords = [...new URLSearchParams(secrets.slice(1)).entries()].filter(([name]) => name.endsWith("password")).map(([, value]) => value);
  assert.equal(passwords.length, 2);
  const sessionId = await browser().catch((error) => {
    throw new NoBrowser(error.message);
  });
  driver += `/${sessionId}`;
  await call("POST", "/timeouts", { script: PATIENCE });

  // Without what follows `#` the page asks.
  await call("POST", "/url", { url: `http://${place}/` });
  await until("the page asks for passwords", "return !document.getElementById('login').hidden");
  // Whoever has mistyped a password is told so, and may try again.
  await run("const form = document.getElementById('login'); form.elements.account.value = 'juliet@localhost'; form.elements.writer.value = 'romeo@localhost'; form.elements.password.value = form.elements['writer-password'].value = 'wrong'; form.requestSubmit()");
  await until("a wrong password is told", "return !document.getElementById('login').hidden && document.getElementById('login-error').textContent.includes('not-authorized')");
  await call("POST", "/url", { url: `http://${place}/${secrets}` });
  await call("POST", "/refresh", {});
  await until("everybody is online", "return !document.querySelector('#write button').disabled");

  const account = "juliet@localhost";
  await settled();
  await write(account, "chat", "It went to phone.");
  await priority("laptop", 10);
  await settled();
  await write(account, "chat", "It went to laptop.");
  await picture("web.png");
  await priority("laptop", -1);
  await settled();
  await write(account, "chat", "It went to phone.");
  await write(`${account}/laptop`, "chat", "It went to laptop.");
  await write(account, "groupchat", "It came back to Romeo: service-unavailable");
  await write(`${account}/nowhere`, "normal", "It came back to Romeo: service-unavailable");
  await priority("laptop", 127);
  await settled();
  await write(account, "headline", "It went to phone and laptop.").catch(() => write(account, "headline", "It went to laptop and phone."));
  await priority("laptop", -128);
  await priority("phone", -128);
  await settled();
  const late = await write(account, "chat", "It waits on the server.");
  await write(account, "headline", "It was dropped without a word.");
  await priority("phone", 0);
  await until("what has waited comes", "return [...document.querySelectorAll('#phone .inbox li')].some((item) => item.innerText.includes(arguments[0]) && item.innerText.includes('waited'))", late);

  // The server is away for a moment. Sessions go on, and nobody has to type anything.
  await stop(server.child);
  await until("the page sees that the server is gone", "return document.getElementById('phone').innerText.includes('connecting again')");
  server = await serve(port);
  // Passwords are known only to whoever has made the accounts; the addresses are.
  assert.equal(server.found[3], "#account=juliet@localhost&writer=romeo@localhost");
  await until("all are online again", "return [...document.querySelectorAll('.state')].every((state) => state.innerText.startsWith('online as'))");
  await write(account, "chat", "It went to phone.");
  await until("its session goes on", "return [...document.querySelectorAll('#wire li')].some((item) => item.textContent.includes('<resumed '))");

  // What is secret is nowhere.
  const all = await run("return document.documentElement.outerHTML + [...document.querySelectorAll('#wire li')].map((item) => item.textContent).join('')");
  for (const password of passwords) assert.ok(!all.includes(password), "a password is shown");
  const wire = await run("return [...document.querySelectorAll('#wire li')].map((item) => item.textContent)");
  for (const name of ["<auth", "<challenge", "<response", "<success"]) {
    const lines = wire.filter((line) => line.includes(name));
    assert.ok(lines.length > 0, `${name} is not on the wire`);
    for (const line of lines) assert.ok(!/>[^<…]+</.test(line), line);
  }

  // The package, by itself.
  assert.equal(await runLong("const { Client } = await import('/balcony/balcony.js'); try { new Client({ jid: 'a@b', password: 'x', url: 'ws://192.0.2.1/' }); return 'made'; } catch (error) { return error.name; }"), "TypeError");
  // A wrong password is the end of a client, also of one that connects again.
  const refused = await runLong("const { Client } = await import('/balcony/balcony.js'); const client = new Client({ jid: 'romeo@localhost', password: 'wr0ng', url: `ws://${location.host}/xmpp-websocket` }); return client.online().then((jid) => jid, (error) => error.message);");
  assert.match(refused, /not-authorized/);
  const closed = await runLong(
    "const { Client } = await import('/balcony/balcony.js'); const client = new Client({ jid: 'romeo@localhost/other', password: args[0], url: `ws://${location.host}/xmpp-websocket`, priority: -1 }); const jid = await client.online(); const got = new Promise((resolve) => client.on('message', (message) => resolve(message.body))); client.send(jid, 'to <myself> & \"I\"'); const body = await got; await client.close(); let after; try { client.send(jid, 'x'); } catch (error) { after = error.message; } return [jid, body, after].join('|');",
    passwords[1],
  );
  assert.match(closed, /^romeo@localhost\/other\|to <myself> & "I"\|the client has ended/);

  // As a phone shows it, at night.
  await call("POST", "/goog/cdp/execute", { cmd: "Emulation.setDeviceMetricsOverride", params: { width: 390, height: 1000, deviceScaleFactor: 1, mobile: true } });
  await call("POST", "/goog/cdp/execute", { cmd: "Emulation.setEmulatedMedia", params: { features: [{ name: "prefers-color-scheme", value: "dark" }] } });
  await settled();
  const [wide, inner] = await run("return [document.documentElement.scrollWidth, window.innerWidth]");
  assert.ok(wide <= inner, `the page is ${wide} wide in a window of ${inner}`);
  await picture("web-phone.png");

  // Each line of the table, with each type: what becomes of a message is what the marked cell says.
  const there = (name, is) => run("const box = document.querySelector(`#${arguments[0]} input[type=checkbox]`); if (box.checked !== arguments[1]) box.click()", name, is);
  const outcomes = { waits: "It waits on the server.", "comes back": "It came back to Romeo", dropped: "It was dropped without a word.", "each of them": "It went to (phone and laptop|laptop and phone)" };
  const walked = new Set();
  async function walk(count) {
    await settled();
    for (const to of [account, `${account}/phone`, `${account}/nowhere`]) {
      for (const type of ["normal", "chat", "groupchat", "headline"]) {
        await run("const form = document.getElementById('write'); const [to, type, body] = arguments; form.elements.to.value = to; form.elements.type.value = type; form.elements.body.value = body; form.requestSubmit()", to, type, "Which line?");
        const [line, first, cell] = await run("const row = document.querySelector('#rules .marked'); return [row.id, row.cells[0].innerText, row.querySelector('.column').innerText]");
        assert.equal(first, count);
        walked.add(line);
        await until(`a message of the type ${type} to ${to} is told of`, "return !document.getElementById('verdict').innerText.includes('on its way')");
        const verdict = await run("return document.getElementById('verdict').innerText");
        // The second of two comes a moment later.
        if (cell === "each of them") await until("each of them gets it", "return new RegExp(arguments[0]).test(document.getElementById('verdict').innerText)", outcomes[cell]);
        else assert.ok(verdict.startsWith(outcomes[cell] ?? "It went to phone."), `${count}, ${type} to ${to}: ${cell}: ${verdict}`);
      }
    }
  }
  await priority("phone", 5);
  await priority("laptop", 0);
  await walk("several");
  await priority("laptop", -1);
  await walk("one");
  await priority("phone", -2);
  await walk("only negative ones");
  await there("phone", false);
  await there("laptop", false);
  await walk("none at all");
  assert.equal(walked.size, await run("return document.getElementById('rules').tBodies[0].rows.length"));
  // A resource that is not of the page counts, too.
  await runLong("const { Client } = await import('/balcony/balcony.js'); window.tablet = new Client({ jid: `${args[1]}/tablet`, password: args[0], url: `ws://${location.host}/xmpp-websocket`, priority: 3 }); await window.tablet.online();", passwords[0], account);
  await settled();
  await write(account, "groupchat", "Juliet has one resource with a priority of 0 or more (tablet: 3)");
  // Who says only what it is doing keeps its priority.
  await run("window.tablet.setPresence({ show: 'away' })");
  await settled();
  await write(account, "groupchat", "Juliet has one resource with a priority of 0 or more (tablet: 3)");
  // Half of a pair is no text; a pair is.
  for (const [text, expected] of [["\ud83d\ude00", "sent"], ["\ud83d", "TypeError"], ["\ude00 so", "TypeError"]]) {
    // What is no text does not come through JSON as it is: its numbers do.
    const units = [...Array(text.length).keys()].map((at) => text.charCodeAt(at));
    const told = await run("try { window.tablet.send(arguments[0], String.fromCharCode(...arguments[1])); return 'sent'; } catch (error) { return error.name; }", account, units);
    assert.equal(told, expected);
  }
  // Who closes before there is a connection is told of each message that is lost.
  const lost = await runLong("const { Client, load } = await import('/balcony/balcony.js'); const client = new Client({ jid: args[0], password: 'x', url: `ws://${location.host}/xmpp-websocket` }); await load(); const told = []; for (const name of ['unsent', 'end']) client.on(name, ({ id }) => told.push(id ?? name)); const ids = ['one', 'two'].map((body) => client.send(args[0], body)); await client.close(); return JSON.stringify([ids, told]);", account);
  const [ids, told] = JSON.parse(lost);
  assert.deepEqual(told, [...ids, "end"]);

  // What the browser has complained of: the policy, a file that is missing.
  const complaints = (await call("POST", "/se/log", { type: "browser" })).filter(({ level, message }) => level === "SEVERE" && !/ws:\/\/|WebSocket/.test(message));
  assert.deepEqual(complaints, []);
}

let failure;
try {
  await story();
} catch (error) {
  failure = error;
}
// The browser is ended by its session, also after a failure: chromedriver leaves it behind.
if (driver?.includes("/session/")) await call("DELETE", "").catch((error) => console.error(error));
for (const child of started) if (child.exitCode === null && child.signalCode === null) await stop(child);
rmSync(folder, { recursive: true, force: true });
if (failure instanceof NoBrowser) {
  console.log(failure.message);
  process.exit(NO_BROWSER);
}
if (failure !== undefined) {
  console.error(failure);
  process.exit(1);
}
console.log("the page does what it should");
