//! What a client asks for within its login (SASL2 and Bind 2: XEP-0388, XEP-0386), up to what comes of it: from the bytes of the login to
//! the bytes of what arrives.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use balcony_machine::{Instant, Secret, Seed};
use balcony_router::Memory;
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_tls::{Session, TlsIdentity, TlsTrust};

const NOW: Instant = Instant::ZERO;
const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
/// `\0juliet\0pencil` and `\0romeo\0pencil`.
const JULIET: &str = "AGp1bGlldABwZW5jaWw=";
const ROMEO: &str = "AHJvbWVvAHBlbmNpbA==";
const INLINE: [&str; 2] = ["urn:xmpp:carbons:2", "urn:xmpp:csi:0"];

static IDENTITY: LazyLock<(TlsIdentity, TlsTrust)> = LazyLock::new(|| {
    let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
    let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
    let client = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    (server, client)
});

struct World {
    server: Server,
    actions: Vec<Action>,
    store: Memory,
    clients: Vec<Client>,
}

struct Client {
    id: ConnectionId,
    tls: Session,
    /// What has come and was not looked at.
    heard: Vec<u8>,
    /// Where in that a TLS record has ended.
    records: Vec<usize>,
    is_gone: bool,
}

impl World {
    fn new() -> World {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.stream_management, config.certificate) = (true, Some(IDENTITY.0.clone()));
        let mut store = Memory::default();
        for account in ["juliet@example.com", "romeo@example.com"] {
            store.create(account.parse().unwrap());
        }
        World {
            server: Server::new(config, Seed::from_u64(1)),
            actions: Vec::new(),
            store,
            clients: Vec::new(),
        }
    }

    /// Carries bytes until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            while let Some(action) = (!self.actions.is_empty()).then(|| self.actions.remove(0)) {
                let Action::Ask(ticket, ask) = action else { continue };
                let answer = match ask {
                    Ask::Stream(ServerAsk::Verify { .. }) => {
                        Answer::Stream(ServerAnswer::Verified(Some([7; 16].into())))
                    }
                    Ask::Stream(_) => Answer::Stream(ServerAnswer::Unavailable),
                    Ask::Router(ask) => Answer::Router(self.store.answer(0, ask)),
                    Ask::Sessions { .. } => Answer::Sessions(false),
                    Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
                };
                self.server.answer(NOW, ticket, answer, &mut self.actions);
            }
            let before = self.actions.len();
            let mut is_busy = self.server.take_in(NOW, &mut self.actions);
            assert!(is_busy || self.actions.len() == before, "who waits now leaves these undone");
            for client in self.clients.iter_mut().filter(|client| !client.is_gone) {
                let (mut down, mut up) = (Vec::new(), Vec::new());
                self.server.take_output(client.id, &mut down);
                self.server.written(NOW, client.id, &mut self.actions);
                is_busy |= !down.is_empty();
                let mut down = down.as_slice();
                while let [_, _, _, high, low, ..] = down {
                    let (mut record, rest) =
                        down.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
                    client.tls.read(&mut record, &mut client.heard, &mut up).unwrap();
                    client.records.push(client.heard.len());
                    down = rest;
                }
                if !up.is_empty() {
                    self.server.receive(NOW, client.id, &up, &mut self.actions);
                }
            }
            if !is_busy && self.actions.is_empty() {
                return;
            }
        }
    }

    /// A client whose TLS is there.
    fn connect(&mut self) -> usize {
        let id = self.server.accept(NOW, Transport::DirectTls, &mut self.actions);
        let mut tls = Session::client(&IDENTITY.1, "example.com").unwrap();
        let (mut heard, mut up) = (Vec::new(), Vec::new());
        tls.read(&mut &b""[..], &mut heard, &mut up).unwrap();
        self.server.receive(NOW, id, &up, &mut self.actions);
        self.clients.push(Client { id, tls, heard, records: Vec::new(), is_gone: false });
        self.settle();
        self.clients.len() - 1
    }

    /// What comes when a client says this.
    fn says(&mut self, client: usize, xml: &str) -> String {
        self.tell(client, xml);
        self.heard(client)
    }

    fn tell(&mut self, client: usize, xml: &str) {
        let (id, mut up) = (self.clients[client].id, Vec::new());
        self.clients[client].tls.write(xml.as_bytes(), &mut up).unwrap();
        self.server.receive(NOW, id, &up, &mut self.actions);
        self.settle();
    }

    fn heard(&mut self, client: usize) -> String {
        self.clients[client].records.clear();
        String::from_utf8(core::mem::take(&mut self.clients[client].heard)).unwrap()
    }

    /// One that logs in, and asks for this within that; and what it is told.
    fn login(&mut self, response: &str, within: &str) -> (usize, String) {
        let client = self.connect();
        let told = self.says(client, &login(response, within));
        assert!(told.contains("<success xmlns='urn:xmpp:sasl:2'>"), "{told}");
        (client, told)
    }

    /// The same with a resource that is available, and its full JID.
    fn bound(&mut self, response: &str, within: &str) -> (usize, String) {
        let bind = format!("<bind xmlns='urn:xmpp:bind:0'>{within}</bind>");
        let (client, told) = self.login(response, &bind);
        let (_, jid) = told.split_once("<authorization-identifier>").unwrap();
        let jid = jid.split_once('<').unwrap().0.to_owned();
        assert!(jid.contains('/'), "{told}");
        self.says(client, "<presence/>");
        (client, jid)
    }

    /// Romeo writes to this address.
    fn writes(&mut self, romeo: usize, to: &str, content: &str) {
        self.says(romeo, &format!("<message to='{to}' type='chat' id='m'>{content}</message>"));
    }
}

