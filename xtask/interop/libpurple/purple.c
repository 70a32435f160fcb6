/* A client on libpurple, as Pidgin and finch are, which takes commands on standard input and tells on standard output what happens.
 *
 * Arguments: the folder for its files, the account, its password, the server's port, the connection security (`require_tls` or
 * `old_ssl`), the folder with the certificate authority, and `register` if the account is to be made first, or `accept` if a certificate
 * that is offered for acceptance is to be accepted.
 *
 * Commands, one a line: `send JID TEXT`, `add JID`, `remove JID`, `approve JID`, `block JID`, `unblock JID`,
 * `priority N`, `away TEXT`, `online`, `connect` (after a registration), `unregister`, `quit`. Where libpurple would ask a person
 * whether to trust a certificate, the answer is no but with `accept`; what it asks, and what can be answered, is told.
 */

#include <purple.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

static GMainLoop *loop;
static PurpleAccount *account;
static const char *user, *password;
static gboolean accepts;
static char *asked_by;
static PurpleAccountRequestAuthorizationCb authorize;
static void *authorization;

static void tell(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* One line, whatever is in it. */
static void tell(const char *format, ...) {
    va_list values;
    va_start(values, format);
    char *line = g_strdup_vprintf(format, values);
    va_end(values);
    g_strdelimit(line, "\r\n", ' ');
    printf("%s\n", line);
    fflush(stdout);
    g_free(line);
}

/* The main loop of GLib in libpurple's terms. */

typedef struct {
    PurpleInputFunction function;
    gpointer data;
} Watch;

static gboolean on_watched(GIOChannel *channel, GIOCondition condition, gpointer data) {
    const Watch *watch = data;
    PurpleInputCondition purple = 0;
    if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) purple |= PURPLE_INPUT_READ;
    if (condition & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL)) purple |= PURPLE_INPUT_WRITE;
    watch->function(watch->data, g_io_channel_unix_get_fd(channel), purple);
    return TRUE;
}

static guint watch(int fd, PurpleInputCondition condition, PurpleInputFunction function, gpointer data) {
    Watch *watch = g_new(Watch, 1);
    *watch = (Watch){function, data};
    GIOCondition wanted = G_IO_HUP | G_IO_ERR | G_IO_NVAL;
    if (condition & PURPLE_INPUT_READ) wanted |= G_IO_IN;
    if (condition & PURPLE_INPUT_WRITE) wanted |= G_IO_OUT;
    GIOChannel *channel = g_io_channel_unix_new(fd);
    guint id = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, wanted, on_watched, watch, g_free);
    g_io_channel_unref(channel);
    return id;
}

static PurpleEventLoopUiOps event_loop = {
    .timeout_add = g_timeout_add,
    .timeout_remove = g_source_remove,
    .timeout_add_seconds = g_timeout_add_seconds,
    .input_add = watch,
    .input_remove = g_source_remove,
};

/* What happens. */

static void on_signed_on(PurpleConnection *connection UNUSED) { tell("signed on"); }

static void on_disconnect(PurpleConnection *connection UNUSED, PurpleConnectionError reason UNUSED, const char *text) {
    tell("disconnected: %s", text);
}

static void on_message(PurpleAccount *ours UNUSED, const char *sender, const char *message,
                       PurpleConversation *conversation UNUSED, PurpleMessageFlags flags) {
    char *text = purple_markup_strip_html(message);
    tell("message %s%s: %s", flags & PURPLE_MESSAGE_DELAYED ? "from earlier " : "", sender, text);
    g_free(text);
}

static void on_written(PurpleConversation *conversation UNUSED, const char *who UNUSED, const char *alias UNUSED,
                       const char *message, PurpleMessageFlags flags, time_t when UNUSED) {
    if (flags & PURPLE_MESSAGE_ERROR) tell("error: %s", message);
}

static void on_buddy(PurpleBuddy *buddy) {
    const PurpleStatus *status = purple_presence_get_active_status(purple_buddy_get_presence(buddy));
    tell("%s is %s", purple_buddy_get_name(buddy), purple_status_get_id(status));
}

static void on_status(PurpleBuddy *buddy, PurpleStatus *old UNUSED, PurpleStatus *new UNUSED) { on_buddy(buddy); }

static void on_removed(PurpleBuddy *buddy) { tell("%s is no contact", purple_buddy_get_name(buddy)); }

static void *on_request(PurpleAccount *ours UNUSED, const char *remote, const char *id UNUSED, const char *alias UNUSED,
                        const char *message UNUSED, gboolean on_list UNUSED, PurpleAccountRequestAuthorizationCb yes,
                        PurpleAccountRequestAuthorizationCb no UNUSED, void *data) {
    g_free(asked_by);
    asked_by = g_strdup(remote);
    authorize = yes;
    authorization = data;
    tell("%s asks", remote);
    return NULL;
}

