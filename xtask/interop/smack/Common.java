// What the scenarios of `cargo xtask interop` in Smack have in common.
//
// They are started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _ROMEO, _JULIET, _CA, _LOG and _PASSWORD in the environment. Each
// check is one line on standard output: result, name, detail, with tabs between them.

import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.logging.LogManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.jivesoftware.smack.ConnectionConfiguration.SecurityMode;
import org.jivesoftware.smack.XMPPConnection;
import org.jivesoftware.smack.XMPPException.XMPPErrorException;
import org.jivesoftware.smack.debugger.AbstractDebugger;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.packet.Stanza;
import org.jivesoftware.smack.packet.StanzaError;
import org.jivesoftware.smack.packet.TopLevelStreamElement;
import org.jivesoftware.smack.roster.Roster;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;
import org.jivesoftware.smackx.ping.PingManager;
import org.jxmpp.jid.Jid;
import org.jxmpp.jid.impl.JidCreate;

final class Common {
    static final String DOMAIN = System.getenv("INTEROP_DOMAIN");
    static final String PASSWORD = System.getenv("INTEROP_PASSWORD");
    static final String ROMEO = System.getenv("INTEROP_ROMEO");
    static final String JULIET = System.getenv("INTEROP_JULIET");
    static final int PATIENCE = 5_000;

    /** Goes through the scenario that is named. */
    public static void main(String[] args) throws Exception {
        // What the library warns of stands in the log, between what goes over the wire.
        System.setProperty("java.util.logging.SimpleFormatter.format", "%4$s %3$s %5$s%6$s%n");
        LogManager.getLogManager().readConfiguration(
            new java.io.ByteArrayInputStream("handlers=java.util.logging.ConsoleHandler\n.level=INFO\n".getBytes()));
        Roster.setDefaultSubscriptionMode(Roster.SubscriptionMode.manual);
        if (args[0].equals("people")) new People().run();
        else Resources.run();
        System.exit(0);
    }

    /** The server, or the library, does not have what the check is about. */
    static final class Skip extends Exception {
        private static final long serialVersionUID = 1;

        Skip(String reason) {
            super(reason);
        }
    }

    interface Check {
        String run() throws Exception;
    }

    /** Runs one check and reports how it went. */
    static boolean check(String name, Check check) {
        try {
            report("ok", name, check.run());
            return true;
        } catch (Skip reason) {
            report("skip", name, reason.getMessage());
        } catch (AssertionError error) {
            report("FAIL", name, error.getMessage());
        } catch (Exception error) {
            // The first sentence: Smack goes on with all that it knows.
            report("FAIL", name, error.getClass().getSimpleName() + ": " + (error.getMessage() + "").split("\\. ")[0]);
        }
        return false;
    }

    private static void report(String result, String name, String detail) {
        System.out.println(result + "\t" + name + "\t" + detail.replaceAll("\\s+", " "));
    }

    static void must(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }

    static Jid jid(String jid) {
        return JidCreate.fromOrThrowUnchecked(jid);
    }

    interface Request {
        Object send() throws Exception;
    }

    /** The condition with which a request was refused, or null. */
    static StanzaError.Condition refused(Request request) throws Exception {
        try {
            request.send();
            return null;
        } catch (XMPPErrorException error) {
            return error.getStanzaError().getCondition();
        }
    }

    /** A client that keeps what it gets until the scenario asks for it. */
    static final class Client {
        final String name;
        final String resource;
        final int priority;
        final XMPPTCPConnection connection;
        final List<Stanza> inbox = new ArrayList<>();
        private final BlockingQueue<Stanza> news = new LinkedBlockingQueue<>();
        private Wire wire;

        Client(String account, String resource, int priority) throws Exception {
            this(account, resource, priority, configuration(account, resource, PASSWORD));
        }

        Client(String account, String resource, int priority, XMPPTCPConnectionConfiguration.Builder builder) {
            name = account.equals(ROMEO) ? "romeo" : resource;
            this.resource = resource;
            this.priority = priority;
            builder.setDebuggerFactory(connection -> wire = new Wire(connection, account + "/" + resource, news));
            connection = new XMPPTCPConnection(builder.build());
            connection.setReplyTimeout(PATIENCE);
        }

        /** Logs in and binds the resource. */
        Client open() throws Exception {
            connection.connect().login();
            return this;
        }

