#ifndef BALCONY_H
#define BALCONY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Whether a call was carried out. Where it was not, nothing has happened.
typedef enum {
  // It was.
  BALCONY_RESULT_OK = 0,
  // Null where something must be, or a call that cannot be made now: nothing can be sent before `BALCONY_STEP_ONLINE`, or after the end.
  BALCONY_RESULT_MISUSE = 1,
  // A text is no UTF-8, no address, no number of those that are known, or no stanza.
  BALCONY_RESULT_BAD_TEXT = 2,
  // The server has not acknowledged what was sent before, or does not take it, and no more of it is kept; or 1,024 requests wait for their
  // answers. Go on until there is room.
  BALCONY_RESULT_FULL = 3,
  // The connection has ended, or is ending; `balcony_client_step` says why.
  BALCONY_RESULT_ENDED = 4,
  // The certificates to trust cannot be read, or there are none.
  BALCONY_RESULT_BAD_TRUST = 5,
} balcony_result;

// What a step came to.
typedef enum {
  // Nothing more without input, output or time: write, read, or wait.
  BALCONY_STEP_WAIT = 0,
  // Logged in, with a session that begins; the text is the full address. Send `<presence/>` first.
  BALCONY_STEP_ONLINE = 1,
  // Logged in, and the session from before goes on: its presence and its roster are as they were.
  BALCONY_STEP_RESUMED = 2,
  // A stanza has come; the text is its XML.
  BALCONY_STEP_STANZA = 3,
  // The request of this `id` was carried out; the text is the whole answer as XML.
  BALCONY_STEP_ANSWER = 4,
  // The request of this `id` was refused; the text is the condition (RFC 6120 section 8.3.3), and what the other side has said about it.
  BALCONY_STEP_REFUSED = 5,
  // The request of this `id` was not answered in time.
  BALCONY_STEP_TIMED_OUT = 6,
  // The session of the request of this `id` is over: nobody knows whether it was carried out, and no answer comes.
  BALCONY_STEP_LOST = 7,
  // The server has taken over the message whose id is the text.
  BALCONY_STEP_ACKNOWLEDGED = 8,
  // The message whose id is the text was sent again in a new session: the server has not said whether it had got it.
  BALCONY_STEP_RESENT = 9,
  // The stream has ended in good order. What is left of the output is written, then the socket is closed.
  BALCONY_STEP_CLOSED = 10,
  // The connection is of no use any more; the text says why, and the `id` is 1 if trying again is of no use, because somebody has to change
  // something first, such as a wrong password, or because another client has taken the resource. What is left of the output is written, then the socket is closed. The session goes on
  // with `balcony_client_resume` and another one.
  BALCONY_STEP_FAILED = 11,
} balcony_step;

// Something that a client is told.
typedef enum {
  // To end its stream in good order. It is stepped on (`balcony_client_step`) until `BALCONY_STEP_CLOSED`.
  BALCONY_TELL_CLOSE = 0,
  // To find out at once whether the connection still lives: the device comes out of sleep, or the network has changed.
  BALCONY_TELL_WAKE = 1,
  // Nobody looks (XEP-0352): what is not urgent may wait.
  BALCONY_TELL_INACTIVE = 2,
  // Somebody does again.
  BALCONY_TELL_ACTIVE = 3,
} balcony_tell;

// How a connection is protected.
typedef enum {
  // STARTTLS, and nothing else before it (RFC 6120 section 5.3.1): port 5222.
  BALCONY_TLS_REQUIRED = 0,
  // TLS from the first byte (XEP-0368): port 5223, or what the DNS says of `_xmpps-client`.
  BALCONY_TLS_DIRECT = 1,
  // None. For tests on this machine, and where something else protects the bytes.
  BALCONY_TLS_NONE = 2,
} balcony_tls;

// A client on a connection. What is in it is nobody's business.
typedef struct balcony_client balcony_client;

// What a client is told before it begins. It is copied.
typedef struct {
  // The address: `romeo@example.net`, with a resource if it is to be a certain one: `romeo@example.net/orchard`.
  const char *jid;
  // The password.
  const char *password;
  // The certificates of the authorities to trust, as PEM; null: those that the system trusts.
  const char *trust;
  // A `balcony_tls`.
  uint32_t tls;
  // Other than 0: requests of others come as `BALCONY_STEP_STANZA`, and each has to be answered, by a stanza of type `result` or `error` with its
  // `id` (RFC 6120 section 8.2.3); what the server pushes, and what asks who this is, are answered all the same. With 0 the client refuses
  // them.
  uint32_t takes_requests;
  // Thirty-two bytes that nobody can guess, other ones for each client. They are not all 0.
  uint8_t seed[32];
} balcony_config;

// What has happened.
typedef struct {
  // The request that it is about, where it is about one.
  uint64_t id;
  // What there is to say, with a zero behind it; never null. It lasts until the next call with the client.
  const char *text;
  // The number of its bytes, without that zero.
  size_t length;
} balcony_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a client for a connection that has just been made to its server, and puts it at `client`. Its time allowed for logging in begins
// `now`. It ends with `balcony_client_free`.
//
// `BALCONY_RESULT_BAD_TEXT`, `BALCONY_RESULT_BAD_TRUST` or `BALCONY_RESULT_MISUSE`, and null at `client`, if the configuration is none.
//
// # Safety
//
// `config` is null or points to one, whose texts are null or end with a zero; `client` is null or can be written to.
balcony_result balcony_client_new(const balcony_config *config, uint64_t now, balcony_client **client);

