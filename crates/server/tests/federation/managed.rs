//! Stream management between servers (XEP-0198): what a stream has lost is sent again, and what has arrived is not.

use core::time::Duration;

use balcony_connection::srv::Record;
use balcony_server::federation::{Federation, FederationConfig, FederationEvent, StreamId};
use balcony_stanza::ErrorCondition::{RemoteServerTimeout, ResourceConstraint};
use balcony_stanza::{IqType, PresenceType, Stanza};
use balcony_stream::s2s::dialback_key;
use balcony_xml::{Element, Name};

use crate::world::{Trust, World, config, jid};

fn two(trust: Trust) -> World {
    World::new(1, vec![config(&["a.example"], trust), config(&["b.example"], trust)])
}

fn header(from: &str) -> String {
    format!(
        "<stream:stream from='{from}' to='a.example' version='1.0' xmlns='jabber:server' \
         xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

/// What is after the first of these in a text, up to the next quote.
fn after<'a>(text: &'a str, what: &str) -> &'a str {
    text.split_once(what).unwrap().1.split('\'').next().unwrap()
}

/// A stream of `b.example` to `a.example` that a test plays by hand. It is proven.
struct ByHand(StreamId);

impl ByHand {
    fn open(world: &mut World) -> ByHand {
        let id = world.accept(0);
        let said = world.exchange(0, id, &header("b.example"));
        ByHand::prove(world, id, &said)
    }

    /// Its key is right, and the server of the domain says so. `said` has the header of the other end.
    fn prove(world: &mut World, id: StreamId, said: &str) -> ByHand {
        ByHand::prove_to(world, id, said, "a.example")
    }

    fn prove_to(world: &mut World, id: StreamId, said: &str, to: &str) -> ByHand {
        let key = dialback_key("secret of b.example", to, "b.example", after(said, " id='"));
        world.exchange(0, id, &format!("<db:result from='b.example' to='{to}'>{key}</db:result>"));
        for _ in 0..10 {
            world.exchange(0, id, " ");
        }
        ByHand(id)
    }

    fn says(&self, world: &mut World, bytes: &str) -> String {
        world.exchange(0, self.0, bytes)
    }
}

fn ask(id: &str) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")
}

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const MESSAGE: &str = "<message from='juliet@b.example/x' to='romeo@a.example'/>";

// What is acknowledged waits no more, and nobody hears of it when its stream is lost.
#[test]
fn what_has_arrived_is_done() {
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        let mut world = two(trust);
        for n in 0..40 {
            world.send(0, "romeo@a.example/x", "juliet@b.example", &n.to_string());
        }
        world.settle();
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
        world.cut_all();
        world.pass(Duration::from_secs(200));
        assert_eq!((world.ids(1).len(), world.returned(0)), (40, vec![]));
    }
}

// XEP-0198 §4: a domain that is not read from, since what it has sent has no room, is told what has come of it. Nobody gives the other up, in
// whichever direction what is held goes on the stream, and all of it comes once.
#[test]
fn who_is_not_read_from_does_not_give_up() {
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        for opener in [0, 1] {
            let mut world = two(trust);
            let send = |world: &mut World, from: usize, id: &str| {
                let people = ["romeo@a.example", "juliet@b.example"];
                world.send(from, people[from], people[1 - from], id);
            };
            send(&mut world, opener, "first");
            world.settle();
            world.servers[1].federation.hold(world.now, &jid("a.example"), true);
            for n in 0..200 {
                send(&mut world, 0, &n.to_string());
                world.pass(Duration::from_millis(100));
            }
            assert!(world.ids(1).len() < 200, "all was read");
            send(&mut world, 1, "back");
            world.settle();
            let (connections, made) = (world.connections(), world.made);
            for _ in 0..60 {
                world.pass(Duration::from_secs(5));
            }
            assert_eq!((world.connections(), world.made), (connections, made), "a stream was given up");
            world.servers[1].federation.hold(world.now, &jid("a.example"), false);
            world.pass(Duration::from_secs(60));
            let numbers: Vec<String> = (0..200).map(|n| n.to_string()).collect();
            let got: Vec<&str> = world.ids(1).into_iter().filter(|id| *id != "first").collect();
            assert!(got == numbers, "{trust:?}, {opener}: {got:?}");
            assert!(world.ids(0).contains(&"back"));
            assert_eq!(world.returned(0), []);
        }
    }
}

