// The scenario "people" of `cargo xtask interop`, spoken by Smack: what romeo and juliet, whose accounts are new, see of each
// other. juliet has the resources five and ten, which have asked for the roster, and minus, which has not and takes no messages.

import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import org.jivesoftware.smack.packet.IQ;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.packet.Stanza;
import org.jivesoftware.smack.packet.StanzaError;
import org.jivesoftware.smack.roster.Roster;
import org.jivesoftware.smack.roster.RosterEntry;
import org.jivesoftware.smack.roster.packet.RosterPacket;
import org.jivesoftware.smack.roster.packet.RosterPacket.ItemType;
import org.jivesoftware.smackx.blocking.BlockingCommandManager;
import org.jivesoftware.smackx.blocking.element.BlockContactsIQ;
import org.jivesoftware.smackx.blocking.element.BlockedErrorExtension;
import org.jivesoftware.smackx.blocking.element.UnblockContactsIQ;
import org.jivesoftware.smackx.carbons.CarbonManager;
import org.jivesoftware.smackx.carbons.packet.CarbonExtension;
import org.jivesoftware.smackx.carbons.packet.CarbonExtension.Direction;
import org.jivesoftware.smackx.delay.packet.DelayInformation;
import org.jivesoftware.smackx.hints.element.NoCopyHint;
import org.jivesoftware.smackx.ping.packet.Ping;
import org.jxmpp.jid.BareJid;
import org.jxmpp.jid.Jid;

final class People {
    private static final String ROMEO = Common.ROMEO;
    private static final String JULIET = Common.JULIET;
    private static final String NURSE = "nurse@" + Common.DOMAIN;

    private Common.Client five;
    private Common.Client ten;
    private Common.Client minus;
    private Common.Client romeo;

    void run() {
        if (!Common.check("login", this::login)) return;
        Common.check("directed", this::directed);
        Common.check("roster", this::roster);
        Common.check("versions", this::versions);
        Common.check("removal", this::removal);
        Common.check("ask", this::ask);
        Common.check("approval", this::approval);
        Common.check("preapproval", this::preapproval);
        Common.check("presence", this::presence);
        Common.check("probe", this::probe);
        Common.check("lost", this::lost);
        Common.check("offline", this::offline);
        Common.check("block", this::block);
        Common.check("blocked", this::blocked);
        Common.check("unblock", this::unblock);
        Common.check("carbons", this::carbons);
        Common.check("private", this::privately);
        Common.check("disable", this::disable);
        Common.check("cancel", this::cancel);
        Common.check("forget", this::forget);
        Common.check("end", this::end);
    }

    private static Common.Client enter(String account, String resource, int priority) throws Exception {
        return new Common.Client(account, resource, priority).enter(true);
    }

    private static Roster rosterOf(Common.Client client) {
        return Roster.getInstanceFor(client.connection);
    }

    private static BareJid bare(String jid) {
        return Common.jid(jid).asBareJid();
    }

    /** What the library knows of a contact; it learns that from the push, in a thread of its own. */
    private static RosterEntry entry(Common.Client client, String jid) throws Exception {
        RosterEntry entry = null;
        for (int tries = 0; entry == null && tries < 50; tries++) {
            entry = rosterOf(client).getEntry(bare(jid));
            Thread.sleep(entry == null ? 100 : 0);
        }
        Common.must(entry != null, client.name + " has no contact " + jid);
        return entry;
    }

    private List<Common.Client> interested() {
        return List.of(five, ten);
    }

    private static String name(Common.Client client) {
        return JULIET + "/" + client.resource;
    }

    // Tests of stanzas.

    private static Predicate<Stanza> presence(String from, Presence.Type type) {
        return stanza ->
            stanza instanceof Presence presence && presence.getType() == type && Common.jid(from).equals(stanza.getFrom());
    }

    private static Predicate<Stanza> presence(String from) {
        return presence(from, Presence.Type.available);
    }

    private static Predicate<Stanza> push(Predicate<RosterPacket.Item> test) {
        return stanza ->
            stanza instanceof RosterPacket roster
                && roster.getType() == IQ.Type.set
                && roster.getRosterItems().stream().anyMatch(test);
    }

    private static Predicate<Stanza> push(String jid, ItemType subscription, Predicate<RosterPacket.Item> test) {
        return push(item -> item.getJid().equals(bare(jid)) && item.getItemType() == subscription && test.test(item));
    }

    private static Predicate<Stanza> push(String jid, ItemType subscription) {
        return push(jid, subscription, item -> true);
    }

    private static Predicate<Stanza> message(String body, Message.Type type) {
        return stanza ->
            stanza instanceof Message message && message.getType() == type && body.equals(message.getBody());
    }