// Ends a client without a word to its server. To say goodbye, close (`balcony_client_tell`) it first.
//
// # Safety
//
// `client` is null, or was made by `balcony_client_new` and is not used any more.
void balcony_client_free(balcony_client *client);

// The client goes on with its session on another connection, after the one before has ended or could not be made: what was sent and not
// acknowledged is sent again, and what has come meanwhile comes (XEP-0198). Where the server has forgotten the session,
// `BALCONY_STEP_ONLINE` comes instead of `BALCONY_STEP_RESUMED`, and messages are sent again with the ids that they had. What was received and not
// stepped over is forgotten, since the server sends it again.
//
// # Safety
//
// `client` is null or a client; `seed` is null or thirty-two new bytes that nobody can guess, and not all 0.
balcony_result balcony_client_resume(balcony_client *client, uint64_t now, const uint8_t *seed);

// So many bytes of what it gave the last time are `written` now; and the bytes that are to be written to the socket: their number, and at
// `bytes` where they are. They last until the next call with this client.
//
// # Safety
//
// `client` is null or a client; `bytes` is null or can be written to.
size_t balcony_client_output(balcony_client *client, size_t written, const uint8_t **bytes);

// Hands in bytes that were read from the socket, and says how many of them were taken: less than `length` while the client has not been
// stepped on through what it has; the rest is handed in again then. A `length` of 0 says that the other side writes no more.
//
// With null at `bytes` nothing is taken, and it says how many of so many would be: as long as that is none after
// `BALCONY_STEP_WAIT`, the server does not read, and only writing helps; there is no use in polling for something to read.
//
// # Safety
//
// `client` is null or a client; `bytes` is null or there are `length` of them.
size_t balcony_client_received(balcony_client *client, const uint8_t *bytes, size_t length);

// How many milliseconds from `now` on there is nothing to do but for what the socket brings, rounded up: -1 if for ever, as `poll` wants
// it. When they are over it is stepped on (`balcony_client_step`).
//
// # Safety
//
// `client` is null or a client.
int balcony_client_timeout(const balcony_client *client, uint64_t now);

// Sends a stanza: one element, `<message/>`, `<presence/>` or `<iq/>`, in the namespace `jabber:client` or in none. After
// `BALCONY_STEP_ONLINE` an available `<presence/>` comes first: without it nothing comes that is for the account (RFC 6121 section 4.2). A
// message with an `id` is told of when the server has taken it over.
//
// # Safety
//
// `client` is null or a client; `stanza` is null or ends with a zero.
balcony_result balcony_client_send(balcony_client *client, uint64_t now, const char *stanza);

// Sends a chat message with this text, and this `id` unless it is null, by which it is told of when the server has taken it over. What may be
// in the text that means something in XML is seen to; what XML cannot hold, as most control characters, is `BALCONY_RESULT_BAD_TEXT`.
//
// # Safety
//
// `client` is null or a client; `to`, `id` and `body` are null or end with a zero.
balcony_result balcony_client_message(balcony_client *client, uint64_t now, const char *to, const char *id, const char *body);

// Sends a request (RFC 6120 section 8.2.3), and puts its number at `id`: a `get` if `is_set` is 0, otherwise a `set`, with `payload`, one element,
// in it; to the account itself if `to` is null. What comes of it is an event with that number, after at most `timeout` milliseconds.
//
// # Safety
//
// `client` is null or a client; `to` and `payload` are null or end with a zero; `id` is null or can be written to.
balcony_result balcony_client_request(balcony_client *client, uint64_t now, uint32_t is_set, const char *to, const char *payload, uint32_t timeout, uint64_t *id);

// Tells a client something: a `balcony_tell`.
//
// # Safety
//
// `client` is null or a client.
balcony_result balcony_client_tell(balcony_client *client, uint64_t now, uint32_t what);

// All memory is the caller's from now on: `take` gives `size` bytes whose address is a multiple of `align`, a power of two, or null if there are
// none, which ends the process; `give_back` takes back what was given for the same `size` and `align`. Both may be called from any thread that
// calls functions of this library. Neither throws, jumps out, or calls this library.
//
// It is called before all other functions, once. `BALCONY_RESULT_MISUSE` otherwise: memory that was given by one cannot go back to the other.
//
// # Safety
//
// Both functions do as it says here, as long as the process lasts.
balcony_result balcony_use_memory(void *(*take)(size_t size, size_t align), void (*give_back)(void *memory, size_t size, size_t align));

// Goes on to what has happened next, and puts it at `event`; until it says `BALCONY_STEP_WAIT`. Then the caller does whichever comes first:
// writes of the output, reads, or waits as long as the timeout (`balcony_client_timeout`) says; and steps again. At a login a step computes
// what proves the password, which takes some milliseconds, or as long as the rounds that the server asks for do, of which a million are the most.
//
// # Safety
//
// `client` is null or a client; `event` is null or can be written to.
balcony_step balcony_client_step(balcony_client *client, uint64_t now, balcony_event *event);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BALCONY_H */