// The same of a stream that is opened to a domain which is not read from: what that answers there is heard, so that stanzas are counted.
#[test]
fn a_stream_to_a_domain_that_is_held_counts() {
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        let mut world = two(trust);
        world.servers[1].federation.hold(world.now, &jid("a.example"), true);
        world.send(1, "juliet@b.example", "romeo@a.example", "first");
        world.settle();
        for n in 0..20 {
            world.send(0, "romeo@a.example", "juliet@b.example", &n.to_string());
            world.pass(Duration::from_millis(100));
        }
        let (connections, made) = (world.connections(), world.made);
        for n in 0..60 {
            world.pass(Duration::from_secs(5));
            world.send(1, "juliet@b.example", "romeo@a.example", &format!("back {n}"));
        }
        world.pass(Duration::from_secs(5));
        assert_eq!(
            (world.connections(), world.made),
            (connections, made),
            "{trust:?}: a stream was given up"
        );
        assert_eq!(world.ids(0).len(), 61, "{trust:?}: {:?}", world.ids(0));
        world.servers[1].federation.hold(world.now, &jid("a.example"), false);
        world.pass(Duration::from_secs(60));
        let numbers: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert!(world.ids(1) == numbers, "{trust:?}: {:?}", world.ids(1));
        assert_eq!((world.returned(0), world.returned(1)), (vec![], vec![]));
    }
}

// The same of a stream that such a domain opens, which counts nothing if it is not answered in time.
#[test]
fn a_stream_of_a_domain_that_is_held_counts() {
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        for piece in [1, 20, 100_000] {
            let mut world = two(trust);
            world.piece = piece;
            world.servers[1].federation.hold(world.now, &jid("a.example"), true);
            world.send(0, "romeo@a.example", "juliet@b.example", "first");
            world.pass(Duration::from_secs(100));
            let (connections, made) = (world.connections(), world.made);
            world.servers[1].federation.hold(world.now, &jid("a.example"), false);
            let numbers: Vec<String> = (0..60).map(|n| n.to_string()).collect();
            for number in &numbers {
                world.send(1, "juliet@b.example", "romeo@a.example", number);
                world.pass(Duration::from_secs(7));
            }
            assert!(world.ids(0) == numbers, "{trust:?}, {piece}: {:?}", world.ids(0));
            assert_eq!((world.ids(1), world.returned(1)), (vec!["first"], vec![]));
            assert_eq!((world.connections(), world.made), (connections, made), "a stream was given up");
        }
    }
}

// Who is asked whether stanzas count, and sends some instead of an answer, is read no further either.
#[test]
fn a_domain_that_does_not_answer_is_held() {
    let mut world = two(Trust::Plain);
    world.is_slow = true;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    let Some((0, FederationEvent::Connect(id, ..))) = world.connecting.pop() else { panic!() };
    world.servers[0].federation.connected(world.now, id, 0);
    let features = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/>\
         <bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
    let header = header("b.example").replace(" version", " id='s' version");
    let mut said = world.exchange(0, id, " ");
    said += &world.exchange(0, id, &[&header, features].concat());
    said += &world.exchange(0, id, "<db:result from='b.example' to='a.example' type='valid'/>");
    assert!(said.contains("urn:xmpp:bidi") && said.contains("<enable"), "{said}");
    let now = world.now;
    let federation = &mut world.servers[0].federation;
    let is_read = |federation: &mut Federation| {
        let events: Vec<FederationEvent> = core::iter::from_fn(|| federation.next()).collect();
        events.iter().any(|event| matches!(event, FederationEvent::Read(of) if *of == id))
    };
    federation.hold(now, &jid("b.example"), true);
    let mut stanzas = 1;
    federation.receive(now, id, MESSAGE.as_bytes());
    while is_read(federation) && stanzas < 100 {
        federation.receive(now, id, MESSAGE.as_bytes());
        stanzas += 1;
    }
    assert_eq!(stanzas, 1);
    federation.hold(now, &jid("b.example"), false);
    assert!(is_read(federation));
}