/// The header and a login that asks for this.
fn login(response: &str, within: &str) -> String {
    format!(
        "{HEADER}<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>{response}</initial-response>{within}</authenticate>"
    )
}

// Whoever adds one adds a test here.
#[test]
fn these_are_all() {
    let mut world = World::new();
    assert_eq!(world.server.config().extensions.bind_inline().collect::<Vec<_>>(), INLINE);
    let client = world.connect();
    let features = world.says(client, HEADER);
    let offered = "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/>\
                   <feature var='urn:xmpp:csi:0'/><feature var='urn:xmpp:sm:3'/></inline></bind>";
    assert!(features.contains(offered) && features.contains("<sm xmlns='urn:xmpp:sm:3'/>"), "{features}");
}

// XEP-0386 1.1.0 §3.2.1, XEP-0280 §4: whoever enables carbons with the resource gets copies from then on.
#[test]
fn carbons() {
    for (within, gets) in [("<enable xmlns='urn:xmpp:carbons:2'/>", true), ("", false)] {
        let mut world = World::new();
        let (desk, _) = world.bound(JULIET, within);
        let (_, phone) = world.bound(JULIET, "<tag>phone</tag>");
        let (romeo, _) = world.bound(ROMEO, "");
        world.heard(desk);
        world.writes(romeo, &phone, "<body>soft</body>");
        let heard = world.heard(desk);
        assert_eq!(heard.contains("<received xmlns='urn:xmpp:carbons:2'>"), gets, "{heard}");
        assert_eq!(heard.contains("<body>soft</body>"), gets, "{heard}");
    }
}

// XEP-0386 1.1.0 §3.2.1, XEP-0352 §4.2: a client that begins as one that nobody uses gets what is not urgent when somebody does.
#[test]
fn client_state() {
    const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    for (within, waits) in
        [("<inactive xmlns='urn:xmpp:csi:0'/>", true), ("<active xmlns='urn:xmpp:csi:0'/>", false)]
    {
        let mut world = World::new();
        let (phone, jid) = world.bound(JULIET, within);
        let (romeo, _) = world.bound(ROMEO, "");
        world.heard(phone);
        world.writes(romeo, &jid, COMPOSING);
        assert_eq!(world.heard(phone).is_empty(), waits, "{within}");
        let heard = world.says(phone, "<active xmlns='urn:xmpp:csi:0'/>");
        assert_eq!(heard.contains(COMPOSING), waits, "{heard}");
    }
}