    private static Predicate<Stanza> message(String body) {
        return message(body, Message.Type.chat);
    }

    private static boolean isCarbon(Stanza stanza) {
        return stanza instanceof Message message && CarbonExtension.from(message) != null;
    }

    private static Message copied(Stanza carbon) {
        return CarbonExtension.from((Message) carbon).getForwarded().getForwardedStanza();
    }

    private static Predicate<Stanza> carbon(Direction direction, String body) {
        return stanza ->
            isCarbon(stanza)
                && Common.jid(JULIET).equals(stanza.getFrom())
                && CarbonExtension.from((Message) stanza).getDirection() == direction
                && body.equals(copied(stanza).getBody());
    }

    // The checks.

    private String login() throws Exception {
        five = enter(JULIET, "five", 5);
        ten = enter(JULIET, "ten", 10);
        minus = new Common.Client(JULIET, "minus", -1).enter(false);
        romeo = enter(ROMEO, "balcony", 0);
        Common.must(rosterOf(five).getEntries().isEmpty(), "there are contacts");
        ten.gets("presence of five", presence(name(five)));
        five.gets("presence of ten", presence(name(ten)));
        return "the roster is empty";
    }

    private String directed() throws Exception {
        five.send(Presence.Type.available, ROMEO + "/balcony");
        romeo.gets("directed presence", presence(name(five)));
        five.send(Presence.Type.unavailable, null);
        romeo.gets("unavailable presence", presence(name(five), Presence.Type.unavailable));
        five.available();
        romeo.getsNo("presence", presence(name(five)));
        return "";
    }

    private String roster() throws Exception {
        rosterOf(five).createItem(bare(NURSE), "Nurse", new String[] {"Capulets"});
        for (var client : interested())
            client.gets("push", push(NURSE, ItemType.none, item ->
                "Nurse".equals(item.getName()) && item.getGroupNames().equals(Set.of("Capulets"))));
        minus.getsNo("push", push(item -> true));
        return "pushed to five, ten";
    }

    private RosterPacket known(String version) throws Exception {
        var request = new RosterPacket();
        request.setVersion(version);
        IQ result = five.connection.sendIqRequestAndWaitForResponse(request);
        return result instanceof RosterPacket roster ? roster : null;
    }

    private String versions() throws Exception {
        if (!rosterOf(five).isRosterVersioningSupported()) throw new Common.Skip("not offered");
        String old = known("").getVersion();
        Common.must(old != null, "no version in the roster");
        Common.must(known(old) == null, "what was known was sent again");
        entry(five, NURSE).setName("Angelica");
        Predicate<Stanza> isPush = push(NURSE, ItemType.none, item -> "Angelica".equals(item.getName()));
        var push = (RosterPacket) five.gets("push", isPush);
        Common.must(!push.getVersion().equals(old), "the version stays");
        if (known(old) != null) return "the whole roster";
        five.gets("push in place of the roster", isPush);
        return "pushes";
    }

    private String removal() throws Exception {
        rosterOf(five).removeEntry(entry(five, NURSE));
        for (var client : interested()) client.gets("push", push(NURSE, ItemType.remove));
        var again = new RosterPacket();
        again.setType(IQ.Type.set);
        var item = new RosterPacket.Item(bare(NURSE), null);
        item.setItemType(ItemType.remove);
        again.addRosterItem(item);
        var condition = Common.refused(() -> five.connection.sendIqRequestAndWaitForResponse(again));
        Common.must(condition == StanzaError.Condition.item_not_found, "the second time " + (condition == null ? "a result" : condition));
        return "the second time " + condition;
    }

    private String ask() throws Exception {
        rosterOf(romeo).sendSubscriptionRequest(bare(JULIET));
        romeo.gets("push", push(JULIET, ItemType.none, RosterPacket.Item::isSubscriptionPending));
        for (var client : interested()) client.gets("request", presence(ROMEO, Presence.Type.subscribe));
        var late = enter(JULIET, "late", 0);
        late.gets("request that waits", presence(ROMEO, Presence.Type.subscribe));
        late.exit();
        return "five, ten; again at the next login";
    }

    private String approval() throws Exception {
        ten.send(Presence.Type.subscribed, ROMEO);
        romeo.gets("approval", presence(JULIET, Presence.Type.subscribed));
        romeo.gets("push", push(JULIET, ItemType.to, item -> !item.isSubscriptionPending()));
        for (var client : interested()) {
            client.gets("push", push(ROMEO, ItemType.from));
            romeo.gets("presence of " + client.resource, presence(name(client)));
        }
        return "";
    }