static void *on_notice(PurpleNotifyMsgType type UNUSED, const char *title, const char *primary, const char *secondary) {
    tell("notice: %s: %s: %s", title, primary, secondary);
    return NULL;
}

/* A choice between actions, such as to accept a certificate: that one, or to refuse, where there is such an action. */
static void *on_choice(const char *title, const char *primary, const char *secondary UNUSED, int default_action UNUSED,
                       PurpleAccount *ours UNUSED, const char *who UNUSED, PurpleConversation *conversation UNUSED, void *data,
                       size_t count, va_list actions) {
    const char *wanted = accepts ? "Accept" : "Reject";
    PurpleRequestActionCb answer = NULL;
    int answered = 0;
    tell("choice: %s: %s", title, primary);
    for (size_t action = 0; action < count; action++) {
        const char *name = va_arg(actions, const char *);
        PurpleRequestActionCb chosen = va_arg(actions, PurpleRequestActionCb);
        tell("may answer: %s", name);
        if (!answer && strstr(name, wanted)) {
            answer = chosen;
            answered = (int)action;
        }
    }
    if (answer)
        answer(data, answered);
    return NULL;
}

/* The form for a new account. */
static void *on_form(const char *title, const char *primary UNUSED, const char *secondary UNUSED, PurpleRequestFields *fields,
                     const char *ok UNUSED, GCallback on_ok, const char *cancel UNUSED, GCallback on_cancel UNUSED,
                     PurpleAccount *ours UNUSED, const char *who UNUSED, PurpleConversation *conversation UNUSED, void *data) {
    const char *names[] = {"username", "password"}, *values[] = {user, password};
    tell("form: %s", title);
    for (int field = 0; field < 2; field++)
        if (purple_request_fields_exists(fields, names[field]))
            purple_request_field_string_set_value(purple_request_fields_get_field(fields, names[field]), values[field]);
    ((PurpleRequestFieldsCb)on_ok)(data, fields);
    return NULL;
}

static void on_registered(PurpleAccount *ours UNUSED, gboolean succeeded, void *data UNUSED) {
    tell(succeeded ? "registered" : "not registered");
}

static void on_unregistered(PurpleAccount *ours UNUSED, gboolean succeeded, void *data UNUSED) {
    tell(succeeded ? "unregistered" : "not unregistered");
}

/* Everything that libpurple says, with what goes over the wire, is for the log. */
static void on_debug(PurpleDebugLevel level UNUSED, const char *category, const char *text) {
    fprintf(stderr, "%s: %s", category ? category : "", text);
}

static gboolean says_all(PurpleDebugLevel level UNUSED, const char *category UNUSED) { return TRUE; }

static PurpleDebugUiOps debug = {.print = on_debug, .is_enabled = says_all};
static PurpleConnectionUiOps connections = {.report_disconnect_reason = on_disconnect};
static PurpleConversationUiOps conversations = {.write_conv = on_written};
static PurpleAccountUiOps accounts = {.request_authorize = on_request};
static PurpleNotifyUiOps notices = {.notify_message = on_notice};
static PurpleRequestUiOps requests = {.request_action = on_choice, .request_fields = on_form};

static void set_interface(void) {
    purple_connections_set_ui_ops(&connections);
    purple_conversations_set_ui_ops(&conversations);
    purple_accounts_set_ui_ops(&accounts);
    purple_notify_set_ui_ops(&notices);
    purple_request_set_ui_ops(&requests);
}

static PurpleCoreUiOps core = {.ui_init = set_interface};

/* Commands. */

static PurpleBuddy *contact(const char *jid) { return purple_find_buddy(account, jid); }

static void set_status(const char *id, const char *text) {
    purple_account_set_status(account, id, TRUE, "message", text, NULL);
}

static void set_priority(int priority) {
    PurpleStatus *status = purple_account_get_active_status(account);
    purple_account_set_status(account, purple_status_get_id(status), TRUE, "priority", priority, NULL);
}