// A domain that is held stays so, whatever becomes of its streams.
#[test]
fn a_domain_stays_held() {
    let mut world = two(Trust::Certificates);
    world.servers[1].federation.hold(world.now, &jid("a.example"), true);
    for _ in 0..3 {
        world.send(0, "romeo@a.example", "juliet@b.example", "1");
        world.settle();
        world.cut_all();
        world.pass(Duration::from_secs(1));
    }
    for n in 0..2_000 {
        world.send(0, "romeo@a.example", "juliet@b.example", &n.to_string());
    }
    world.pass(Duration::from_secs(20));
    let read = world.ids(1).len();
    assert!(read < 1_000, "{read}");
    world.servers[1].federation.hold(world.now, &jid("a.example"), false);
    world.pass(Duration::from_secs(20));
    assert!(world.ids(1).len() >= 2_000);
}

// RFC 6121 §3, XEP-0198 §4: an acknowledged word on a subscription is in the other server's memory, which may die before it has written it
// down. So the word has arrived for good only if that server still answers when its store has had its time, and comes back to whoever says
// it again if the stream is lost before; nobody is told of that.
#[test]
fn an_acknowledged_word_on_a_subscription_may_be_lost_by_a_crash() {
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        for is_lost in [true, false] {
            let mut world = two(trust);
            let word =
                Stanza::presence(PresenceType::Unsubscribe).with_from("romeo@a.example".parse().unwrap());
            world.send_stanza(0, word.with_to("juliet@b.example".parse().unwrap()));
            world.settle();
            world.pass(Duration::from_secs(25));
            assert_eq!((world.servers[1].delivered.len(), world.servers[0].heard.len()), (1, 0));
            if is_lost {
                world.cut_all();
            }
            world.pass(Duration::from_secs(10));
            let at_first = &world.servers[0];
            assert_eq!((at_first.heard.len(), at_first.dropped.len()), if is_lost { (0, 1) } else { (1, 0) });
            world.cut_all();
            world.pass(Duration::from_secs(100));
            let at_first = &world.servers[0];
            assert_eq!(at_first.heard.len() + at_first.dropped.len(), 1, "once");
            assert_eq!((at_first.returned.len(), at_first.federation.waiting_bytes()), (0, 0));
        }
    }
}

// RFC 6121 §3, XEP-0198 §4: as above, of more acknowledged words than are remembered. Those for which there is no room come back, too.
#[test]
fn acknowledged_words_that_are_not_remembered_come_back() {
    for is_lost in [true, false] {
        let mut world = two(Trust::Certificates);
        let count = 1_000;
        let long = "x".repeat(1_000);
        for n in 0..count {
            let word = Stanza::presence(PresenceType::Unsubscribe);
            let word = word.with_from(format!("{n}{long}@a.example").parse().unwrap());
            world.send_stanza(0, word.with_to(format!("{n}{long}@b.example").parse().unwrap()));
            world.settle();
        }
        world.pass(Duration::from_secs(5));
        let at_first = &world.servers[0];
        assert_eq!((world.servers[1].delivered.len(), at_first.heard.len()), (count, 0));
        let came_back = at_first.dropped.len();
        assert!((1..count / 2).contains(&came_back), "{came_back}");
        if is_lost {
            world.cut_all();
        }
        world.pass(Duration::from_secs(40));
        let at_first = &world.servers[0];
        let of_them = (at_first.heard.len(), at_first.dropped.len());
        assert_eq!(of_them, if is_lost { (0, count) } else { (count - came_back, came_back) });
        assert_eq!((at_first.returned.len(), world.servers[1].delivered.len()), (0, count));
    }
}