    private String preapproval() throws Exception {
        boolean isOffered = rosterOf(romeo).isSubscriptionPreApprovalSupported();
        if (isOffered) {
            rosterOf(romeo).preApprove(bare(JULIET));
            romeo.settle();
        }
        rosterOf(five).sendSubscriptionRequest(bare(ROMEO));
        if (!isOffered) {
            romeo.gets("request", presence(JULIET, Presence.Type.subscribe));
            romeo.send(Presence.Type.subscribed, JULIET);
        }
        five.gets("approval", presence(ROMEO, Presence.Type.subscribed));
        five.gets("push", push(ROMEO, ItemType.both));
        romeo.gets("push", push(JULIET, ItemType.both));
        five.gets("presence", presence(ROMEO + "/balcony"));
        if (!isOffered) throw new Common.Skip("not offered");
        romeo.getsNo("request", presence(JULIET, Presence.Type.subscribe));
        romeo.gets("push with approved", push(JULIET, ItemType.to, RosterPacket.Item::isApproved));
        return "";
    }

    private String presence() throws Exception {
        var away = five.connection.getStanzaFactory().buildPresenceStanza().setMode(Presence.Mode.away);
        five.connection.sendStanza(away.setStatus("asleep").setPriority(5).build());
        for (var client : List.of(romeo, ten, minus))
            client.gets("presence", presence(name(five)).and(stanza ->
                ((Presence) stanza).getMode() == Presence.Mode.away && "asleep".equals(((Presence) stanza).getStatus())));
        return "romeo and her own resources";
    }

    private String probe() throws Exception {
        romeo.exit();
        five.gets("unavailable presence", presence(ROMEO + "/balcony", Presence.Type.unavailable));
        romeo = enter(ROMEO, "garden", 0);
        romeo.gets("presence of five", presence(name(five)).and(stanza -> ((Presence) stanza).getMode() == Presence.Mode.away));
        romeo.gets("presence of ten", presence(name(ten)));
        romeo.gets("presence of minus", presence(name(minus)));
        five.gets("presence", presence(ROMEO + "/garden"));
        return "five is away, ten, minus";
    }

    private String lost() throws Exception {
        ten.connection.instantShutdown();
        for (var client : List.of(romeo, five))
            client.gets("unavailable presence", presence(name(ten), Presence.Type.unavailable));
        ten = enter(JULIET, "ten", 10);
        romeo.gets("presence", presence(name(ten)));
        return "";
    }

    private String offline() throws Exception {
        for (var client : List.of(five, ten, minus)) {
            client.exit();
            romeo.gets("unavailable", presence(name(client), Presence.Type.unavailable));
        }
        romeo.message(JULIET, "one");
        romeo.message(JULIET, "news", Message.Type.headline);
        romeo.message(JULIET, "two");
        romeo.message(JULIET, "three", Message.Type.normal);
        Predicate<Stanza> isMessage = stanza -> stanza instanceof Message;
        minus = new Common.Client(JULIET, "minus", -1).enter(false);
        minus.getsNo("message", isMessage);
        five = enter(JULIET, "five", 5);
        five.gets("third message", message("three", Message.Type.normal));
        var got = five.inbox.stream().filter(isMessage).map(stanza -> ((Message) stanza).getBody()).toList();
        Common.must(got.equals(List.of("one", "two")), "before the third came " + got);
        for (Stanza stanza : five.inbox.stream().filter(isMessage).toList()) {
            var delay = DelayInformation.from((Message) stanza);
            Common.must(delay != null && Common.jid(ROMEO + "/garden").equals(stanza.getFrom()), "from " + stanza.getFrom());
            Common.must(Set.of(Common.DOMAIN, JULIET).contains(delay.getFrom()), "delayed by " + delay.getFrom());
        }
        ten = enter(JULIET, "ten", 10);
        ten.getsNo("message", isMessage);
        return "in order, once, not to priority -1";
    }

    private static List<Jid> blocklist(Common.Client client) throws Exception {
        return BlockingCommandManager.getInstanceFor(client.connection).getBlockList();
    }

    private String block() throws Exception {
        List<Jid> him = List.of(Common.jid(ROMEO));
        for (var client : interested()) Common.must(blocklist(client).isEmpty(), "somebody is blocked");
        romeo.rest().clear();
        BlockingCommandManager.getInstanceFor(five.connection).blockContacts(him);
        for (var client : interested()) {
            client.gets("push", stanza -> stanza instanceof BlockContactsIQ push && push.getJids().equals(him));
            romeo.gets("unavailable", presence(name(client), Presence.Type.unavailable));
        }
        Common.must(blocklist(ten).equals(him), "ten's list is " + blocklist(ten));
        five.message(ROMEO, "from the one who blocks");
        var error = (Message) five.gets("error", stanza -> stanza instanceof Message message && message.getType() == Message.Type.error);
        Common.must(error.getError().getCondition() == StanzaError.Condition.not_acceptable, error.getError().toString());
        Common.must(BlockedErrorExtension.isInside(error), "no <blocked/>");
        return "";
    }

