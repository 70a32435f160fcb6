/* A client of XMPP with a loop of its own: it says something to somebody, prints what comes, and ends when it is answered.
 *
 *     cargo build --release --package balcony-ffi
 *     cc -Icrates/ffi/include crates/ffi/c/client.c target/release/libbalcony_ffi.a -lm -o client
 *     BALCONY_JID=romeo@example.net BALCONY_PASSWORD=... ./client example.net 5222 juliet@example.net "But soft"
 *
 * BALCONY_CA may name a file with the certificates to trust. When the connection breaks it makes another one and goes on with its session, so
 * that nothing is lost. All that is asked of the operating system is a socket, a clock, 32 random bytes at a time, and poll.
 */
#define _DEFAULT_SOURCE
#include <balcony.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "client: %s\n", what);
    exit(1);
}

/* Milliseconds since some time or other. */
static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void random_bytes(uint8_t *bytes, size_t length) {
    if (getrandom(bytes, length, 0) != (ssize_t)length) fail("there is no randomness");
}

/* A whole file, with a zero behind it. */
static char *read_file(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail("the certificates cannot be read");
    long length = ftell(file);
    char *text = calloc((size_t)length + 1, 1);
    rewind(file);
    if (!text || fread(text, 1, (size_t)length, file) != (size_t)length) fail("the certificates cannot be read");
    fclose(file);
    return text;
}

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    int made = -1;
    for (struct addrinfo *at = found; at && made < 0; at = at->ai_next) {
        made = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (made >= 0 && connect(made, at->ai_addr, at->ai_addrlen) != 0) {
            close(made);
            made = -1;
        }
    }
    freeaddrinfo(found);
    return made;
}

/* Writes what there is to write, and reads, until something is due. */
static void exchange(balcony_client *client, int socket) {
    static uint8_t bytes[4096];
    const uint8_t *output;
    int wait = balcony_client_timeout(client, now());
    size_t room = balcony_client_received(client, NULL, sizeof bytes);
    size_t length = balcony_client_output(client, 0, &output);
    struct pollfd wanted = {.fd = socket, .events = (short)((room ? POLLIN : 0) | (length ? POLLOUT : 0))};
    if (poll(&wanted, 1, wait) <= 0) return;
    if (wanted.revents & POLLOUT) {
        ssize_t written = send(socket, output, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        balcony_client_output(client, written > 0 ? (size_t)written : 0, &output);
    }
    if (wanted.revents & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t count = recv(socket, bytes, room, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        balcony_client_received(client, bytes, count < 0 ? 0 : (size_t)count);
    }
}

/* Writes what is left, as far as that goes, and closes the socket. */
static void end(balcony_client *client, int socket) {
    const uint8_t *output;
    size_t length = balcony_client_output(client, 0, &output);
    if (length) (void)!send(socket, output, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(socket);
}

int main(int count, char **words) {
    if (count != 5) fail("client HOST PORT TO TEXT");
    char *to = words[3], *text = words[4], *ca = getenv("BALCONY_CA");
    balcony_config config = {
        .jid = getenv("BALCONY_JID"),
        .password = getenv("BALCONY_PASSWORD"),
        .trust = ca && *ca ? read_file(ca) : NULL,
        .tls = BALCONY_TLS_REQUIRED,
    };
    random_bytes(config.seed, sizeof config.seed);
    balcony_client *client;
    if (balcony_client_new(&config, now(), &client) != BALCONY_RESULT_OK) fail("BALCONY_JID, BALCONY_PASSWORD or BALCONY_CA is wrong");

    int socket = connect_to(words[1], words[2]), tries = 0;
    if (socket < 0) fail("nobody is there");
    bool has_sent = false;
    for (;;) {
        balcony_event event;
        uint64_t ping;
        uint8_t seed[32];
        switch (balcony_client_step(client, now(), &event)) {
        case BALCONY_STEP_WAIT:
            exchange(client, socket);
            break;
        case BALCONY_STEP_ONLINE:
            printf("online as %s\n", event.text);
            balcony_client_send(client, now(), "<presence/>");
            balcony_client_request(client, now(), 0, NULL, "<ping xmlns='urn:xmpp:ping'/>", 10000, &ping);
            /* In another session the library sends again what has not arrived. */
            if (!has_sent && balcony_client_message(client, now(), to, "first", text) != BALCONY_RESULT_OK) fail("this cannot be sent");
            has_sent = true;
            tries = 0;
            break;
        case BALCONY_STEP_RESUMED:
            printf("the session goes on\n");
            tries = 0;
            break;
        case BALCONY_STEP_ANSWER:
            printf("the server is there\n");
            break;
        case BALCONY_STEP_ACKNOWLEDGED:
            printf("the server has taken over: %s\n", event.text);
            break;
        case BALCONY_STEP_STANZA:
            printf("%s\n", event.text);
            if (strstr(event.text, "<body>")) balcony_client_tell(client, now(), BALCONY_TELL_CLOSE);
            break;
        case BALCONY_STEP_CLOSED:
            end(client, socket);
            balcony_client_free(client);
            return 0;
        case BALCONY_STEP_FAILED:
            fprintf(stderr, "client: %s\n", event.text);
            end(client, socket);
            if (event.id) return 1;
            do {
                if (++tries > 5) fail("it does not come back");
                sleep(1);
                socket = connect_to(words[1], words[2]);
            } while (socket < 0);
            random_bytes(seed, sizeof seed);
            if (balcony_client_resume(client, now(), seed) != BALCONY_RESULT_OK) fail("it cannot go on");
            break;
        default:
            break;
        }
        fflush(stdout);
    }
}