// XEP-0198 §5 [SM15, SM16]: another server is told what has come on its stream, by its name; nobody else is, and learns nothing of it.
#[test]
fn only_its_own_server_can_ask_about_a_stream() {
    let mut world = two(Trust::Plain);
    let first = ByHand::open(&mut world);
    let said = first.says(&mut world, ENABLE);
    let id = after(&said, " id='").to_owned();
    first.says(&mut world, &MESSAGE.repeat(3));
    assert_eq!(world.servers[0].delivered.len(), 3);

    // A stranger who has the name somehow, and has proven nothing, or another domain.
    let stranger = world.accept(0);
    world.exchange(0, stranger, &header("evil.example"));
    let said = world.exchange(0, stranger, &ask(&id));
    assert!(said.contains("<unexpected-request") && !said.contains(" h="), "{said}");

    // The first stream is over when its server asks about it on the next one, whatever is still to come on it.
    let next = ByHand::open(&mut world);
    assert!(
        next.says(&mut world, &ask("no such name")).starts_with("<failed xmlns='urn:xmpp:sm:3'><item-not")
    );
    for _ in 0..2 {
        let said = next.says(&mut world, &ask(&id));
        assert!(said.starts_with("<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found"), "{said}");
        assert!(!world.servers[0].federation.knows(first.0));
    }
    first.says(&mut world, MESSAGE);
    assert_eq!(world.servers[0].delivered.len(), 3);
    // It counts anew, under another name, and the first is known for a while.
    let said = next.says(&mut world, ENABLE);
    assert!(said.starts_with("<enabled") && after(&said, " id='") != id, "{said}");
    world.pass(Duration::from_secs(121));
    let late = ByHand::open(&mut world);
    let said = late.says(&mut world, &ask(&id));
    assert!(said.starts_with("<failed xmlns='urn:xmpp:sm:3'><item-not-found"), "{said}");
}

// Another server that can't say what it has got, as Prosody, which gives and takes no names between servers: what it has not
// acknowledged goes once more, or comes back if that can't be, with its id.
#[test]
fn what_nobody_can_tell_is_sent_once_more() {
    for is_up in [true, false] {
        let mut world = two(Trust::Plain);
        let stream = both_ways(&mut world);
        stream.says(&mut world, "<enable xmlns='urn:xmpp:sm:3'/>");
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
        let said = stream.says(&mut world, " ");
        stream.says(&mut world, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
        assert!(said.contains("id='1'") && said.contains("id='2'"), "{said}");
        world.servers[1].is_up = is_up;
        let now = world.now;
        world.servers[0].federation.broken(now, stream.0);
        world.pass(Duration::from_secs(100));
        match is_up {
            true => assert_eq!((world.ids(1), world.returned(0)), (vec!["2"], vec![])),
            false => {
                assert_eq!((world.ids(1), world.returned(0)), (vec![], vec![("2", RemoteServerTimeout)]))
            }
        }
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
    }
}

// What is under way counts among what waits for a domain, so that a server which acknowledges nothing costs no more than one that is away.
#[test]
fn what_is_under_way_is_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.domain_bytes = 30_000;
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "first");
    world.settle();
    world.servers[1].is_mute = true;
    for n in 0..400 {
        world.send(0, &format!("u{n}@a.example/x"), "juliet@b.example", &n.to_string());
        world.settle();
        assert!(world.servers[0].federation.waiting_bytes() <= 30_000);
    }
    let full = world.returned(0).iter().filter(|(_, condition)| *condition == ResourceConstraint).count();
    assert!((200..400).contains(&full), "{full}");
    world.pass(Duration::from_secs(300));
    let late = world.returned(0).iter().filter(|(_, condition)| *condition == RemoteServerTimeout).count();
    assert_eq!((late + full, world.servers[0].federation.waiting_bytes()), (400, 0));
}

// A server that shuts down ends a stream when what it has sent there is acknowledged.
#[test]
fn the_last_words_of_a_server_are_acknowledged() {
    let mut world = two(Trust::Certificates);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    world.servers[1].is_mute = true;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
    let now = world.now;
    world.servers[0].federation.shutdown(now);
    world.servers[0].federation.close(now);
    world.settle();
    assert_eq!(world.servers[0].federation.streams(), 1);
    world.servers[1].is_mute = false;
    world.settle();
    assert_eq!((world.ids(1), world.servers[0].federation.streams()), (vec!["1", "2"], 0));
}

