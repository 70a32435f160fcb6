// The scenario "people": what romeo and juliet, whose accounts are new, see of each other. juliet has the resources five and ten,
// which have asked for the roster, and minus, which has not and takes no messages.

#include "common.h"

#include <QXmppCarbonManager.h>
#include <QXmppPingIq.h>
#include <QXmppRosterIq.h>
#include <QXmppRosterManager.h>

#include <memory>

static const QString NURSE = "nurse@" + qEnvironmentVariable("INTEROP_DOMAIN");
// Debian's QXmpp has no blocking; later ones have.
static const Skip NO_BLOCKING{"not in this QXmpp"};

// Tests of stanzas.

static Test presence(const QString &from, const QString &type = {}) {
    return [=](const QDomElement &stanza) {
        return stanza.tagName() == "presence" && stanza.attribute("type") == type && stanza.attribute("from") == from;
    };
}

static bool isPush(const QDomElement &stanza) {
    return stanza.tagName() == "iq" && stanza.attribute("type") == "set" &&
           stanza.firstChildElement("query").namespaceURI() == "jabber:iq:roster";
}

static QXmppRosterIq::Item itemOf(const QDomElement &stanza) {
    QXmppRosterIq roster;
    roster.parse(stanza);
    return roster.items().value(0);
}

static Test push(const QString &contact, QXmppRosterIq::Item::SubscriptionType subscription,
                 const std::function<bool(const QXmppRosterIq::Item &)> &more = {}) {
    return [=](const QDomElement &stanza) {
        const auto item = itemOf(stanza);
        return isPush(stanza) && item.bareJid() == contact && item.subscriptionType() == subscription && (!more || more(item));
    };
}

static QString bodyOf(const QDomElement &message) { return message.firstChildElement("body").text(); }

static bool isMessage(const QDomElement &stanza) { return stanza.tagName() == "message"; }

static Test message(const QString &body) {
    return [=](const QDomElement &stanza) { return isMessage(stanza) && bodyOf(stanza) == body; };
}

static QDomElement copied(const QDomElement &stanza, const QString &direction) {
    return stanza.firstChildElement(direction).firstChildElement("forwarded").firstChildElement("message");
}

static bool isCarbon(const QDomElement &stanza) {
    return !copied(stanza, "sent").isNull() || !copied(stanza, "received").isNull();
}

static Test carbon(const QString &direction, const QString &body) {
    return [=](const QDomElement &stanza) {
        return stanza.attribute("from") == JULIET && bodyOf(copied(stanza, direction)) == body;
    };
}

using Item = QXmppRosterIq::Item;

class People {
public:
    QString login();
    QString directed();
    QString roster();
    QString versions();
    QString removal();
    QString ask();
    QString approval();
    QString preapproval();
    QString presence();
    QString probe();
    QString lost();
    QString offline();
    QString carbons();
    QString secret();
    QString disable();
    QString cancel();
    QString forget();
    QString end();

private:
    using Person = std::unique_ptr<Client>;
    Person five, ten, minus, romeo;
    // The one in the last push that was looked at.
    QString version;

    static Person enter(const QString &account, const QString &resource, int priority = 0, bool withRoster = true) {
        Person client(new Client(account, resource, priority));
        client->xmpp.addExtension(new QXmppCarbonManager);
        client->enter(withRoster);
        return client;
    }

    static QXmppRosterManager *rosterOf(const Person &client) { return client->xmpp.findExtension<QXmppRosterManager>(); }

    // Says goodbye and closes the stream, as the library does it.
    static void exit(const Person &client) { client->leave(); }

    static void sendSecret(const Person &client, const QString &to, const QString &body) {
        QXmppMessage message({}, to, body);
        message.setPrivate(true);
        message.addHint(QXmppMessage::NoCopy);
        client->xmpp.sendPacket(message);
        client->settle();
    }
};

QString People::login() {
    five = enter(JULIET, "five", 5);
    ten = enter(JULIET, "ten", 10);
    minus = enter(JULIET, "minus", -1, false);
    romeo = enter(ROMEO, "balcony");
    must(rosterOf(five)->getRosterBareJids().isEmpty(), "there are contacts");
    ten->gets("presence of five", ::presence(five->full()));
    five->gets("presence of ten", ::presence(ten->full()));
    return "the roster is empty";
}

QString People::directed() {
    five->presence(QXmppPresence::Available, romeo->full());
    romeo->gets("directed presence", ::presence(five->full()));
    five->presence(QXmppPresence::Unavailable);
    romeo->gets("unavailable presence", ::presence(five->full(), "unavailable"));
    five->available();
    romeo->getsNo("presence", ::presence(five->full()));
    return "";
}

QString People::roster() {
    rosterOf(five)->addItem(NURSE, "Nurse", {"Capulets"});
    for (const Person *client : {&five, &ten}) {
        const QDomElement pushed = (*client)->gets("push", push(NURSE, Item::None, [](const Item &item) {
            return item.name() == "Nurse" && item.groups() == QSet<QString>{"Capulets"};
        }));
        version = pushed.firstChildElement("query").attribute("ver");
        must(rosterOf(*client)->getRosterEntry(NURSE).name() == "Nurse", "the library does not know the contact");
    }
    minus->getsNo("push", isPush);
    return "pushed to five, ten";
}

