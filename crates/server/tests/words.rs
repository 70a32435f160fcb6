//! What the connections of one part say and do when they are told something while much else is under way.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_sasl::ScramKeys;
use balcony_server::{
    Action, ConnectionId, Connections, Down, Notice, ServerConfig, SessionId, Transport, Up,
};
use balcony_stanza::{Stanza, StreamCondition};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_stream::{ClientStream, TlsPolicy};
use balcony_xep::sm::{Enabled, Resumable};

const NOW: Instant = Instant::ZERO;
const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const MESSAGE: &str = "<message to='romeo@example.com'><body>Romeo?</body></message>";

struct Part {
    connections: Connections,
    actions: Vec<Action>,
}

impl Part {
    /// Connections that go on until so many words are to be said up.
    fn new(most: usize) -> Part {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.tls, config.stream_management) = (TlsPolicy::None, true);
        let random = Seed::from_u64(1).random();
        Part { connections: Connections::of_part(config, random, 0, most), actions: Vec::new() }
    }

    /// Bytes come. Whatever is to be said up is not heard yet, so it goes on as far as it may.
    fn receives(&mut self, id: ConnectionId, bytes: &str) {
        self.connections.received(NOW, id, bytes.len());
        self.goes_on(id, bytes.as_bytes());
    }

    fn goes_on(&mut self, id: ConnectionId, mut fresh: &[u8]) {
        if self.connections.advance(NOW, id, &mut fresh, &mut self.actions) {
            self.connections.leave_for_later(id, &mut fresh);
        }
    }

    fn is_told(&mut self, down: Down) {
        self.connections.take(NOW, down, &mut self.actions);
    }

    /// What it says up. Then it goes on.
    fn says(&mut self) -> Vec<Up> {
        let mut all = Vec::new();
        loop {
            while let Some(up) = self.connections.next_up() {
                all.push(up);
            }
            let Some(id) = self.connections.next_ready() else { return all };
            self.goes_on(id, &[]);
        }
    }

    fn writes(&mut self, id: ConnectionId) -> String {
        let mut bytes = Vec::new();
        self.connections.take_output(id, &mut bytes);
        self.connections.written(id);
        String::from_utf8(bytes).unwrap()
    }

    /// A client that has authenticated, and opened its stream anew.
    fn client(&mut self) -> ConnectionId {
        let id = self.connections.accept(NOW, Transport::Stream, &mut self.actions);
        let account = "juliet@example.com".parse().unwrap();
        let mut config = ClientStreamConfig::new(account, Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::None;
        let mut client = ClientStream::new(config.into(), Seed::from_u64(1), NOW);
        let mut read = String::new();
        loop {
            let (mut input, mut said) = (read.as_bytes(), Vec::new());
            loop {
                match client.advance(NOW, &mut input, &mut said).unwrap() {
                    Progress::Event(ClientEvent::Ask(ticket, ask)) => {
                        let ClientAsk::SaltPassword { hash, password, salt, iterations } = ask;
                        let salted = balcony_sasl::salt_password(hash, password.expose(), &salt, iterations);
                        client.answer(ticket, ClientAnswer::Salted(salted.unwrap())).unwrap();
                    }
                    Progress::Event(ClientEvent::Authenticated { .. }) => {
                        self.receives(id, HEADER);
                        self.says();
                        self.writes(id);
                        return id;
                    }
                    Progress::NeedInput => break,
                    other => panic!("{other:?}"),
                }
            }
            self.receives(id, &String::from_utf8(said).unwrap());
            for up in self.says() {
                let Up::Ask { connection, ticket, ask, .. } = up else { panic!("{up:?}") };
                let ServerAsk::Credentials { hash, .. } = *ask else { panic!("{ask:?}") };
                let keys = ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap();
                let answer = Box::new(ServerAnswer::Credentials(Some(keys)));
                self.is_told(Down::Answer { connection, ticket, answer, number: 0 });
            }
            self.says();
            read = self.writes(id);
        }
    }

    /// What it is told when it has its resource.
    fn binds(&mut self, id: ConnectionId, session: u64) -> Down {
        self.receives(id, BIND);
        let said = self.says();
        let [Up::Bind { connection, ticket, .. }] = said[..] else { panic!("{said:?}") };
        let jid = format!("juliet@example.com/{session}").parse().unwrap();
        Down::Bound { connection, ticket, session: SessionId(session), bound: Box::new(Ok((jid, None))) }
    }

    /// A client with a session.
    fn session(&mut self, session: u64) -> ConnectionId {
        let id = self.client();
        let bound = self.binds(id, session);
        self.is_told(bound);
        self.says();
        self.writes(id);
        self.says();
        id
    }

    /// Stream management for a session.
    fn enables(&mut self, id: ConnectionId) -> Down {
        self.receives(id, ENABLE);
        let said = self.says();
        let ticket = said.iter().find_map(|up| match up {
            Up::Enable { ticket, .. } => Some(*ticket),
            _ => None,
        });
        enabled(id, ticket.unwrap())
    }
}

