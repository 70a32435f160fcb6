#include "common.h"

#include <QCoreApplication>
#include <QElapsedTimer>
#include <QFile>
#include <QSslCertificate>
#include <QSslSocket>
#include <QTextStream>
#include <QXmppClientExtension.h>
#include <QXmppPingIq.h>
#include <QXmppRosterManager.h>

static QString environment(const char *name) { return qEnvironmentVariable(name); }

const QString DOMAIN = environment("INTEROP_DOMAIN"), PASSWORD = environment("INTEROP_PASSWORD"),
              ROMEO = environment("INTEROP_ROMEO"), JULIET = environment("INTEROP_JULIET");

static const int PATIENCE = 5000;

void resources();
void people();

int main(int argc, char **argv) {
    QCoreApplication application(argc, argv);
    if (application.arguments().value(1) == "people")
        people();
    else
        resources();
    return 0;
}

void must(bool condition, const QString &what) {
    if (!condition)
        throw Failure{what};
}

bool check(const char *name, const std::function<QString()> &action) {
    QTextStream out(stdout);
    const auto report = [&](const char *result, const QString &detail) {
        out << result << '\t' << name << '\t' << detail.simplified() << '\n';
    };
    try {
        report("ok", action());
        return true;
    } catch (const Skip &skip) {
        report("skip", skip.reason);
    } catch (const Failure &failure) {
        report("FAIL", failure.what);
    }
    return false;
}

bool until(const std::function<bool()> &ready) {
    QElapsedTimer time;
    time.start();
    while (!ready()) {
        if (time.elapsed() > PATIENCE)
            return false;
        QCoreApplication::processEvents(QEventLoop::AllEvents | QEventLoop::WaitForMoreEvents, 20);
    }
    return true;
}

QXmppIq request(QXmppIq::Type type, const QString &to, const QString &name, const QString &xmlns) {
    QXmppIq iq(type);
    iq.setTo(to);
    QXmppElement payload;
    payload.setTagName(name);
    payload.setAttribute("xmlns", xmlns);
    iq.setExtensions({payload});
    return iq;
}

static QFile *logFile() {
    static QFile file(environment("INTEROP_LOG"));
    if (!file.isOpen())
        file.open(QIODevice::WriteOnly);
    return &file;
}

// Keeps all stanzas. It belongs to the library's client.
class Keeper : public QXmppClientExtension {
public:
    explicit Keeper(QList<QDomElement> &inbox) : inbox(inbox) {}

private:
    bool handleStanza(const QDomElement &stanza) override {
        // The element lives only as long as this call.
        QDomDocument document;
        inbox += document.appendChild(document.importNode(stanza, true)).toElement();
        return false;
    }

    QList<QDomElement> &inbox;
};

Client::Client(const QString &account, const QString &resource, int priority)
    : name(account == ROMEO ? QString("romeo") : resource), account(account), resource(resource), priority(priority) {
    log.setLoggingType(QXmppLogger::SignalLogging);
    QObject::connect(&log, &QXmppLogger::message, [this](QXmppLogger::MessageType type, const QString &text) {
        const QString who = type == QXmppLogger::SentMessage ? " C: " : type == QXmppLogger::ReceivedMessage ? " S: " : " ";
        logFile()->write((full() + who + text + "\n").toUtf8());
        logFile()->flush();
        if (type == QXmppLogger::SentMessage || type == QXmppLogger::ReceivedMessage)
            wire += text;
    });
    xmpp.setLogger(&log);
    // Before the others, which keep what they understand to themselves.
    xmpp.insertExtension(0, new Keeper(inbox));
}

void Client::connectBy(const Way &way) {
    const QStringList address = environment(way.isDirect ? "INTEROP_DIRECT" : "INTEROP_ADDRESS").split(':');
    QXmppConfiguration configuration;
    configuration.setJid(account);
    configuration.setResource(resource);
    configuration.setPassword(way.password);
    configuration.setHost(address[0]);
    configuration.setPort(address[1].toInt());
    configuration.setAutoReconnectionEnabled(false);
    configuration.setUseNonSASLAuthentication(false);
    configuration.setStreamSecurityMode(way.isDirect ? QXmppConfiguration::LegacySSL : QXmppConfiguration::TLSRequired);
    configuration.setIgnoreSslErrors(false);
    if (way.hasTrust)
        configuration.setCaCertificates(QSslCertificate::fromPath(environment("INTEROP_CA")));
    if (!way.mechanism.isEmpty())
        configuration.setSaslAuthMechanism(way.mechanism);
    QXmppPresence presence;
    presence.setPriority(priority);
    xmpp.connectToServer(configuration, presence);
}

void Client::enter(bool withRoster, const Way &way) {
    auto *roster = xmpp.findExtension<QXmppRosterManager>();
    if (!withRoster)
        xmpp.removeExtension(roster);
    bool hasFailed = false;
    const auto onError = QObject::connect(&xmpp, &QXmppClient::error, [&] { hasFailed = true; });
    connectBy(way);
    const bool isOver = until([&] { return hasFailed || (xmpp.isConnected() && (!withRoster || roster->isRosterReceived())); });
    QObject::disconnect(onError);
    must(isOver && !hasFailed, name + " can't log in: " + xmpp.socketErrorString());
    settle();
}

void Client::message(const QString &to, const QString &body, QXmppMessage::Type type) {
    QXmppMessage message({}, to, body);
    message.setType(type);
    xmpp.sendPacket(message);
    settle();
}

void Client::presence(QXmppPresence::Type type, const QString &to) {
    QXmppPresence presence(type);
    presence.setTo(to);
    xmpp.sendPacket(presence);
}

void Client::available() {
    QXmppPresence presence;
    presence.setPriority(priority);
    xmpp.setClientPresence(presence);
    settle();
}

QDomElement Client::ask(const QXmppIq &request) {
    const QString id = request.id();
    must(xmpp.sendPacket(request), name + " is not connected");
    return gets("answer", [&](const QDomElement &stanza) {
        const QString type = stanza.attribute("type");
        return stanza.tagName() == "iq" && stanza.attribute("id") == id && (type == "result" || type == "error");
    });
}

QString Client::refused(const QXmppIq &request) {
    return ask(request).firstChildElement("error").firstChildElement().tagName();
}

void Client::settle() {
    QXmppPingIq ping;
    ping.setType(QXmppIq::Get);
    ping.setTo(DOMAIN);
    const QString id = ping.id();
    xmpp.sendPacket(ping);
    gets("answer to a ping", [&](const QDomElement &stanza) { return stanza.attribute("id") == id; });
}

QDomElement Client::gets(const QString &what, const Test &test) {
    QDomElement found;
    until([&] {
        for (int index = 0; index < inbox.size(); index++)
            if (test(inbox[index])) {
                found = inbox.takeAt(index);
                return true;
            }
        return false;
    });
    must(!found.isNull(), name + " got no " + what);
    return found;
}

void Client::getsNo(const QString &what, const Test &test) {
    settle();
    must(std::none_of(inbox.begin(), inbox.end(), test), name + " got a " + what);
}

bool Client::leave() {
    xmpp.disconnectFromServer();
    until([this] { return xmpp.state() == QXmppClient::DisconnectedState; });
    return wire.contains("</stream:stream>");
}

void Client::lose() { xmpp.findChild<QSslSocket *>()->abort(); }