QString People::versions() {
    if (!five->wire.contains("urn:xmpp:features:rosterver"))
        throw Skip{"not offered"};
    const auto fetch = [this](const QString &version) {
        QXmppRosterIq request;
        request.setType(QXmppIq::Get);
        request.setVersion(version);
        return five->ask(request).firstChildElement("query");
    };
    const QString old = version;
    must(!old.isEmpty(), "no version in the push");
    must(!fetch(old).hasChildNodes(), "what was known was sent again");
    rosterOf(five)->renameItem(NURSE, "Angelica");
    const Test isNew = push(NURSE, Item::None, [](const Item &item) { return item.name() == "Angelica"; });
    const QDomElement pushed = five->gets("push", isNew);
    must(pushed.firstChildElement("query").attribute("ver") != old, "the version stays");
    if (fetch(old).hasChildNodes())
        return "the whole roster";
    five->gets("push in place of the roster", isNew);
    return "pushes";
}

QString People::removal() {
    rosterOf(five)->removeItem(NURSE);
    for (const Person *client : {&five, &ten})
        (*client)->gets("push", push(NURSE, Item::Remove));
    QXmppRosterIq again;
    again.setType(QXmppIq::Set);
    Item item;
    item.setBareJid(NURSE);
    item.setSubscriptionType(Item::Remove);
    again.addItem(item);
    const QString condition = five->refused(again);
    must(condition == "item-not-found", "the second time " + (condition.isEmpty() ? "a result" : condition));
    return "the second time " + condition;
}

QString People::ask() {
    rosterOf(romeo)->subscribe(JULIET);
    romeo->gets("push", push(JULIET, Item::None, [](const Item &item) { return item.subscriptionStatus() == "subscribe"; }));
    for (const Person *client : {&five, &ten})
        (*client)->gets("request", ::presence(ROMEO, "subscribe"));
    const Person late = enter(JULIET, "late");
    late->gets("request that waits", ::presence(ROMEO, "subscribe"));
    exit(late);
    return "five, ten; again at the next login";
}

QString People::approval() {
    rosterOf(ten)->acceptSubscription(ROMEO);
    romeo->gets("approval", ::presence(JULIET, "subscribed"));
    romeo->gets("push", push(JULIET, Item::To, [](const Item &item) { return item.subscriptionStatus().isEmpty(); }));
    for (const Person *client : {&five, &ten}) {
        (*client)->gets("push", push(ROMEO, Item::From));
        romeo->gets("presence of " + (*client)->name, ::presence((*client)->full()));
    }
    return "";
}

QString People::preapproval() {
    const bool isOffered = romeo->wire.contains("urn:xmpp:features:pre-approval");
    if (isOffered) {
        romeo->presence(QXmppPresence::Subscribed, JULIET);
        romeo->settle();
    }
    rosterOf(five)->subscribe(ROMEO);
    if (!isOffered) {
        romeo->gets("request", ::presence(JULIET, "subscribe"));
        romeo->presence(QXmppPresence::Subscribed, JULIET);
    }
    five->gets("approval", ::presence(ROMEO, "subscribed"));
    five->gets("push", push(ROMEO, Item::Both));
    romeo->gets("push", push(JULIET, Item::Both));
    five->gets("presence", ::presence(romeo->full()));
    if (!isOffered)
        throw Skip{"not offered"};
    romeo->getsNo("request", ::presence(JULIET, "subscribe"));
    romeo->gets("push with approved", [](const QDomElement &stanza) {
        const QDomElement item = stanza.firstChildElement("query").firstChildElement("item");
        return push(JULIET, Item::To)(stanza) && item.attribute("approved") == "true";
    });
    return "";
}

QString People::presence() {
    QXmppPresence away;
    away.setAvailableStatusType(QXmppPresence::Away);
    away.setStatusText("asleep");
    away.setPriority(5);
    five->xmpp.setClientPresence(away);
    for (const Person *client : {&romeo, &ten, &minus}) {
        const auto isAway = [this](const QDomElement &stanza) {
            return ::presence(five->full())(stanza) && stanza.firstChildElement("show").text() == "away";
        };
        const QDomElement seen = (*client)->gets("presence", isAway);
        must(seen.firstChildElement("status").text() == "asleep", "no status");
    }
    return "romeo and her own resources";
}

QString People::probe() {
    exit(romeo);
    five->gets("unavailable presence", ::presence(romeo->full(), "unavailable"));
    romeo = enter(ROMEO, "garden");
    const QDomElement seen = romeo->gets("presence of five", ::presence(five->full()));
    must(seen.firstChildElement("show").text() == "away", "five is not away");
    romeo->gets("presence of ten", ::presence(ten->full()));
    romeo->gets("presence of minus", ::presence(minus->full()));
    five->gets("presence", ::presence(romeo->full()));
    return "five is away, ten, minus";
}