/// Two domains of the first server have both lost something on one stream to `b.example`. The stream for the first, which asks what has
/// arrived, is held as it begins, and that for the second waits for the answer.
fn two_in_doubt(limits: impl Fn(&mut FederationConfig)) -> World {
    let mut ours = config(&["a.example", "c.example", "d.example"], Trust::Plain);
    limits(&mut ours);
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Plain)]);
    let places = [0, 1].map(|priority| Record { priority, ..world.record("b.example", 5269, false) });
    world.dns.insert("b.example".into(), Some(places.into()));
    for round in ["1", "2"] {
        world.send(0, "romeo@a.example/x", "juliet@b.example", &format!("a{round}"));
        world.settle();
        world.send(0, "nurse@c.example/x", "juliet@b.example", &format!("c{round}"));
        world.settle();
        world.servers[1].is_mute = true;
    }
    assert_eq!(world.connections(), 1, "both go over one stream");
    world.held = Some(world.made);
    world.servers[1].is_mute = false;
    world.cut_all();
    world.settle();
    world
}

// XEP-0198 §5 [SM24]: a stream that begins without asking what has arrived on a lost one makes way for one that asks. The domain is there all
// the same: it is not left alone for that, and a request to it does not come back.
#[test]
fn a_stream_that_makes_way_is_no_failure() {
    let mut world = two_in_doubt(|_| {});
    let ask = Stanza::iq(IqType::Get).with_from("nurse@c.example/x".parse().unwrap());
    let ask = ask.with_to("juliet@b.example/y".parse().unwrap()).with_id("ask");
    world.send_stanza(0, ask.with_payload(Element::new(Name::from_static("ping"), "urn:xmpp:ping").into()));
    world.settle();
    assert_eq!(world.ids(1), ["a1", "c1"]);
    world.is_slow = true;
    world.cut_held();
    world.settle();
    assert!(world.has_logged(0, "stream to b.example: the stream has ended: it closed the stream"));
    world.connect();
    world.settle();
    assert!(!world.has_logged(0, "cannot be reached"), "{:?}", world.servers[0].log);
    let mut ids = world.ids(1);
    ids.sort_unstable();
    assert_eq!((ids, world.returned(0)), (vec!["a1", "a2", "ask", "c1", "c2"], vec![]));
}

// XEP-0198 §5 [SM24]: a server that is told to count no more asks nobody what has arrived on a stream that it has lost before. What was on it
// goes once more.
#[test]
fn nobody_asks_where_nothing_is_counted_any_more() {
    let mut world = two(Trust::Plain);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    world.servers[1].is_mute = true;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
    world.settle();
    (world.servers[1].is_mute, world.is_slow) = (false, true);
    world.cut_all();
    world.settle();
    let mut config = world.servers[0].federation.config().clone();
    config.management = false;
    world.servers[0].federation.configure(config);
    world.connect();
    world.settle();
    assert_eq!((world.ids(1), world.returned(0)), (vec!["1", "2"], vec![]));
    assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
}

// FederationLimits::patience: what only waits for another stream to ask comes back in time, whatever else its own stream takes meanwhile.
#[test]
fn what_waits_to_be_asked_about_comes_back_in_time() {
    let mut world = two_in_doubt(|config| config.stream.negotiation = Duration::from_secs(600));
    for second in 0..59 {
        world.send(0, "paris@d.example/x", "juliet@b.example", &format!("d{second}"));
        world.pass(Duration::from_secs(1));
        assert_eq!(world.returned(0), []);
    }
    for second in 59..70 {
        world.send(0, "paris@d.example/x", "juliet@b.example", &format!("d{second}"));
        world.pass(Duration::from_secs(1));
    }
    assert!(world.returned(0).contains(&("c2", RemoteServerTimeout)), "{:?}", world.returned(0));
    assert_eq!(world.ids(1).len(), 72);
}

// XEP-0198 §5 [SM24], XEP-0288 §2.3: another server knows a stream of its own that goes both ways as one with the first of our domains. What
// was lost on it of the others nobody may ask about, and it goes once more.
#[test]
fn what_nobody_may_ask_about_is_sent_once_more() {
    let ours = config(&["a.example", "c.example"], Trust::Plain);
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Plain)]);
    let stream = world.accept(0);
    let said = world.exchange(0, stream, &header("b.example"));
    world.exchange(0, stream, "<bidi xmlns='urn:xmpp:bidi'/>");
    ByHand::prove(&mut world, stream, &said);
    let stream = ByHand::prove_to(&mut world, stream, &said, "c.example");
    stream.says(&mut world, ENABLE);
    world.send(0, "nurse@c.example/x", "juliet@b.example", "1");
    let said = stream.says(&mut world, " ");
    assert!(said.contains("id='1'"), "{said}");
    let (now, connects) = (world.now, world.servers[0].connects);
    world.servers[0].federation.broken(now, stream.0);
    world.settle();
    assert_eq!((world.ids(1), world.returned(0)), (vec!["1"], vec![]));
    assert_eq!(world.servers[0].connects, connects + 1, "the first stream takes it");
    assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
}