        /** Logs in, asks for the roster and becomes available. */
        Client enter(boolean withRoster) throws Exception {
            Roster roster = Roster.getInstanceFor(connection);
            roster.setRosterLoadedAtLogin(withRoster);
            open();
            if (withRoster && !roster.isLoaded()) roster.reloadAndWait();
            available();
            return this;
        }

        void available() throws Exception {
            connection.sendStanza(connection.getStanzaFactory().buildPresenceStanza().setPriority(priority).build());
            settle();
        }

        void send(Presence.Type type, String to) throws Exception {
            var presence = connection.getStanzaFactory().buildPresenceStanza().ofType(type);
            if (to != null) presence.to(to);
            connection.sendStanza(presence.build());
        }

        void message(String to, String body, Message.Type type) throws Exception {
            connection.sendStanza(connection.getStanzaFactory().buildMessageStanza().to(to).ofType(type).setBody(body).build());
            settle();
        }

        void message(String to, String body) throws Exception {
            message(to, body, Message.Type.chat);
        }

        /** Waits until the server has done what this client has asked for, and this client has what was on its way. */
        void settle() throws Exception {
            must(PingManager.getInstanceFor(connection).ping(jid(DOMAIN)), "no answer to a ping");
        }

        /** Waits for a stanza and takes it out of the inbox. */
        Stanza gets(String what, Predicate<Stanza> test) throws Exception {
            long end = System.currentTimeMillis() + PATIENCE;
            do {
                for (Stanza stanza : inbox)
                    if (test.test(stanza)) {
                        inbox.remove(stanza);
                        return stanza;
                    }
                Stanza next = news.poll(Math.max(1, end - System.currentTimeMillis()), TimeUnit.MILLISECONDS);
                if (next != null) inbox.add(next);
            } while (System.currentTimeMillis() < end);
            throw new AssertionError(name + " got no " + what);
        }

        /** What has come and was not asked for. */
        List<Stanza> rest() throws Exception {
            settle();
            news.drainTo(inbox);
            return inbox;
        }

        void getsNo(String what, Predicate<Stanza> test) throws Exception {
            must(rest().stream().noneMatch(test), name + " got a " + what);
        }

        /** Closes the stream; whether the server has closed its own in answer. */
        boolean leave() {
            connection.disconnect();
            return wire.isClosed;
        }

        /** Says goodbye, and closes the stream. */
        void exit() throws Exception {
            send(Presence.Type.unavailable, null);
            leave();
        }
    }

    static XMPPTCPConnectionConfiguration.Builder configuration(String account, String resource, String password)
        throws Exception {
        String[] address = System.getenv("INTEROP_ADDRESS").split(":");
        return XMPPTCPConnectionConfiguration.builder()
            .setXmppAddressAndPassword(account, password)
            .setResource(resource)
            .setHostAddress(InetAddress.getByName(address[0]))
            .setPort(Integer.parseInt(address[1]))
            .setSecurityMode(SecurityMode.required)
            .setCustomX509TrustManager(trust())
            .setSendPresence(false);
    }

    /** Trusts the servers' certificate and no other. */
    private static X509TrustManager trust() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var file = Files.newInputStream(Path.of(System.getenv("INTEROP_CA")))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509TrustManager) factory.getTrustManagers()[0];
    }

    /** Writes down what goes over the wire, and gives away what comes: listeners don't see the requests that the library answers. */
    private static final class Wire extends AbstractDebugger {
        private static final PrintWriter LOG = log();
        private final String who;
        private final BlockingQueue<Stanza> news;
        volatile boolean isClosed;

        Wire(XMPPConnection connection, String who, BlockingQueue<Stanza> news) {
            super(connection);
            this.who = who;
            this.news = news;
        }

        private static PrintWriter log() {
            try {
                return new PrintWriter(new FileWriter(System.getenv("INTEROP_LOG")), true);
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void onIncomingStreamElement(TopLevelStreamElement element) {
            if (element instanceof Stanza stanza) news.add(stanza);
        }

        @Override
        protected void log(String text) {
            LOG.println(who + " " + text.replace("\n", " "));
            if (text.startsWith("RECV") && text.contains("</stream:stream>")) isClosed = true;
        }

        @Override
        protected void log(String text, Throwable error) {
            LOG.println(who + " " + text + ": " + error);
        }
    }

    private Common() {}
}