// XEP-0198 §6, XEP-0386 1.1.0 §3.2.1: stanzas count from the resource on.
#[test]
fn stream_management() {
    for (within, counts) in [("<enable xmlns='urn:xmpp:sm:3'/>", true), ("", false)] {
        let mut world = World::new();
        let (client, told) = world.login(JULIET, &format!("<bind xmlns='urn:xmpp:bind:0'>{within}</bind>"));
        assert_eq!(told.contains("<enabled xmlns='urn:xmpp:sm:3'/></bound>"), counts, "{told}");
        let told = world.says(client, "<presence/><r xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(told.contains("<a xmlns='urn:xmpp:sm:3' h='1'/>"), counts, "{told}");
    }
}

// XEP-0198 §5, XEP-0388: a client that comes back is in its session with its login, and gets what it has missed, once.
#[test]
fn resumption() {
    let mut world = World::new();
    let bind = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let (phone, told) = world.login(JULIET, bind);
    let (_, id) = told.split_once("<enabled xmlns='urn:xmpp:sm:3' ").unwrap();
    let id = id.split_once("id='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let jid = told.split_once("<authorization-identifier>").unwrap().1.split_once('<').unwrap().0.to_owned();
    world.says(phone, "<presence/>");
    let (romeo, _) = world.bound(ROMEO, "");
    world.writes(romeo, &jid, "<body>first</body>");
    assert!(world.heard(phone).contains("first"));
    let place = world.clients[phone].id;
    world.clients[phone].is_gone = true;
    world.server.broken(NOW, place, &mut world.actions);
    world.settle();
    world.writes(romeo, &jid, "<body>second</body>");
    // It has had its own presence, and the first message.
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='2'/>");
    let again = world.connect();
    world.heard(again);
    world.tell(again, &login(JULIET, &resume));
    // One TLS record: there are clients that read the second while they are at the first, and fall over that.
    let ends = &world.clients[again].records;
    let all = String::from_utf8_lossy(&world.clients[again].heard).into_owned();
    let place = |part| ends.iter().position(|end| *end > all.find(part).unwrap());
    assert_eq!(place("<success"), place("<body>second"), "{ends:?} of {all}");
    let told = world.heard(again);
    assert!(told.contains("<resumed xmlns='urn:xmpp:sm:3' ") && told.contains(&jid), "{told}");
    assert!(told.contains("<body>second</body>") && !told.contains("first"), "{told}");
    // Who is back is who was there.
    world.writes(romeo, &jid, "<body>third</body>");
    assert!(world.heard(again).contains("third"));
}

// XEP-0198 1.6.2 §5 [SM15]: who comes too late hears how much of what was sent had come, and does not send it again.
#[test]
fn a_session_that_is_over_says_what_had_come() {
    let mut world = World::new();
    let bind = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let (phone, told) = world.login(JULIET, bind);
    let (_, id) = told.split_once("<enabled xmlns='urn:xmpp:sm:3' ").unwrap();
    let id = id.split_once("id='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let jid = told.split_once("<authorization-identifier>").unwrap().1.split_once('<').unwrap().0.to_owned();
    world.says(phone, "<presence/><message to='romeo@example.com'/>");
    world.clients[phone].is_gone = true;
    let place = world.clients[phone].id;
    world.server.broken(NOW, place, &mut world.actions);
    world.settle();
    let ended = StreamError::new(StreamCondition::Reset, "it has waited for too long");
    assert!(world.server.disconnect(NOW, &jid.parse().unwrap(), ended, &mut world.actions));
    world.settle();
    let again = world.connect();
    world.heard(again);
    world.tell(again, &login(JULIET, &format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>{bind}")));
    let told = world.heard(again);
    assert!(told.contains("<failed xmlns='urn:xmpp:sm:3' h='2'><item-not-found"), "{told}");
    assert!(told.contains("<enabled xmlns='urn:xmpp:sm:3' "), "{told}");
}