static void carry_out(const char *line) {
    char **words = g_strsplit(line, " ", 3);
    const char *what = words[0] ? words[0] : "", *jid = what[0] && words[1] ? words[1] : "", *rest = jid[0] && words[2] ? words[2] : "";
    if (!strcmp(what, "send")) {
        PurpleConversation *conversation = purple_conversation_new(PURPLE_CONV_TYPE_IM, account, jid);
        purple_conv_im_send(PURPLE_CONV_IM(conversation), rest);
    } else if (!strcmp(what, "add")) {
        PurpleBuddy *buddy = purple_buddy_new(account, jid, NULL);
        purple_blist_add_buddy(buddy, NULL, NULL, NULL);
        purple_account_add_buddy(account, buddy);
    } else if (!strcmp(what, "remove") && contact(jid)) {
        purple_account_remove_buddy(account, contact(jid), purple_buddy_get_group(contact(jid)));
        purple_blist_remove_buddy(contact(jid));
    } else if (!strcmp(what, "approve") && authorize && !g_strcmp0(asked_by, jid)) {
        authorize(authorization);
        authorize = NULL;
    } else if (!strcmp(what, "block")) {
        purple_privacy_deny_add(account, jid, FALSE);
    } else if (!strcmp(what, "unblock")) {
        purple_privacy_deny_remove(account, jid, FALSE);
    } else if (!strcmp(what, "priority")) {
        set_priority(atoi(jid));
    } else if (!strcmp(what, "away")) {
        set_status("away", jid);
    } else if (!strcmp(what, "online")) {
        set_status("available", "");
    } else if (!strcmp(what, "connect")) {
        purple_account_set_enabled(account, "interop", TRUE);
    } else if (!strcmp(what, "unregister")) {
        purple_account_unregister(account, on_unregistered, NULL);
    } else if (!strcmp(what, "quit")) {
        g_main_loop_quit(loop);
    } else {
        tell("cannot: %s", line);
    }
    g_strfreev(words);
}

static gboolean on_command(GIOChannel *input, GIOCondition condition UNUSED, gpointer data UNUSED) {
    char *line = NULL;
    gsize end = 0;
    if (g_io_channel_read_line(input, &line, NULL, &end, NULL) != G_IO_STATUS_NORMAL) {
        g_main_loop_quit(loop);
        return FALSE;
    }
    line[end] = '\0';
    carry_out(line);
    g_free(line);
    return TRUE;
}

static void listen_to(void *instance, const char *signal, PurpleCallback callback) {
    static int handle;
    purple_signal_connect(instance, signal, &handle, callback, NULL);
}

int main(int argc, char **argv) {
    if (argc < 7 || !strchr(argv[2], '@')) return 2;
    accepts = argc > 7 && strcmp(argv[7], "accept") == 0;
    loop = g_main_loop_new(NULL, FALSE);
    purple_util_set_user_dir(argv[1]);
    user = g_strndup(argv[2], strcspn(argv[2], "@"));
    password = argv[3];
    purple_debug_set_enabled(FALSE);
    purple_debug_set_ui_ops(&debug);
    purple_core_set_ui_ops(&core);
    purple_eventloop_set_ui_ops(&event_loop);
    if (!purple_core_init("interop")) return 1;
    purple_set_blist(purple_blist_new());
    purple_certificate_add_ca_search_path(argv[6]);

    listen_to(purple_connections_get_handle(), "signed-on", PURPLE_CALLBACK(on_signed_on));
    listen_to(purple_conversations_get_handle(), "received-im-msg", PURPLE_CALLBACK(on_message));
    listen_to(purple_blist_get_handle(), "buddy-signed-on", PURPLE_CALLBACK(on_buddy));
    listen_to(purple_blist_get_handle(), "buddy-signed-off", PURPLE_CALLBACK(on_buddy));
    listen_to(purple_blist_get_handle(), "buddy-status-changed", PURPLE_CALLBACK(on_status));
    listen_to(purple_blist_get_handle(), "buddy-removed", PURPLE_CALLBACK(on_removed));

    char *name = g_strconcat(argv[2], "/libpurple", NULL);
    account = purple_account_new(name, "prpl-jabber");
    g_free(name);
    purple_account_set_password(account, password);
    /* By this name it looks for the certificate, too. */
    purple_account_set_string(account, "connect_server", strchr(argv[2], '@') + 1);
    purple_account_set_int(account, "port", atoi(argv[4]));
    purple_account_set_string(account, "connection_security", argv[5]);
    purple_account_set_privacy_type(account, PURPLE_PRIVACY_DENY_USERS);
    purple_accounts_add(account);
    purple_savedstatus_activate(purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE));
    if (argc > 7 && !accepts) {
        purple_account_set_register_callback(account, on_registered, NULL);
        purple_account_register(account);
    } else {
        purple_account_set_enabled(account, "interop", TRUE);
    }

    GIOChannel *input = g_io_channel_unix_new(0);
    g_io_add_watch(input, G_IO_IN | G_IO_HUP, on_command, NULL);
    g_main_loop_run(loop);
    purple_core_quit();
    return 0;
}