    private String blocked() throws Exception {
        var ping = new Ping(Common.jid(name(five)));
        var condition = Common.refused(() -> romeo.connection.sendIqRequestAndWaitForResponse(ping));
        Common.must(condition == StanzaError.Condition.service_unavailable, "a ping: " + condition);
        Predicate<Stanza> heard = stanza ->
            !(stanza instanceof IQ) && stanza.getError() == null && stanza.getFrom().isParentOf(Common.jid(ROMEO));
        five.rest().removeIf(heard);
        romeo.message(JULIET, "can you hear me?");
        romeo.available();
        five.getsNo("stanza of his", heard);
        var errors = romeo.rest().stream()
            .filter(stanza -> stanza instanceof Message)
            .map(stanza -> stanza.getError().getCondition().toString())
            .toList();
        Common.must(errors.isEmpty() || errors.equals(List.of("service-unavailable")), errors.toString());
        return "a request: " + condition + "; a message: " + (errors.isEmpty() ? "silence" : errors.get(0));
    }

    private String unblock() throws Exception {
        List<Jid> him = List.of(Common.jid(ROMEO));
        BlockingCommandManager.getInstanceFor(five.connection).unblockContacts(him);
        for (var client : interested()) {
            client.gets("push", stanza -> stanza instanceof UnblockContactsIQ push && him.equals(push.getJids()));
            romeo.gets("presence of " + client.resource, presence(name(client)));
        }
        Common.must(blocklist(five).isEmpty(), "somebody is blocked");
        romeo.message(name(five), "and now?");
        five.gets("message", message("and now?"));
        return "presence and messages are back";
    }

    private String carbons() throws Exception {
        CarbonManager.getInstanceFor(ten.connection).enableCarbons();
        five.message(ROMEO, "to romeo");
        romeo.gets("message", message("to romeo"));
        var copy = ten.gets("copy", carbon(Direction.sent, "to romeo"));
        Common.must(copied(copy).getFrom().equals(Common.jid(name(five))), "sent by " + copied(copy).getFrom());
        romeo.message(name(five), "to five");
        five.gets("message", message("to five"));
        copy = ten.gets("copy", carbon(Direction.received, "to five"));
        Common.must(copied(copy).getTo().equals(Common.jid(name(five))), "for " + copied(copy).getTo());
        five.getsNo("copy", People::isCarbon);
        return "sent, received";
    }

    private static void secret(Common.Client from, String to, String body) throws Exception {
        var message = from.connection.getStanzaFactory().buildMessageStanza().to(to).ofType(Message.Type.chat).setBody(body);
        CarbonExtension.Private.addTo(message);
        from.connection.sendStanza(message.addExtension(NoCopyHint.INSTANCE).build());
        from.settle();
    }

    private String privately() throws Exception {
        secret(five, ROMEO, "in secret");
        romeo.gets("message", message("in secret"));
        secret(romeo, name(five), "in secret, too");
        five.gets("message", message("in secret, too"));
        ten.getsNo("copy", People::isCarbon);
        return "";
    }

    private String disable() throws Exception {
        CarbonManager.getInstanceFor(ten.connection).disableCarbons();
        five.message(ROMEO, "no copies");
        romeo.gets("message", message("no copies"));
        ten.getsNo("copy", People::isCarbon);
        return "";
    }

    private String cancel() throws Exception {
        romeo.rest().clear();
        five.send(Presence.Type.unsubscribed, ROMEO);
        romeo.gets("cancellation", presence(JULIET, Presence.Type.unsubscribed));
        romeo.gets("push", push(JULIET, ItemType.from));
        for (var client : interested()) {
            client.gets("push", push(ROMEO, ItemType.to));
            romeo.gets("unavailable", presence(name(client), Presence.Type.unavailable));
        }
        return "";
    }

    private String forget() throws Exception {
        rosterOf(romeo).removeEntry(entry(romeo, JULIET));
        romeo.gets("push", push(JULIET, ItemType.remove));
        five.gets("cancellation", presence(ROMEO, Presence.Type.unsubscribed));
        five.gets("push", push(ROMEO, ItemType.none));
        five.gets("unavailable", presence(ROMEO + "/garden", Presence.Type.unavailable));
        return "";
    }

    private String end() {
        for (var client : List.of(five, ten, minus, romeo))
            Common.must(client.leave(), client.name + " got no closing tag in answer");
        return "";
    }
}