// XEP-0198 §5 [SM24], XEP-0288 §2.3: what may have arrived on a lost stream of ours comes back when the other server could not be asked, and does
// not go over a stream of the other side, which is still there: it would arrive twice. What came after it does.
#[test]
fn what_may_have_arrived_comes_back_if_nobody_can_be_asked() {
    let mut in_doubt = 0;
    for bytes in 1..400 {
        let mut world = two(Trust::Plain);
        // Each opens a stream, and both go both ways.
        world.send(0, "romeo@a.example/x", "juliet@b.example", "0");
        world.send(1, "juliet@b.example/y", "romeo@a.example", "x");
        world.settle();
        assert_eq!((world.ids(0), world.ids(1), world.connections()), (vec!["x"], vec!["0"], 2));
        world.dns.insert("b.example".into(), None);
        world.cut_after = Some(bytes);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.settle();
        world.cut_after = None;
        world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
        world.pass(Duration::from_secs(100));
        let (ids, returned) = (world.ids(1), world.returned(0));
        let arrived = ids.iter().filter(|id| **id == "1").count();
        assert!(arrived <= 1, "after {bytes} bytes: {ids:?}");
        assert!(ids.contains(&"2"), "after {bytes} bytes: {ids:?} {returned:?}");
        assert!(arrived == 1 || returned == [("1", RemoteServerTimeout)], "{ids:?} {returned:?}");
        in_doubt += usize::from(arrived == 1 && returned.len() == 1);
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
    }
    assert!(in_doubt > 0, "there is a byte between the message and its acknowledgement");
}

/// A stream of `b.example` that goes both ways, and is proven.
fn both_ways(world: &mut World) -> ByHand {
    let stream = world.accept(0);
    let said = world.exchange(0, stream, &header("b.example"));
    world.exchange(0, stream, "<bidi xmlns='urn:xmpp:bidi'/>");
    ByHand::prove(world, stream, &said)
}

// XEP-0288 §2.3, XEP-0198 §3: what goes back on a stream of another server waits for a moment until that has stanzas counted; not where it has
// sent one first, as then it does not, nor where it has not done so on its last stream.
#[test]
fn nobody_waits_for_a_server_that_does_not_count() {
    let mut world = two(Trust::Plain);
    let sends = |world: &mut World, id: &str| {
        world.send(0, "romeo@a.example/x", "juliet@b.example", id);
    };
    let has = |said: &str, id: &str| said.contains(&format!("id='{id}'"));
    let moment = Duration::from_secs(1);
    // One that counts is waited for.
    let first = both_ways(&mut world);
    sends(&mut world, "1");
    assert!(!has(&first.says(&mut world, " "), "1"));
    assert!(has(&first.says(&mut world, ENABLE), "1"));
    first.says(&mut world, "<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>");
    let second = both_ways(&mut world);
    sends(&mut world, "2");
    assert!(!has(&second.says(&mut world, " "), "2"));
    // A stanza comes first.
    assert!(has(&second.says(&mut world, MESSAGE), "2"));
    // It is remembered as long as there is a stream of the domain.
    let third = both_ways(&mut world);
    second.says(&mut world, "</stream:stream>");
    sends(&mut world, "3");
    assert!(has(&third.says(&mut world, " "), "3"));
    // And so is that it has stanzas counted all the same.
    third.says(&mut world, ENABLE);
    let fourth = both_ways(&mut world);
    third.says(&mut world, "</stream:stream>");
    sends(&mut world, "4");
    assert!(!has(&fourth.says(&mut world, " "), "4"));
    world.now = world.now + moment;
    let now = world.now;
    world.servers[0].federation.tick(now);
    assert!(has(&fourth.says(&mut world, " "), "4"));
}
