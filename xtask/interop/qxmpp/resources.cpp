// The scenario "resources": juliet logs in with three resources of different priorities, romeo writes to her.

#include "common.h"

#include <QCoreApplication>
#include <QXmppDiscoveryIq.h>
#include <QXmppRegisterIq.h>
#include <QXmppRegistrationManager.h>
#include <QXmppVersionIq.h>

static QString mechanismOf(const Client &client) {
    return client.wire.section("mechanism=\"", 1, 1).section('"', 0, 0);
}

// Logs in by each mechanism that both have.
static QString mechanisms(const Client &offered) {
    QStringList names;
    for (const QString name : {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}) {
        if (!offered.wire.contains("<mechanism>" + name + "<"))
            continue;
        Client client(ROMEO, "mechanism");
        Way way;
        way.mechanism = name;
        client.enter(true, way);
        must(mechanismOf(client) == name, mechanismOf(client) + " in place of " + name);
        client.leave();
        names += name;
    }
    return names.join(", ");
}

// Without the certificate the server is not trusted.
static QString untrusted() {
    Client client(ROMEO, "untrusting");
    bool isRefused = false;
    QObject::connect(&client.xmpp, &QXmppClient::sslErrors, [&] { isRefused = true; });
    Way way;
    way.hasTrust = false;
    client.connectBy(way);
    must(until([&] { return isRefused; }), "no complaint about the certificate");
    must(until([&] { return client.xmpp.state() == QXmppClient::DisconnectedState; }), "it stays connected");
    must(!client.wire.contains("<auth"), "it logs in");
    return "refused without the certificate";
}

static QString wrongPassword() {
    Client client(JULIET, "wrong");
    Way way;
    way.password = "not " + PASSWORD;
    client.connectBy(way);
    must(until([&] { return client.wire.contains("<failure"); }), "no answer");
    must(!client.xmpp.isConnected(), "the wrong password was good enough");
    must(client.wire.contains("<not-authorized"), client.wire.section("<failure", 1));
    client.leave();
    return "not-authorized";
}

// Registers an account on a stream that is not logged in, then logs in with it and removes it.
static QString registration() {
    const QString user = QString("mercutio-%1").arg(QCoreApplication::applicationPid());
    Client stranger(user + "@" + DOMAIN, "new");
    auto *manager = new QXmppRegistrationManager;
    stranger.xmpp.addExtension(manager);
    manager->setRegisterOnConnectEnabled(true);
    bool isDone = false, isOffered = false;
    QString failure;
    QObject::connect(manager, &QXmppRegistrationManager::registrationFormReceived, [&](const QXmppRegisterIq &) {
        isOffered = true;
        QXmppRegisterIq form;
        form.setUsername(user);
        form.setPassword(PASSWORD);
        manager->setRegistrationFormToSend(form);
        manager->sendCachedRegistrationForm();
    });
    QObject::connect(manager, &QXmppRegistrationManager::registrationSucceeded, [&] { isDone = true; });
    QObject::connect(manager, &QXmppRegistrationManager::registrationFailed,
                     [&](const QXmppStanza::Error &error) { failure = error.text(); });
    stranger.connectBy({});
    until([&] { return isDone || !failure.isEmpty(); });
    if (!isOffered)
        throw Skip{"not offered"};
    must(isDone, "not registered: " + failure);
    stranger.leave();

    Client client(user + "@" + DOMAIN, "new");
    client.enter();
    QString removal;
    auto *own = new QXmppRegistrationManager;
    client.xmpp.addExtension(own);
    QObject::connect(own, &QXmppRegistrationManager::accountDeleted, [&] { removal = "removed"; });
    QObject::connect(own, &QXmppRegistrationManager::accountDeletionFailed,
                     [&](const QXmppStanza::Error &error) { removal = "removal: " + error.text(); });
    own->deleteAccount();
    // Servers may end the stream before they answer.
    until([&] { return !removal.isEmpty() || !client.xmpp.isConnected(); });
    return "registered and logged in; " + (removal.isEmpty() ? "removed" : removal);
}

void resources() {
    Client five(JULIET, "five", 5), ten(JULIET, "ten", 10), minus(JULIET, "minus", -1), romeo(ROMEO, "balcony");
    const QList<Client *> receivers{&five, &ten, &minus};
    const bool isBound = check("bind", [&] {
        for (Client *client : receivers + QList<Client *>{&romeo}) {
            client->enter();
            const QString bound = client->xmpp.configuration().jid();
            must(bound == client->full(), "bound " + bound);
        }
        return "five, ten, minus";
    });
    if (!isBound)
        return;
    // One message; exactly the expected resources get it, once.
    const auto delivery = [&](const QString &to, QXmppMessage::Type type, const QString &expected) {
        const QString body = QString("%1 to %2").arg(type).arg(to);
        romeo.message(to, body, type);
        QStringList got;
        for (Client *client : receivers) {
            client->settle();
            for (const QDomElement &stanza : client->inbox)
                if (stanza.firstChildElement("body").text() == body)
                    got += client->name;
        }
        must(got.join(", ") == expected, "expected " + expected + ", delivered to " + got.join(", "));
        return expected;
    };
    check("tls", untrusted);
    check("scram", [&] {
        must(mechanismOf(five).startsWith("SCRAM-SHA-"), mechanismOf(five) + " was used");
        return mechanismOf(five);
    });
    check("mechanisms", [&] { return mechanisms(five); });
    check("chat", [&] { return delivery(JULIET, QXmppMessage::Chat, "ten"); });
    check("headline", [&] { return delivery(JULIET, QXmppMessage::Headline, "five, ten"); });
    check("full", [&] { return delivery(five.full(), QXmppMessage::Chat, "five"); });
    check("negative", [&] { return delivery(minus.full(), QXmppMessage::Chat, "minus"); });
    check("ping", [&] {
        five.settle();
        return "";
    });
    check("disco", [&] {
        QXmppDiscoveryIq request;
        request.setQueryType(QXmppDiscoveryIq::InfoQuery);
        request.setTo(DOMAIN);
        QXmppDiscoveryIq info;
        info.parse(five.ask(request));
        must(!info.identities().isEmpty() && info.identities()[0].category() == "server", "it is no server");
        return QString("%1 features").arg(info.features().size());
    });
    check("version", [&] {
        QXmppVersionIq request;
        request.setTo(DOMAIN);
        QXmppVersionIq version;
        version.parse(five.ask(request));
        return version.name() + " " + version.version();
    });
    check("unknown", [&] {
        const QString condition = five.refused(request(QXmppIq::Get, DOMAIN, "query", "urn:example:unknown"));
        must(condition == "service-unavailable", condition);
        return condition;
    });
    check("direct", [] {
        Client client(ROMEO, "direct");
        Way way;
        way.isDirect = true;
        try {
            client.enter(true, way);
        } catch (const Failure &failure) {
            if (client.wire.count("<stream:stream to=") > 1)
                throw Skip{"QXmpp sends its header twice"};
            throw;
        }
        client.leave();
        return "";
    });
    check("refuse", wrongPassword);
    check("register", registration);
    check("close", [&] {
        for (Client *client : receivers + QList<Client *>{&romeo})
            must(client->leave(), client->name + " got no closing tag in answer");
        return "";
    });
}