fn enabled(connection: ConnectionId, ticket: Ticket) -> Down {
    let resumable = Some(Resumable { id: "name".into(), max: None, location: None });
    Down::Enabled { connection, ticket, enabled: Box::new(Enabled { resumable }) }
}

fn deliver(connection: ConnectionId) -> Down {
    Down::Deliver { connection, stanza: Arc::new(Stanza::parse(MESSAGE.as_bytes()).unwrap()), maker: 0 }
}

// However much a part has to say, who is bound hears so at once, and what is delivered next.
#[test]
fn who_is_bound_while_much_is_to_be_said_is_not_deaf() {
    let mut part = Part::new(2);
    let (busy, one) = (part.session(1), part.client());
    let bound = part.binds(one, 2);
    part.receives(busy, &MESSAGE.repeat(5));
    part.is_told(bound);
    part.is_told(deliver(one));
    let written = part.writes(one);
    assert!(written.contains("juliet@example.com/2</jid>") && written.ends_with("</message>"), "{written}");
    let stanzas = part.says().into_iter().filter(|up| matches!(up, Up::Stanza { .. })).count();
    assert_eq!(stanzas, 5);
}

// XEP-0198 §4 [SM6]: what is delivered right behind `<enabled/>` is written behind it, and counts, however much the part has to say.
#[test]
fn what_comes_behind_enabled_counts() {
    for is_busy in [false, true] {
        let mut part = Part::new(2);
        let (busy, one) = (part.session(1), part.session(2));
        let enabled = part.enables(one);
        if is_busy {
            part.receives(busy, &MESSAGE.repeat(5));
        }
        part.is_told(enabled);
        part.is_told(deliver(one));
        let written = part.writes(one);
        assert!(written.starts_with("<enabled ") && written.ends_with("</message>"), "{written}");
        part.says();
        part.receives(one, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
        let said = part.says();
        assert!(matches!(said[..], [Up::Acknowledged { session: SessionId(2), count: 1 }]), "{said:?}");
    }
}

// XEP-0198 §5 [SM17]: a session is said to be lost before its part says that it has no connection any more, also if it is the last, whose
// network is gone by then: what is known of the session is kept when all parts have said that.
#[test]
fn the_last_session_is_lost_before_its_part_is_alone() {
    let mut part = Part::new(1);
    let one = part.session(1);
    let enabled = part.enables(one);
    part.is_told(enabled);
    part.says();
    part.writes(one);
    part.says();
    // It has more to say than it may at once, so its end is not known yet.
    part.receives(one, &MESSAGE.repeat(2));
    part.connections.broken(NOW, one, &mut part.actions);
    part.goes_on(one, &[]);
    part.connections.close_down();
    part.is_told(leave(one));
    let said = part.says();
    let place = |is_it: fn(&Up) -> bool| said.iter().position(is_it).unwrap_or_else(|| panic!("{said:?}"));
    let lost = place(|up| matches!(up, Up::Lost { session: SessionId(1), .. }));
    assert!(lost < place(|up| matches!(up, Up::Alone(true))), "{said:?}");
    assert!(part.connections.is_empty());
}

/// The session goes on elsewhere.
fn leave(connection: ConnectionId) -> Down {
    let error = Box::new(StreamCondition::Conflict.into());
    Down::Leave { connection, session: SessionId(1), error }
}

// XEP-0198 §5: who leaves its session on a connection is not offline, and the log is not told so.
#[test]
fn a_session_that_leaves_its_connection_waits() {
    let mut part = Part::new(1);
    let one = part.session(1);
    let enabled = part.enables(one);
    part.is_told(enabled);
    part.actions.clear();
    part.is_told(leave(one));
    assert!(matches!(part.says()[..], [Up::Lost { session: SessionId(1), .. }]));
    let notices: Vec<_> = part.actions.iter().filter(|action| matches!(action, Action::Notice(..))).collect();
    assert!(matches!(notices[..], [Action::Notice(_, Notice::Lost(_))]), "{notices:?}");
}

// XEP-0198 §5 [SM20]: a session whose client has closed its stream can't go on elsewhere. Who wants it hears that at once, and not when the
// rest of its stream is written.
#[test]
fn a_session_that_is_over_stays() {
    let mut part = Part::new(1);
    let one = part.session(1);
    let enabled = part.enables(one);
    part.is_told(enabled);
    part.is_told(deliver(one));
    part.receives(one, "</stream:stream>");
    let said = part.says();
    assert!(matches!(said[..], [Up::Ended { session: SessionId(1) }]), "{said:?}");
    part.is_told(leave(one));
    let said = part.says();
    assert!(
        matches!(said[..], [Up::Stays { session: SessionId(1), connection }] if connection == one),
        "{said:?}"
    );
}

// Who is told twice to close says once that all sessions have ended.
#[test]
fn all_have_ended_once() {
    let mut part = Part::new(1);
    part.session(1);
    part.connections.close_down();
    part.connections.close_down();
    assert!(matches!(part.says()[..], [Up::AllEnded]));
}

// What a connection answers itself, such as requests without content, is said to nobody, and ends its turn as well: they are many in what is
// read at once. All of them are answered.
#[test]
fn a_turn_ends_with_much_that_is_answered_at_once() {
    let mut part = Part::new(64);
    let one = part.session(1);
    part.says();
    part.writes(one);
    let ask = "<iq type='get' id='1'/>";
    let count = 65_536 / ask.len();
    let all = ask.repeat(count);
    let mut fresh = all.as_bytes();
    part.connections.received(NOW, one, fresh.len());
    let (mut turns, mut answers) = (1, 0);
    while part.connections.advance(NOW, one, &mut fresh, &mut part.actions) {
        let answered = part.writes(one).matches("<bad-request").count();
        assert!((1..count / 2).contains(&answered), "{answered} of {count} in a turn");
        assert!(part.says().iter().all(|up| matches!(up, Up::Drained { .. })));
        (turns, answers) = (turns + 1, answers + answered);
    }
    answers += part.writes(one).matches("<bad-request").count();
    assert_eq!((turns, answers), (4, count));
}

// RFC 6120 §13.12, XEP-0198 §4: what a client that has sent too fast answers is not read for a time, which is no reason to take it for dead.
#[test]
fn who_is_read_from_more_slowly_may_answer_later() {
    let mut part = Part::new(64);
    let one = part.session(1);
    let enabled = part.enables(one);
    part.is_told(enabled);
    part.says();
    part.writes(one);
    let mut config = part.connections.config().clone();
    config.bytes_per_second = Some(1_000);
    part.connections.configure(config);
    part.is_told(deliver(one));
    part.writes(one);
    // All that is read at a time.
    part.receives(one, &" ".repeat(65_536));
    let mut asked = false;
    let now = loop {
        part.actions.clear();
        let now = part.connections.deadline().unwrap();
        for id in part.connections.due(now) {
            if part.connections.tick(now, id, &mut part.actions) {
                part.connections.advance(now, id, &mut &[][..], &mut part.actions);
            }
        }
        let said = part.writes(one);
        asked |= said.contains("<r ");
        assert!(!said.contains("stream:error"), "{said}");
        if part.actions.contains(&Action::Read(one)) {
            break now;
        }
    };
    assert!(asked && now > NOW + Duration::from_secs(60));
    let mut answer = &b"<a xmlns='urn:xmpp:sm:3' h='1'/>"[..];
    part.connections.received(now, one, answer.len());
    part.connections.advance(now, one, &mut answer, &mut part.actions);
    let said = part.says();
    assert!(said.iter().any(|up| matches!(up, Up::Acknowledged { count: 1, .. })), "{said:?}");
}

/// A client whose session may have nothing more taken of it for now, and has sent something, is to finish.
fn finishing(closing: Duration) -> (Part, ConnectionId) {
    let mut part = Part::new(64);
    let one = part.session(1);
    let mut config = part.connections.config().clone();
    config.limits.closing = closing;
    part.connections.configure(config);
    part.is_told(Down::Hold { connection: one, is_held: true });
    part.receives(one, MESSAGE);
    let error = Box::new(StreamCondition::Conflict.into());
    part.is_told(Down::Finish { connection: one, session: SessionId(1), error });
    (part, one)
}

// RFC 6120 §4.4: a server that leaves its clients no time to close ends one that finishes a moment later, as whatever is due now is done before.
// It has not read what it was told, so nothing is said of what is dropped.
#[test]
fn who_finishes_in_no_time_has_a_moment() {
    for goes_on in [false, true] {
        let (mut part, one) = finishing(Duration::ZERO);
        if goes_on {
            part.goes_on(one, &[]);
        }
        let at = part.connections.deadline().unwrap();
        assert!(at > NOW && at < NOW + Duration::from_secs(1), "{at:?}");
        assert!(part.says().is_empty());
        assert_eq!(part.connections.due(at), [one]);
        assert!(part.connections.tick(at, one, &mut part.actions));
        part.connections.advance(at, one, &mut &[][..], &mut part.actions);
        assert!(part.connections.deadline().is_some_and(|next| next > at));
        let said = part.says();
        assert!(matches!(said[..], [Up::Ended { session: SessionId(1) }]), "{said:?}");
        assert!(part.writes(one).contains("<conflict "));
    }
}

/// The same where it has sent nothing yet, and nothing more is due than that it is read on.
fn is_to_finish(part: &mut Part) -> ConnectionId {
    let one = part.session(1);
    let error = Box::new(StreamCondition::Conflict.into());
    part.is_told(Down::Finish { connection: one, session: SessionId(1), error });
    assert!(part.says().is_empty());
    one
}

impl Part {
    /// Whether the owner is told to read on and to say if there is nothing.
    fn asks(&mut self, id: ConnectionId) -> bool {
        let asks = self.actions.contains(&Action::ReadNow(id));
        self.actions.clear();
        asks
    }

    /// It is told that there is nothing.
    fn has_nothing(&mut self, now: Instant, id: ConnectionId) {
        self.connections.nothing_yet(now, id);
        self.connections.advance(now, id, &mut &[][..], &mut self.actions);
    }

    /// What is due is done. When that was.
    fn waits(&mut self) -> Instant {
        let now = self.connections.deadline().unwrap();
        for id in self.connections.due(now) {
            if self.connections.tick(now, id, &mut self.actions) {
                self.connections.advance(now, id, &mut &[][..], &mut self.actions);
            }
        }
        now
    }
}

// docs/guarantees.md: what has come of a client is read before its resource is bound anew, until there is nothing; if there was any, until there is nothing
// for a moment.
#[test]
fn who_finishes_is_read_until_nothing_comes() {
    for pieces in 0..3 {
        let mut part = Part::new(64);
        let one = is_to_finish(&mut part);
        for _ in 0..pieces {
            assert!(part.asks(one));
            part.receives(one, MESSAGE);
            assert!(matches!(part.says()[..], [Up::Stanza { .. }]));
        }
        assert!(part.asks(one));
        part.has_nothing(NOW, one);
        let mut now = NOW;
        if pieces > 0 {
            assert!(part.says().is_empty() && !part.asks(one));
            now = part.waits();
            assert!(now > NOW && now < NOW + Duration::from_millis(100), "{now:?}");
            assert!(part.asks(one));
            part.has_nothing(now, one);
        }
        let said = part.says();
        assert!(matches!(said[..], [Up::Ended { session: SessionId(1) }]), "{pieces}: {said:?}");
        assert!(part.writes(one).contains("<conflict "));
        // An answer to nothing.
        part.has_nothing(now, one);
    }
}

// The same if some of it comes after that was said, and before it was asked for.
#[test]
fn who_finishes_and_has_just_sent_something_has_a_moment_more() {
    let mut part = Part::new(64);
    let one = part.session(1);
    let error = Box::new(StreamCondition::Conflict.into());
    part.is_told(Down::Finish { connection: one, session: SessionId(1), error });
    part.receives(one, MESSAGE);
    assert!(matches!(part.says()[..], [Up::Stanza { .. }]));
    assert!(part.asks(one));
    part.has_nothing(NOW, one);
    assert!(part.says().is_empty());
    let now = part.waits();
    assert!(part.asks(one) && now > NOW);
    part.has_nothing(now, one);
    assert!(matches!(part.says()[..], [Up::Ended { session: SessionId(1) }]));
}

// RFC 6120 §13.12: it is read no faster than anybody, and what comes within the moment after nothing has come counts.
#[test]
fn who_finishes_and_sends_too_fast_is_read_from_more_slowly() {
    let mut part = Part::new(64);
    let mut config = part.connections.config().clone();
    config.bytes_per_second = Some(1_000);
    part.connections.configure(config);
    let one = is_to_finish(&mut part);
    assert!(part.asks(one));
    part.receives(one, &" ".repeat(2_500));
    assert!(!part.asks(one));
    let mut now = part.waits();
    assert!(part.asks(one) && now > NOW + Duration::from_secs(1), "{now:?}");
    part.has_nothing(now, one);
    part.connections.received(now, one, 1);
    part.connections.advance(now, one, &mut &b" "[..], &mut part.actions);
    while !part.asks(one) {
        assert!(part.says().is_empty());
        now = part.waits();
    }
    part.has_nothing(now, one);
    assert!(part.says().is_empty());
    now = part.waits();
    assert!(part.asks(one) && now < NOW + Duration::from_secs(5), "{now:?}");
    part.has_nothing(now, one);
    assert!(matches!(part.says()[..], [Up::Ended { .. }]));
}

// docs/guarantees.md: who wants the resource of a session waits no longer than that may take to finish, also if the router ends it meanwhile, and its client reads
// nothing of that.
#[test]
fn a_session_that_is_ended_while_it_finishes_is_gone_in_time() {
    let closing = Duration::from_secs(5);
    for after in [0, 100, 4_900, 4_999] {
        let (mut part, one) = finishing(closing);
        let now = NOW + Duration::from_millis(after);
        let error = Box::new(StreamCondition::ResourceConstraint.into());
        let close = Down::Close { connection: one, session: Some(SessionId(1)), error };
        part.connections.take(now, close, &mut part.actions);
        assert!(part.says().is_empty());
        let at = part.connections.deadline().unwrap();
        assert_eq!(at, NOW + closing);
        assert!(!part.connections.tick(at, one, &mut part.actions));
        let said = part.says();
        assert!(matches!(said[..], [Up::Gone { session: SessionId(1) }]), "{said:?}");
    }
}

impl Part {
    /// A client that waits for an answer until it is told that there will be none. When that is.
    fn is_answered_too_late(&mut self, id: ConnectionId) -> Instant {
        let now = NOW + self.connections.config().limits.answer;
        assert!(self.connections.due(now).contains(&id));
        assert!(self.connections.tick(now, id, &mut self.actions));
        self.connections.advance(now, id, &mut &[][..], &mut self.actions);
        now
    }

    /// It hears what would have been in time before, and what is delivered behind that. What is written then.
    fn hears(&mut self, now: Instant, id: ConnectionId, late: Down) -> String {
        self.writes(id);
        self.connections.take(now, late, &mut self.actions);
        self.connections.take(now, deliver(id), &mut self.actions);
        self.writes(id)
    }
}

// A client that was told that it has no resource has none, and the session that was begun for it is over: nothing that is for that gets to whatever the
// client has bound meanwhile.
#[test]
fn a_session_that_was_bound_too_late_is_over() {
    for has_another in [false, true] {
        let mut part = Part::new(1);
        let one = part.client();
        let late = part.binds(one, 1);
        let now = part.is_answered_too_late(one);
        assert!(part.writes(one).contains("<internal-server-error "));
        if has_another {
            let bound = part.binds(one, 2);
            part.is_told(bound);
        }
        let written = part.hears(now, one, late);
        assert!(!written.contains("<message"), "{written}");
        let said = part.says();
        let is_over =
            |one: u64| said.iter().any(|up| matches!(up, Up::Ended { session } if session.0 == one));
        let is_gone = |one: u64| said.iter().any(|up| matches!(up, Up::Gone { session } if session.0 == one));
        assert!(is_over(1) && is_gone(1), "{has_another}: {said:?}");
        assert_eq!((is_over(2), is_gone(2)), (has_another, has_another), "{said:?}");
    }
}

// XEP-0198 §5: a client that was told that its session can't go on may have another one on the same stream. That gets nothing that is for the first.
#[test]
fn a_session_that_goes_on_too_late_waits_again() {
    for has_another in [false, true] {
        let mut part = Part::new(1);
        let old = part.session(1);
        let enabled = part.enables(old);
        part.is_told(enabled);
        part.is_told(leave(old));
        let Some(Up::Lost { counts, .. }) = part.says().pop() else { panic!() };
        let one = part.client();
        part.receives(one, "<resume xmlns='urn:xmpp:sm:3' previd='name' h='0'/>");
        let said = part.says();
        let [Up::Resume { ticket, .. }] = said[..] else { panic!("{said:?}") };
        let jid = Box::new("juliet@example.com/1".parse().unwrap());
        let late = Down::Resumed { connection: one, ticket, session: SessionId(1), jid, received: 0, counts };
        let now = part.is_answered_too_late(one);
        assert!(part.writes(one).contains("<failed "));
        if has_another {
            let bound = part.binds(one, 2);
            part.is_told(bound);
        }
        let written = part.hears(now, one, late);
        assert!(!written.contains("<message"), "{has_another}: {written}");
        let said = part.says();
        let is_lost = said.iter().any(|up| matches!(up, Up::Lost { session: SessionId(1), .. }));
        assert!(is_lost, "{said:?}");
    }
}

// XEP-0198 §3: a client that was told that nothing is counted acknowledges nothing, and is not waited for.
#[test]
fn who_is_to_acknowledge_too_late_has_another_stream() {
    let mut part = Part::new(1);
    let one = part.session(1);
    let late = part.enables(one);
    let now = part.is_answered_too_late(one);
    assert!(part.writes(one).contains("<failed "));
    let written = part.hears(now, one, late);
    assert!(!written.contains("<message"), "{written}");
    let said = part.says();
    assert!(said.iter().any(|up| matches!(up, Up::Ended { session: SessionId(1) })), "{said:?}");
}

// Who has waited too long for its session, and has another one on the same stream, keeps that when somebody else gets the first: the router knows nothing of an end.
#[test]
fn another_session_does_not_end_with_one_that_was_given_up() {
    let mut part = Part::new(1);
    let one = part.client();
    part.receives(one, "<resume xmlns='urn:xmpp:sm:3' previd='name' h='0'/>");
    assert!(matches!(part.says()[..], [Up::Resume { .. }]));
    let now = part.is_answered_too_late(one);
    let bound = part.binds(one, 2);
    part.is_told(bound);
    let error = Box::new(StreamCondition::Conflict.into());
    let close = Down::Close { connection: one, session: None, error };
    let written = part.hears(now, one, close);
    assert!(written.contains("<message") && !written.contains("<conflict"), "{written}");
    part.receives(one, "</stream:stream>");
    let said = part.says();
    assert!(said.iter().any(|up| matches!(up, Up::Ended { session: SessionId(2) })), "{said:?}");
}
