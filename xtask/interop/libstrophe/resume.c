/* The scenario "resume" of `cargo xtask interop`, spoken by libstrophe: romeo's network is cut again and again while he and juliet
 * write to each other.
 *
 * Started as the scenarios in slixmpp are. Each check is one line on standard output: result, name, detail, with tabs between them. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <time.h>

/* Milliseconds: how often each of them writes, how long to wait before connecting again, and for what does not come. */
#define PACE 20
#define PAUSE 50
#define PATIENCE 15000
#define MOST 100000

struct person {
    char jid[256];
    const char *peer;
    char *host;
    unsigned short port;
    xmpp_conn_t *conn;
    xmpp_sm_state_t *session;
    int is_there, is_over;
    unsigned long again;
    /* How many have been given to the library, and those that have come. */
    int given, got[MOST], count;
};

static xmpp_ctx_t *context;
static FILE *wire;
/* The library does not say whether a session has gone on. What it logs does. */
static int begun, resumed, is_leaving;

static unsigned long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long)time.tv_sec * 1000 + (unsigned long)time.tv_nsec / 1000000;
}

static void on_log(void *unused, xmpp_log_level_t level, const char *area, const char *message)
{
    (void)unused;
    (void)level;
    fprintf(wire, "%lu %s %s\n", now(), area, message);
    begun += strstr(message, "RECV: <enabled") != NULL;
    resumed += strstr(message, "RECV: <resumed") != NULL;
}

static int on_message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *data)
{
    struct person *person = data;
    char *body = xmpp_message_get_body(stanza);
    (void)conn;
    if (body != NULL && person->count < MOST)
        person->got[person->count++] = atoi(body);
    xmpp_free(context, body);
    return 1;
}

static void on_connection(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error, void *data)
{
    struct person *person = data;
    (void)error;
    (void)stream_error;
    if (event == XMPP_CONN_CONNECT) {
        person->is_there = 1;
        xmpp_handler_add(conn, on_message, NULL, "message", NULL, person);
        if (person->given == 0) {
            xmpp_stanza_t *presence = xmpp_presence_new(context);
            xmpp_send(conn, presence);
            xmpp_stanza_release(presence);
        }
    } else {
        person->is_there = 0;
        person->is_over = 1;
        person->again = now() + PAUSE;
    }
}

static void open_connection(struct person *person)
{
    person->conn = xmpp_conn_new(context);
    person->is_over = 0;
    xmpp_conn_set_flags(person->conn, XMPP_CONN_FLAG_MANDATORY_TLS);
    xmpp_conn_set_cafile(person->conn, getenv("INTEROP_CA"));
    xmpp_conn_set_jid(person->conn, person->jid);
    xmpp_conn_set_pass(person->conn, getenv("INTEROP_PASSWORD"));
    if (person->session != NULL)
        xmpp_conn_set_sm_state(person->conn, person->session);
    person->session = NULL;
    if (xmpp_connect_client(person->conn, person->host, person->port, on_connection, person) != XMPP_EOK) {
        person->is_over = 1;
        person->again = now() + PAUSE;
    }
}

/* Connects again, with the session of the connection before. */
static void connect_again(struct person *person)
{
    if (!person->is_over || is_leaving || now() < person->again)
        return;
    person->session = xmpp_conn_get_sm_state(person->conn);
    xmpp_conn_release(person->conn);
    open_connection(person);
}

/* The library drops what it is given while it has no connection. */
static void say(struct person *person, int number)
{
    while (person->is_there && person->given < number) {
        char body[16];
        xmpp_stanza_t *message = xmpp_message_new(context, "chat", person->peer, NULL);
        snprintf(body, sizeof(body), "%d", person->given++);
        xmpp_message_set_body(message, body);
        xmpp_send(person->conn, message);
        xmpp_stanza_release(message);
    }
}

/* How often the network has been cut so far. */
static int cuts(void)
{
    int count = 0;
    FILE *file = fopen(getenv("INTEROP_COUNT"), "r");
    if (file != NULL) {
        if (fscanf(file, "%d", &count) != 1)
            count = 0;
        fclose(file);
    }
    return count;
}

static void prepare(struct person *person, const char *account, const char *resource, const char *peer, const char *address)
{
    char *colon;
    snprintf(person->jid, sizeof(person->jid), "%s/%s", account, resource);
    person->peer = peer;
    person->host = strdup(address);
    colon = strrchr(person->host, ':');
    *colon = 0;
    person->port = (unsigned short)atoi(colon + 1);
    open_connection(person);
}

/* All messages, once, in order. */
static void check(const char *name, const struct person *person, int sent)
{
    int lost = 0, twice = 0, disordered = 0, at;
    char *seen = calloc((size_t)sent + 1, 1);
    for (at = 0; at < person->count; at++) {
        int number = person->got[at];
        if (number >= 0 && number < sent)
            twice += seen[number]++ > 0;
        disordered += at > 0 && number < person->got[at - 1];
    }
    for (at = 0; at < sent; at++)
        lost += seen[at] == 0;
    free(seen);
    if (lost || twice || disordered)
        printf("FAIL\t%s\tof %d %d lost, %d twice, %d out of order\n", name, sent, lost, twice, disordered);
    else
        printf("ok\t%s\t%d messages\n", name, sent);
}

int main(void)
{
    static struct person romeo, juliet;
    const xmpp_log_t log = {on_log, NULL};
    const int all = atoi(getenv("INTEROP_CUTS"));
    int sent = 0;
    unsigned long next, end = now() + PATIENCE;
    wire = fopen(getenv("INTEROP_LOG"), "w");
    setvbuf(wire, NULL, _IOLBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    xmpp_initialize();
    context = xmpp_ctx_new(NULL, &log);
    prepare(&juliet, getenv("INTEROP_JULIET"), "balcony", getenv("INTEROP_ROMEO"), getenv("INTEROP_ADDRESS"));
    prepare(&romeo, getenv("INTEROP_ROMEO"), "train", getenv("INTEROP_JULIET"), getenv("INTEROP_RELAY"));
    while (begun < 2 && now() < end) {
        xmpp_run_once(context, 5);
        connect_again(&romeo);
        connect_again(&juliet);
    }
    if (begun < 2) {
        printf("FAIL\tlogin\tno stream management\n");
        return 0;
    }
    printf("ok\tlogin\twith stream management\n");
    for (next = now(), end = now() + 10 * PATIENCE; cuts() < all && now() < end && sent < MOST;) {
        sent += now() >= next;
        if (now() >= next)
            next += PACE;
        say(&romeo, sent);
        say(&juliet, sent);
        xmpp_run_once(context, 5);
        connect_again(&romeo);
        connect_again(&juliet);
    }
    for (end = now() + PATIENCE; (romeo.count < sent || juliet.count < sent) && now() < end;) {
        say(&romeo, sent);
        say(&juliet, sent);
        xmpp_run_once(context, 5);
        connect_again(&romeo);
        connect_again(&juliet);
    }
    if (begun == 2 && resumed > 0)
        printf("ok\tresumed\t%d times\n", resumed);
    else
        printf("FAIL\tresumed\t%d begun, %d resumed\n", begun - 1, resumed);
    check("down", &romeo, sent);
    check("up", &juliet, sent);
    is_leaving = 1;
    xmpp_disconnect(romeo.conn);
    xmpp_disconnect(juliet.conn);
    for (end = now() + PATIENCE; !(romeo.is_over && juliet.is_over) && now() < end;)
        xmpp_run_once(context, 5);
    printf("%s\tclose\t\n", romeo.is_over && juliet.is_over ? "ok" : "FAIL");
    fclose(wire);
    return 0;
}
