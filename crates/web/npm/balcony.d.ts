/** An XMPP client for browsers (RFC 6120, RFC 6121), on a WebSocket (RFC 7395). */

/** Who a client is, and where its server is. */
export interface Options {
  /** The address: `romeo@example.net`, with a resource if it is to be a certain one: `romeo@example.net/orchard`. */
  jid: string;
  /** The password. It is kept to connect again, and is never shown or logged. */
  password: string;
  /** The WebSocket of the server: `wss://…`; `ws://…` only on this machine. */
  url: string;
  /** From -128 to 127, 0 unless it is said otherwise: which of an account's resources gets what is sent to the account (RFC 6121 section 8.5). With
   *  a negative one the client gets none of that. */
  priority?: number;
  /** Whether it connects again when the connection breaks, or could not be made. It does unless this is `false`. */
  reconnect?: boolean;
}

/** The type of a message (RFC 6121 section 5.2.2). */
export type MessageType = "normal" | "chat" | "groupchat" | "headline";

/** What all stanzas have: each value as it came, `null` if it is not there. */
export interface Addressed {
  /** The full address of the sender. */
  from: string | null;
  /** Whom it is addressed to: one resource, or the account. */
  to: string | null;
  id: string | null;
  /** The whole stanza. */
  xml: string;
}

export interface Online {
  /** The full address. */
  jid: string;
  /** Whether the session of before goes on (XEP-0198). Otherwise a new one has begun. */
  resumed: boolean;
}

export interface Offline {
  /** Why, for people. */
  reason: string;
  /** Milliseconds until it connects again; `null` if it does not. */
  next: number | null;
}

export interface Message extends Addressed {
  type: MessageType;
  /** The text for a person to read. */
  body: string | null;
  subject: string | null;
  /** When it was sent, if it was held back since (XEP-0203): milliseconds since 1970. Anybody can write that. */
  delayed: number | null;
}

export interface Presence extends Addressed {
  type: "available" | "unavailable" | "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed" | "probe";
  show: "chat" | "away" | "xa" | "dnd" | null;
  status: string | null;
  priority: number;
}

/** Something that was sent came back; `from` could not be reached, `id` is that of what was sent. */
export interface Undelivered extends Addressed {
  /** Why, as RFC 6120 section 8.3.3 names it. */
  condition: string;
  /** The same in words, if the other side has said any. */
  text: string | null;
}

/** Something that was sent with `send` or `sendStanza` before the client has ended, and has not reached the server, as far as is known. */
export interface Unsent {
  to: string | null;
  /** That which `send` or `sendStanza` has given. */
  id: string | null;
  /** The whole stanza. */
  xml: string;
}

/** A message as it went over the WebSocket, but for what is secret in it. */
export interface Wire {
  direction: "in" | "out";
  xml: string;
}

/** What a client tells. */
export interface Events {
  online: Online;
  offline: Offline;
  /** There will be no other connection: the client was closed, its password is wrong, there is no such account, or it was not to connect again. */
  end: { reason: string };
  /** Before `end`, one for each message that is lost with the client. */
  unsent: Unsent;
  message: Message;
  presence: Presence;
  undelivered: Undelivered;
  /** Anything else that has come. Requests of others have been answered. */
  stanza: Addressed;
  wire: Wire;
}

/** A client, which begins to connect at once: as soon as `balcony.wasm` is loaded. Before that, as before `online()`, nothing can be sent. */
export class Client {
  /** Throws a `TypeError` if a priority or an address of a server is none. What else is wrong is told by `end`. */
  constructor(options: Options);
  /** The full address, while the client is online. */
  readonly jid: string | null;
  /** Has a function called whenever this happens. What it returns ends that. */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): () => void;
  /** Waits until the client is online, and gives its full address. It fails when the client ends before. */
  online(): Promise<string>;
  /** Sends a message, of the type `chat` unless it is said otherwise, and gives its id. While there is no connection it waits. Throws if the
   *  address is none, if the text has characters that XML does not have or halves of surrogate pairs, and if too much waits. */
  send(to: string, body: string, options?: { type?: MessageType }): string;
  /** Sends one stanza, as it would stand in a stream, and gives its id. */
  sendStanza(xml: string): string;
  /** Says how available the client is (RFC 6121 section 4.7.2), now and whenever it comes online. A priority that is left out is that of before. */
  setPresence(presence?: { priority?: number; show?: "" | "chat" | "away" | "xa" | "dnd"; status?: string }): string;
  /** Says that the client is not available any more, without ending the session. */
  setUnavailable(): string;
  /** Sends what waits if it is online, and ends the session in good order. What is not sent is told by `unsent`, before `end`: all that
   * the server has not acknowledged (XEP-0198); with a server that does not count, what was not handed to the WebSocket yet. */
  close(): Promise<void>;
}

/** Loads `balcony.wasm`. Without it the first client does, from beside this file; with it from what is given: its bytes, what `fetch` gives, or a
 *  module that is compiled already. */
export function load(source?: BufferSource | Response | Promise<Response> | WebAssembly.Module): Promise<void>;
