// The scenario "resources" of `cargo xtask interop`, spoken by Smack: juliet logs in with three resources of different
// priorities, romeo writes to her.

import static java.util.stream.Collectors.joining;

import java.util.ArrayList;
import java.util.List;
import org.jivesoftware.smack.SASLAuthentication;
import org.jivesoftware.smack.packet.IQ;
import org.jivesoftware.smack.packet.Mechanisms;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.SimpleIQ;
import org.jivesoftware.smack.packet.StanzaError;
import org.jivesoftware.smack.sasl.SASLErrorException;
import org.jivesoftware.smackx.disco.ServiceDiscoveryManager;
import org.jivesoftware.smackx.iqregister.AccountManager;
import org.jivesoftware.smackx.iqversion.VersionManager;
import org.jxmpp.jid.impl.JidCreate;
import org.jxmpp.jid.parts.Localpart;

final class Resources {
    private static Common.Client five;
    private static Common.Client ten;
    private static Common.Client minus;
    private static Common.Client romeo;

    static void run() {
        boolean isBound = Common.check("bind", () -> {
            five = new Common.Client(Common.JULIET, "five", 5).open();
            ten = new Common.Client(Common.JULIET, "ten", 10).open();
            minus = new Common.Client(Common.JULIET, "minus", -1).open();
            romeo = new Common.Client(Common.ROMEO, "balcony", 0).open();
            return receivers().stream().map(client -> client.connection.getUser().getResourcepart()).collect(joining(", "));
        });
        if (!isBound) return;
        Common.check("tls", Resources::untrusted);
        Common.check("scram", () -> {
            String mechanism = five.connection.getUsedSaslMechansism();
            Common.must(mechanism.startsWith("SCRAM-SHA-"), mechanism + " was used");
            return mechanism;
        });
        Common.check("mechanisms", Resources::mechanisms);
        Common.check("chat", () -> {
            for (Common.Client receiver : receivers()) receiver.available();
            return delivery(Common.JULIET, Message.Type.chat, "ten");
        });
        Common.check("headline", () -> delivery(Common.JULIET, Message.Type.headline, "five, ten"));
        Common.check("full", () -> delivery(Common.JULIET + "/five", Message.Type.chat, "five"));
        Common.check("negative", () -> delivery(Common.JULIET + "/minus", Message.Type.chat, "minus"));
        Common.check("ping", () -> {
            five.settle();
            return "";
        });
        Common.check("disco", () -> {
            var info = ServiceDiscoveryManager.getInstanceFor(five.connection).discoverInfo(Common.jid(Common.DOMAIN));
            Common.must(!info.getIdentities("server", "im").isEmpty(), "it is no server");
            return info.getFeatures().size() + " features";
        });
        Common.check("version", () -> {
            var version = VersionManager.getInstanceFor(five.connection).getVersion(Common.jid(Common.DOMAIN));
            return version.getName() + " " + version.getVersion();
        });
        Common.check("unknown", () -> {
            var condition = Common.refused(() -> five.connection.sendIqRequestAndWaitForResponse(new Unknown()));
            Common.must(condition == StanzaError.Condition.service_unavailable, condition + "");
            return condition.toString();
        });
        Common.check("direct", () -> {
            throw new Common.Skip("not in Smack");
        });
        Common.check("refuse", Resources::wrongPassword);
        Common.check("register", Resources::register);
        Common.check("close", () -> {
            for (Common.Client client : List.of(five, ten, minus, romeo))
                Common.must(client.leave(), client.name + " got no closing tag in answer");
            return "";
        });
    }

    private static List<Common.Client> receivers() {
        return List.of(five, ten, minus);
    }

    /** Without the certificate the server is not trusted. */
    private static String untrusted() throws Exception {
        Common.must(five.connection.isSecureConnection(), "the stream is not encrypted");
        var builder = Common.configuration(Common.ROMEO, "untrusting", Common.PASSWORD).setCustomX509TrustManager(null);
        var client = new Common.Client(Common.ROMEO, "untrusting", 0, builder);
        try {
            client.open();
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause())
                if (cause.toString().contains("certification path")) return "refused without the certificate";
            throw error;
        }
        client.leave();
        throw new AssertionError("the certificate is not verified");
    }

    /** Logs in by each mechanism that both know. */
    private static String mechanisms() throws Exception {
        var known = SASLAuthentication.getRegisterdSASLMechanisms().values();
        var stranger = new Common.Client(Common.ROMEO, "mechanisms", 0);
        stranger.connection.connect();
        List<String> names = new ArrayList<>(stranger.connection.getFeature(Mechanisms.class).getMechanisms());
        stranger.leave();
        // On TLS 1.3 it has no binding for -PLUS.
        names.removeAll(SASLAuthentication.getBlacklistedSASLMechanisms());
        // The library describes them as `SASL Mech: PLAIN, Prio: 400`.
        names.removeIf(name -> known.stream().noneMatch(text -> text.contains(" " + name + ",")));
        for (String name : names) {
            var builder = Common.configuration(Common.ROMEO, "mechanism", Common.PASSWORD).addEnabledSaslMechanism(name);
            var client = new Common.Client(Common.ROMEO, "mechanism", 0, builder).open();
            Common.must(client.connection.getUsedSaslMechansism().equals(name), "not " + name);
            client.leave();
        }
        return String.join(", ", names);
    }

    /** One message; exactly the expected resources get it, once. */
    private static String delivery(String to, Message.Type type, String expected) throws Exception {
        String body = type + " to " + to;
        romeo.message(to, body, type);
        List<String> got = new ArrayList<>();
        for (Common.Client receiver : receivers())
            for (var stanza : receiver.rest())
                if (stanza instanceof Message message && body.equals(message.getBody())) got.add(receiver.name);
        Common.must(String.join(", ", got).equals(expected), "expected " + expected + ", delivered to " + got);
        return expected;
    }

    private static final class Unknown extends SimpleIQ {
        Unknown() {
            super("query", "urn:example:unknown");
            setType(IQ.Type.get);
            setTo(Common.jid(Common.DOMAIN));
        }
    }

    private static String wrongPassword() throws Exception {
        var builder = Common.configuration(Common.JULIET, "wrong", "not " + Common.PASSWORD);
        var client = new Common.Client(Common.JULIET, "wrong", 0, builder);
        try {
            client.open();
        } catch (SASLErrorException error) {
            return error.getSASLFailure().getSASLError().toString().replace('_', '-');
        } finally {
            client.leave();
        }
        throw new AssertionError("the wrong password was good enough");
    }

    /** Registers an account on a stream that is not logged in, then logs in with it and removes it. */
    private static String register() throws Exception {
        String user = "mercutio-" + ProcessHandle.current().pid();
        String account = user + "@" + Common.DOMAIN;
        var stranger = new Common.Client(account, "new", 0);
        stranger.connection.connect();
        var manager = AccountManager.getInstance(stranger.connection);
        if (!manager.supportsAccountCreation()) throw new Common.Skip("not offered");
        manager.createAccount(Localpart.from(user), Common.PASSWORD);
        stranger.leave();
        var client = new Common.Client(account, "new", 0).open();
        Common.must(client.connection.getUser().asBareJid().equals(JidCreate.bareFrom(account)), "logged in as somebody else");
        var condition = Common.refused(() -> {
            AccountManager.getInstance(client.connection).deleteAccount();
            return null;
        });
        // Servers end the stream of who is no more.
        client.connection.instantShutdown();
        return "registered and logged in; " + (condition == null ? "removed" : "removal: " + condition);
    }

    private Resources() {}
}
