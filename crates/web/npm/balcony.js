// The client of Balcony for browsers. All that has to do with XMPP is in balcony.wasm; here are the WebSocket, the clock, the timer and the
// randomness, which are the browser's. What is exported is described in balcony.d.ts.

const [WAIT, CONNECT, EVENT, DISCONNECT, ENDED] = [0, 1, 2, 3, 4];

// Bytes that the browser keeps of what was sent, past which nothing more is handed to it.
const BUFFERED = 1 << 16;
// Milliseconds until it is looked at again whether there is room.
const AGAIN = 50;
// Milliseconds that a WebSocket may take to open.
const OPENING = 30_000;
// The longest that setTimeout can wait.
const LONGEST = 2 ** 31 - 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

let loading;
let core;

export function load(source) {
  loading ??= instantiate(source).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading.then(() => {});
}

async function instantiate(source) {
  const given = await (source ?? fetch(new URL("balcony.wasm", import.meta.url)));
  let made;
  if (given instanceof WebAssembly.Module) {
    made = { instance: await WebAssembly.instantiate(given, {}) };
  } else if (typeof Response !== "undefined" && given instanceof Response) {
    if (!given.ok) throw new Error(`balcony.wasm can't be had: ${given.status}`);
    made = await WebAssembly.instantiate(await given.arrayBuffer(), {});
  } else {
    made = await WebAssembly.instantiate(given, {});
  }
  core = made.instance.exports;
}

// Hands in bytes for the next call. False: they are too many.
function put(bytes) {
  const at = core.balcony_input(bytes.length);
  if (at === 0) return false;
  new Uint8Array(core.memory.buffer, at, bytes.length).set(bytes);
  return true;
}

const putText = (text) => put(encoder.encode(text));

// What the last call has given.
function output() {
  return decoder.decode(new Uint8Array(core.memory.buffer, core.balcony_output(), core.balcony_output_length()));
}

// RFC 7395 section 6: without TLS only to where nobody can read along.
function checked(url) {
  const { protocol, hostname, href } = new URL(url);
  const isHere = hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
  if (protocol !== "wss:" && !(protocol === "ws:" && isHere)) {
    throw new TypeError("the address of the server has to begin with wss://, or with ws:// on this machine");
  }
  return { scheme: protocol.slice(0, -1), href };
}

// Half of a surrogate pair is no character: it would be replaced, and what comes would not be what was sent.
const text = (value, name) => {
  if (typeof value !== "string" || /[\0\p{Surrogate}]/u.test(value)) throw new TypeError(`${name} has to be a text`);
  return value;
};

