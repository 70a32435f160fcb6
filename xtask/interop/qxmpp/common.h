// What the scenarios of `cargo xtask interop` in QXmpp have in common.
//
// They are started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _CA, _LOG and _PASSWORD in the environment. Each check
// is one line on standard output: result, name, detail, with tabs between them.

#pragma once

#include <QDomDocument>
#include <QXmppClient.h>
#include <QXmppLogger.h>
#include <QXmppMessage.h>
#include <QXmppPresence.h>

#include <functional>

extern const QString DOMAIN, PASSWORD, ROMEO, JULIET;

// Why a check fails, or why it is left out.
struct Failure { QString what; };
struct Skip { QString reason; };

void must(bool condition, const QString &what);

// Runs one check and reports how it went.
bool check(const char *name, const std::function<QString()> &action);

// Waits until something is true; whether it became so in time.
bool until(const std::function<bool()> &ready);

using Test = std::function<bool(const QDomElement &)>;

// How a client gets in: by STARTTLS and any mechanism, if nothing else is said.
struct Way {
    QString password = PASSWORD;
    QString mechanism = {};
    bool isDirect = false;
    bool hasTrust = true;
};

// The form of an iq whose payload the library has no class for.
QXmppIq request(QXmppIq::Type type, const QString &to, const QString &name, const QString &xmlns);

// A client that keeps what it gets until the scenario asks for it.
class Client {
public:
    Client(const QString &account, const QString &resource, int priority = 0);

    const QString name, account, resource;
    QString wire;
    QList<QDomElement> inbox;
    QXmppLogger log;
    QXmppClient xmpp;

    QString full() const { return account + "/" + resource; }

    // Logs in, asks for the roster if the library shall do so, and becomes available.
    void enter(bool withRoster = true, const Way &way = {});
    // What entering does, without waiting for its end.
    void connectBy(const Way &way);

    void message(const QString &to, const QString &body, QXmppMessage::Type type = QXmppMessage::Chat);
    void presence(QXmppPresence::Type type, const QString &to = {});
    void available();

    // The answer to a request.
    QDomElement ask(const QXmppIq &request);
    // The condition with which a request is refused; it is empty if it has a result.
    QString refused(const QXmppIq &request);
    // Waits until the server has done what this client has asked for, and this client has what was on its way.
    void settle();

    // Waits for a stanza and takes it out of the inbox.
    QDomElement gets(const QString &what, const Test &test);
    void getsNo(const QString &what, const Test &test);

    // Closes the stream; whether the server has closed its own in answer.
    bool leave();
    // The connection is gone, without a word.
    void lose();

private:
    const int priority;
};
