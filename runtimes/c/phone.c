/* The phone of the suite in C: a client with a loop of its own around poll, which is told what to do line by line (../scenarios.txt), and says
 * what happens. Its memory is its own, so that it can count.
 */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <balcony.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static size_t used, taken;

static void *take(size_t size, size_t align) {
    void *memory = NULL;
    if (posix_memalign(&memory, align < sizeof memory ? sizeof memory : align, size) != 0) return NULL;
    used += size;
    taken++;
    return memory;
}

static void give_back(void *memory, size_t size, size_t align) {
    (void)align;
    used -= size;
    free(memory);
}

static void fail(const char *what) {
    fprintf(stderr, "phone: %s\n", what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void random_bytes(uint8_t *bytes) {
    if (getrandom(bytes, 32, 0) != 32) fail("there is no randomness");
}

/* The place is an address and a port of this machine. */
static int connect_to(char *place) {
    char *colon = strrchr(place, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(made, (struct sockaddr *)&to, sizeof to) == 0) return made;
    close(made);
    return -1;
}

static char *read_file(const char *name) {
    static char text[65536];
    FILE *file = fopen(name, "rb");
    if (!file) fail("the certificates cannot be read");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

/* The next word of a line, which is cut off from it. */
static char *word(char **rest) {
    char *start = strsep(rest, " ");
    return start ? start : "";
}

/* The value of an attribute of the first element. */
static const char *attribute(const char *xml, const char *name, char *value, size_t room) {
    size_t length = 0;
    const char *end = strchr(xml, '>');
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s=", name);
    const char *at = strstr(xml, wanted);
    if (at && at < end) {
        at += strlen(wanted);
        char quote = *at++;
        while (at[length] && at[length] != quote && length + 1 < room) length++;
        memcpy(value, at, length);
    }
    value[length] = 0;
    return value;
}

/* The text of an element without others in it, with its references resolved; empty if there is none. */
static const char *text_of(const char *xml, const char *name, char *value, size_t room) {
    static const char *const references[5][2] = {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&quot;", "\""}, {"&apos;", "'"}};
    size_t length = 0;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "<%s>", name);
    const char *at = strstr(xml, wanted);
    for (at = at ? at + strlen(wanted) : ""; *at && *at != '<' && length + 1 < room; length++) {
        size_t found = 0;
        while (found < 5 && strncmp(at, references[found][0], strlen(references[found][0])) != 0) found++;
        value[length] = found < 5 ? *references[found][1] : *at;
        at += found < 5 ? strlen(references[found][0]) : 1;
    }
    value[length] = 0;
    return value;
}

/* The condition of an error: the first element of that namespace. */
static const char *condition_of(const char *xml, char *value, size_t room) {
    const char *at = strstr(xml, "<error");
    at = at ? strstr(at + 1, "<") : NULL;
    size_t length = at ? strcspn(at + 1, " />") : 0;
    if (length + 1 > room) length = room - 1;
    if (at) memcpy(value, at + 1, length);
    value[length] = 0;
    return value;
}

static char own[256];

static void tell_stanza(const char *xml) {
    static char from[256], type[32], body[4096], extra[64];
    attribute(xml, "from", from, sizeof from);
    attribute(xml, "type", type, sizeof type);
    if (strncmp(xml, "<message", 8) == 0) {
        if (strcmp(type, "error") == 0) printf("undelivered %s: %s\n", from, condition_of(xml, extra, sizeof extra));
        else printf("message %s: %s\n", from, text_of(xml, "body", body, sizeof body));
    } else if (strncmp(xml, "<presence", 9) == 0 && strcmp(from, own) != 0) {
        if (strcmp(type, "unavailable") == 0) printf("gone %s\n", from);
        else printf("presence %s %d\n", from, atoi(text_of(xml, "priority", extra, sizeof extra)));
    }
}

int main(void) {
    static char line[8192], place[256], asked[256], waiting[8192], presence[128];
    balcony_client *client = NULL;
    int socket = -1, is_away = 0, is_resuming = 0;
    uint64_t again = 0;
    if (balcony_use_memory(take, give_back) != BALCONY_RESULT_OK) fail("the memory is another's");
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        /* What there is to be done, until there is nothing but to wait. */
        for (bool is_waiting = !client || is_resuming; !is_waiting;) {
            balcony_event event;
            balcony_step step = balcony_client_step(client, now(), &event);
            switch (step) {
            case BALCONY_STEP_WAIT:
                is_waiting = true;
                break;
            case BALCONY_STEP_ONLINE:
                snprintf(own, sizeof own, "%s", event.text);
                printf("online %s\n", own);
                balcony_client_send(client, now(), presence);
                is_away = 0;
                break;
            case BALCONY_STEP_RESUMED:
                printf("resumed\n");
                is_away = 0;
                /* What was wanted meanwhile: while there is no connection it is the program's. */
                if (*waiting) {
                    char *rest = waiting, *to = word(&rest);
                    if (balcony_client_message(client, now(), to, NULL, rest) != BALCONY_RESULT_OK) fail("this cannot be said");
                    *waiting = 0;
                }
                break;
            case BALCONY_STEP_STANZA:
                tell_stanza(event.text);
                break;
            case BALCONY_STEP_ANSWER:
                printf("answer of %s\n", asked);
                break;
            case BALCONY_STEP_REFUSED:
                printf("refusal of %s: %.*s\n", asked, (int)strcspn(event.text, ": "), event.text);
                break;
            case BALCONY_STEP_CLOSED:
            case BALCONY_STEP_FAILED: {
                const uint8_t *output;
                bool is_closed = step == BALCONY_STEP_CLOSED, is_end = event.id != 0;
                /* The text lasts until the next call. */
                if (is_closed) printf("closed\n");
                else if (is_end) printf("ended: %s\n", event.text);
                else if (!is_away) printf("offline\n");
                size_t length = balcony_client_output(client, 0, &output);
                if (length && socket >= 0) (void)!send(socket, output, length, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (socket >= 0) close(socket);
                socket = -1;
                if (is_closed || is_end) {
                    balcony_client_free(client);
                    client = NULL;
                } else {
                    is_away = is_resuming = 1;
                    again = now() + 1000;
                }
                is_waiting = true;
                break;
            }
            default:
                break;
            }
        }
        if (is_resuming && now() >= again) {
            uint8_t seed[32];
            random_bytes(seed);
            again = now() + 1000;
            socket = connect_to(place);
            if (socket >= 0) {
                if (balcony_client_resume(client, now(), seed) != BALCONY_RESULT_OK) fail("it cannot go on");
                is_resuming = 0;
                continue;
            }
        }
        fflush(stdout);

        const uint8_t *output = NULL;
        static uint8_t bytes[4096];
        bool is_up = client && !is_resuming;
        int wait = is_up ? balcony_client_timeout(client, now()) : is_resuming ? (int)(again - now()) : -1;
        size_t length = is_up ? balcony_client_output(client, 0, &output) : 0;
        size_t room = is_up ? balcony_client_received(client, NULL, sizeof bytes) : 0;
        struct pollfd wanted[2] = {
            {.fd = 0, .events = POLLIN},
            {.fd = is_up ? socket : -1, .events = (short)((room ? POLLIN : 0) | (length ? POLLOUT : 0))},
        };
        if (poll(wanted, 2, wait < 0 ? -1 : wait) <= 0) continue;
        if (wanted[1].revents & POLLOUT) {
            ssize_t written = send(socket, output, length, MSG_NOSIGNAL | MSG_DONTWAIT);
            balcony_client_output(client, written > 0 ? (size_t)written : 0, &output);
        }
        if (wanted[1].revents & (POLLIN | POLLHUP | POLLERR)) {
            ssize_t count = recv(socket, bytes, room, MSG_DONTWAIT);
            if (count >= 0 || (errno != EAGAIN && errno != EINTR)) balcony_client_received(client, bytes, count < 0 ? 0 : (size_t)count);
        }
        if (!wanted[0].revents) continue;
        if (!fgets(line, sizeof line, stdin)) return 0;
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *what = word(&rest);
        if (strcmp(what, "connect") == 0) {
            char *jid = word(&rest), *priority = word(&rest), *password = word(&rest);
            snprintf(place, sizeof place, "%s", word(&rest));
            snprintf(presence, sizeof presence, "<presence><priority>%d</priority></presence>", atoi(priority));
            bool is_clear = strcmp(rest, "-") == 0;
            balcony_config config = {.jid = jid, .password = password, .trust = is_clear ? NULL : read_file(rest),
                                     .tls = is_clear ? BALCONY_TLS_NONE : BALCONY_TLS_REQUIRED};
            random_bytes(config.seed);
            if (balcony_client_new(&config, now(), &client) != BALCONY_RESULT_OK) fail("this is no account");
            if ((socket = connect_to(place)) < 0) fail("nobody is there");
        } else if (strcmp(what, "say") == 0 && is_resuming) {
            snprintf(waiting, sizeof waiting, "%s", rest);
        } else if (strcmp(what, "say") == 0) {
            char *to = word(&rest);
            if (balcony_client_message(client, now(), to, NULL, rest) != BALCONY_RESULT_OK) fail("this cannot be said");
        } else if (strcmp(what, "write") == 0) {
            static char message[8192];
            char *to = word(&rest);
            /* What is written so has nothing that means something in XML. */
            snprintf(message, sizeof message, "<message to='%s'><body>%.4096s</body></message>", to, rest);
            if (balcony_client_send(client, now(), message) != BALCONY_RESULT_OK) fail("this cannot be written");
        } else if (strcmp(what, "ask") == 0) {
            uint64_t id;
            snprintf(asked, sizeof asked, "%s", word(&rest));
            if (balcony_client_request(client, now(), 0, asked, "<ping xmlns='urn:xmpp:ping'/>", 30000, &id) != BALCONY_RESULT_OK) fail("this cannot be asked");
        } else if (strcmp(what, "wake") == 0) {
            if (is_resuming) again = now();
            else balcony_client_tell(client, now(), BALCONY_TELL_WAKE);
        } else if (strcmp(what, "close") == 0) {
            balcony_client_tell(client, now(), BALCONY_TELL_CLOSE);
        } else if (strcmp(what, "figures") == 0) {
            printf("figures %zu %zu\n", used, taken);
        } else {
            fail("no such command");
        }
    }
}