QString People::lost() {
    ten->lose();
    romeo->gets("unavailable presence", ::presence(ten->full(), "unavailable"));
    five->gets("unavailable presence", ::presence(ten->full(), "unavailable"));
    ten = enter(JULIET, "ten", 10);
    romeo->gets("presence", ::presence(ten->full()));
    return "";
}

QString People::offline() {
    for (const Person *client : {&five, &ten, &minus}) {
        exit(*client);
        romeo->gets("unavailable", ::presence((*client)->full(), "unavailable"));
    }
    romeo->message(JULIET, "one");
    romeo->message(JULIET, "news", QXmppMessage::Headline);
    romeo->message(JULIET, "two");
    romeo->message(JULIET, "three", QXmppMessage::Normal);
    minus = enter(JULIET, "minus", -1, false);
    minus->getsNo("message", isMessage);
    five = enter(JULIET, "five", 5);
    const QDomElement third = five->gets("third message", message("three"));
    QStringList got;
    for (const QDomElement &stanza : five->inbox) {
        if (!isMessage(stanza))
            continue;
        got += bodyOf(stanza);
        must(stanza.attribute("from") == romeo->full(), "from " + stanza.attribute("from"));
        const QString by = stanza.firstChildElement("delay").attribute("from");
        must(by == DOMAIN || by == JULIET, "delayed by " + by);
    }
    must(got == QStringList{"one", "two"}, "before the third came " + got.join(", "));
    QXmppMessage parsed;
    parsed.parse(third);
    must(parsed.stamp().isValid(), "the library sees no time");
    ten = enter(JULIET, "ten", 10);
    ten->getsNo("message", isMessage);
    return "in order, once, not to priority -1";
}

QString People::carbons() {
    ten->xmpp.findExtension<QXmppCarbonManager>()->setCarbonsEnabled(true);
    ten->settle();
    five->message(ROMEO, "to romeo");
    romeo->gets("message", message("to romeo"));
    QDomElement copy = ten->gets("copy", carbon("sent", "to romeo"));
    must(copied(copy, "sent").attribute("from") == five->full(), "not sent by five");
    romeo->message(five->full(), "to five");
    five->gets("message", message("to five"));
    copy = ten->gets("copy", carbon("received", "to five"));
    must(copied(copy, "received").attribute("to") == five->full(), "not for five");
    five->getsNo("copy", isCarbon);
    return "sent, received";
}

QString People::secret() {
    sendSecret(five, ROMEO, "in secret");
    romeo->gets("message", message("in secret"));
    sendSecret(romeo, five->full(), "in secret, too");
    five->gets("message", message("in secret, too"));
    ten->getsNo("copy", isCarbon);
    return "";
}

QString People::disable() {
    ten->xmpp.findExtension<QXmppCarbonManager>()->setCarbonsEnabled(false);
    ten->settle();
    five->message(ROMEO, "no copies");
    romeo->gets("message", message("no copies"));
    ten->getsNo("copy", isCarbon);
    return "";
}

QString People::cancel() {
    romeo->settle();
    romeo->inbox.clear();
    rosterOf(five)->refuseSubscription(ROMEO);
    romeo->gets("cancellation", ::presence(JULIET, "unsubscribed"));
    romeo->gets("push", push(JULIET, Item::From));
    for (const Person *client : {&five, &ten}) {
        (*client)->gets("push", push(ROMEO, Item::To));
        romeo->gets("unavailable", ::presence((*client)->full(), "unavailable"));
    }
    return "";
}

QString People::forget() {
    rosterOf(romeo)->removeItem(JULIET);
    romeo->gets("push", push(JULIET, Item::Remove));
    five->gets("cancellation", ::presence(ROMEO, "unsubscribed"));
    five->gets("push", push(ROMEO, Item::None));
    five->gets("unavailable", ::presence(romeo->full(), "unavailable"));
    return "";
}

QString People::end() {
    for (const Person *client : {&five, &ten, &minus, &romeo})
        must((*client)->leave(), (*client)->name + " got no closing tag in answer");
    return "";
}

void people() {
    People people;
    const auto step = [&](const char *name, QString (People::*action)()) {
        return check(name, [&] { return (people.*action)(); });
    };
    if (!step("login", &People::login))
        return;
    step("directed", &People::directed);
    step("roster", &People::roster);
    step("versions", &People::versions);
    step("removal", &People::removal);
    step("ask", &People::ask);
    step("approval", &People::approval);
    step("preapproval", &People::preapproval);
    step("presence", &People::presence);
    step("probe", &People::probe);
    step("lost", &People::lost);
    step("offline", &People::offline);
    for (const char *name : {"block", "blocked", "unblock"})
        check(name, []() -> QString { throw NO_BLOCKING; });
    step("carbons", &People::carbons);
    step("private", &People::secret);
    step("disable", &People::disable);
    step("cancel", &People::cancel);
    step("forget", &People::forget);
    step("end", &People::end);
}