export class Client {
  #listeners = new Map();
  #number = 0;
  #url;
  #socket;
  #timer;
  #isStepping = false;
  #jid = null;
  #end;
  #visible = () => {
    if (document.visibilityState === "visible") this.#wake();
  };
  #network = () => this.#wake();

  constructor({ jid, password, url, priority = 0, reconnect = true }) {
    const { scheme, href } = checked(url);
    this.#url = href;
    if (!Number.isInteger(priority) || priority < -128 || priority > 127) {
      throw new TypeError("a priority is a whole number from -128 to 127");
    }
    const start = Math.round(performance.timeOrigin);
    const texts = [text(jid, "jid"), text(password, "password"), scheme, priority, start, reconnect ? 1 : 0];
    load().then(
      () => this.#begin(texts.join("\0")),
      (error) => this.#finish(String(error?.message ?? error)),
    );
  }

  get jid() {
    return this.#jid;
  }

  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  online() {
    if (this.#jid !== null) return Promise.resolve(this.#jid);
    if (this.#end !== undefined) return Promise.reject(new Error(this.#end));
    return new Promise((resolve, reject) => {
      const stop = [this.on("online", (event) => settle(() => resolve(event.jid))), this.on("end", (event) => settle(() => reject(new Error(event.reason))))];
      const settle = (act) => {
        for (const each of stop) each();
        act();
      };
    });
  }

  send(to, body, { type = "chat" } = {}) {
    return this.#tell("balcony_send", [text(type, "type"), text(to, "to"), text(body, "body")].join("\0"));
  }

  sendStanza(xml) {
    return this.#tell("balcony_stanza", text(xml, "xml"));
  }

  // Without a priority it is that of before.
  setPresence({ priority = "", show = "", status = "" } = {}) {
    return this.#tell("balcony_presence", [priority, text(show, "show"), text(status, "status")].join("\0"));
  }

  setUnavailable() {
    return this.#tell("balcony_presence", "");
  }

  close() {
    if (this.#end !== undefined) return Promise.resolve();
    const closed = new Promise((resolve) => this.on("end", () => resolve()));
    if (this.#number === 0) {
      this.#finish("closed");
    } else {
      core.balcony_close(this.#number, performance.now());
      this.#step();
    }
    return closed;
  }

  #begin(config) {
    if (this.#end !== undefined) return;
    const seed = crypto.getRandomValues(new Uint8Array(32));
    const input = encoder.encode(config);
    const bytes = new Uint8Array(seed.length + input.length);
    bytes.set(seed);
    bytes.set(input, seed.length);
    this.#number = put(bytes) ? core.balcony_make() : 0;
    bytes.fill(0);
    if (this.#number === 0) {
      this.#finish(output());
      return;
    }
    globalThis.document?.addEventListener("visibilitychange", this.#visible);
    globalThis.addEventListener?.("online", this.#network);
    this.#step();
  }

  // Has the core do something with a text, and says what it has answered.
  #tell(name, input) {
    if (this.#end !== undefined) throw new Error(`the client has ended: ${this.#end}`);
    if (this.#number === 0) throw new Error("the client is not there yet: wait for online()");
    const isDone = putText(input) && core[name](this.#number) === 1;
    const answer = isDone ? output() : output() || "this is too long";
    if (!isDone) throw new Error(answer);
    this.#step();
    return answer;
  }

  #wake() {
    if (this.#number === 0) return;
    core.balcony_wake(this.#number, performance.now());
    this.#step();
  }

  // Does all that is to be done, until there is nothing but to wait. What a listener wants meanwhile is done by the same loop.
  #step() {
    if (this.#isStepping || this.#number === 0) return;
    this.#isStepping = true;
    try {
      while (this.#number !== 0) {
        const step = core.balcony_step(this.#number, performance.now());
        if (step === EVENT) {
          this.#emit(JSON.parse(output()));
        } else if (step === DISCONNECT) {
          this.#flush(Infinity);
          this.#drop();
        } else if (step === ENDED) {
          this.#finish(output());
        } else {
          if (step === CONNECT) this.#connect();
          if (this.#flush(BUFFERED)) break;
        }
      }
    } finally {
      this.#isStepping = false;
    }
  }

  // Sends what there is to be sent, and sees to it that the rest is. False if a listener has been told, who may want something.
  #flush(most) {
    const socket = this.#socket;
    const isOpen = socket?.readyState === WebSocket.OPEN;
    let told = false;
    while (isOpen && socket.bufferedAmount < most && core.balcony_message(this.#number) === 1) {
      const message = output();
      socket.send(message);
      told = this.#show("out", message) || told;
    }
    if (told) return false;
    clearTimeout(this.#timer);
    const due = core.balcony_deadline(this.#number, performance.now());
    const isFull = isOpen && socket.bufferedAmount >= most;
    if (due >= 0 || isFull) {
      const wait = Math.min(isFull ? AGAIN : LONGEST, due >= 0 ? Math.ceil(due) : LONGEST);
      this.#timer = setTimeout(() => this.#step(), wait);
    }
    return true;
  }

  #connect() {
    if (this.#socket !== undefined) return;
    let socket;
    try {
      socket = new WebSocket(this.#url, ["xmpp"]);
    } catch (error) {
      putText(String(error?.message ?? error));
      core.balcony_unreachable(this.#number, performance.now());
      // What comes of it is not told in the middle of this.
      setTimeout(() => this.#step(), 0);
      return;
    }
    this.#socket = socket;
    let wasOpen = false;
    const tooLong = setTimeout(() => {
      if (isCurrent() && !wasOpen) this.#lose("balcony_unreachable", `${this.#url} does not answer`);
    }, OPENING);
    const isCurrent = () => this.#socket === socket && this.#number !== 0;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (!isCurrent()) return;
      wasOpen = true;
      clearTimeout(tooLong);
      core.balcony_connected(this.#number, performance.now());
      this.#step();
    };
    socket.onmessage = ({ data }) => {
      if (!isCurrent()) return;
      // RFC 7395 section 3.2: text only.
      if (typeof data !== "string" || !putText(data)) {
        this.#lose("balcony_broken", "the server has sent what is no message of XMPP");
        return;
      }
      this.#show("in", data);
      // A listener may have closed the client, and may have handed in something else.
      if (!isCurrent()) return;
      putText(data);
      core.balcony_received(this.#number, performance.now());
      this.#step();
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(tooLong);
      if (!isCurrent()) return;
      const why = reason === "" ? `code ${code}` : reason;
      if (wasOpen) this.#lose("balcony_broken", `the WebSocket was closed: ${why}`);
      else this.#lose("balcony_unreachable", `no WebSocket could be opened at ${this.#url}`);
    };
  }

  #lose(name, reason) {
    this.#drop();
    putText(reason);
    core[name](this.#number, performance.now());
    this.#step();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
  }

  #finish(reason) {
    if (this.#end !== undefined) return;
    this.#end = reason;
    clearTimeout(this.#timer);
    this.#drop();
    globalThis.document?.removeEventListener("visibilitychange", this.#visible);
    globalThis.removeEventListener?.("online", this.#network);
    if (this.#number !== 0) core.balcony_free(this.#number);
    this.#number = 0;
    this.#jid = null;
    this.#emit({ event: "end", reason });
  }

  #emit(event) {
    if (event.event === "online") {
      if (event.jid === undefined) event.jid = this.#last;
      this.#last = this.#jid = event.jid;
    } else if (event.event === "offline") {
      this.#jid = null;
    }
    const { event: name, ...rest } = event;
    this.#call(name, rest);
  }

  // The address of the session that may go on.
  #last = null;

  // Tells what goes over the wire, without what is secret in it. Whether anybody wanted to know.
  #show(direction, message) {
    if (!this.#listeners.get("wire")?.size) return false;
    putText(message);
    core.balcony_shown();
    this.#call("wire", { direction, xml: output() });
    return true;
  }

  // What a listener does wrong is reported, and does not keep others from being told.
  #call(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        globalThis.reportError ? reportError(error) : console.error(error);
      }
    }
  }
}
