//! What becomes of words that cross each other on the way between connections and the hub.

use alloc::string::String;
use alloc::vec;

use balcony_machine::Secret;
use balcony_router::Memory;
use balcony_stanza::{MessageType, PresenceType};
use balcony_xml::{Element, Name};

use super::*;
use crate::connections::{BindRequest, Via};
use crate::words::Next;
use crate::{ConnectionId, SavedSession};

const JULIET: &str = "juliet@example.com";
const VIA: Via = Via { is_secured: true, address: None };

/// A hub whose connections are the test's words, and a store that answers at once.
struct World {
    hub: Hub,
    store: Memory,
    kept: Vec<SavedSession>,
    tickets: u64,
    now: Instant,
    /// Whether the store refuses to write anything, or does not answer.
    refuses: bool,
    hangs: bool,
    /// The addresses of sessions that it never keeps.
    refused: Vec<&'static str>,
    /// How often it was asked to keep sessions.
    asked: usize,
    /// What was logged.
    lines: Vec<String>,
}

impl World {
    fn new() -> World {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        config.keep_sessions = true;
        let mut store = Memory::default();
        store.create(JULIET.parse().unwrap());
        World {
            hub: Hub::new(&config, &Seed::from_u64(1), 1),
            store,
            kept: Vec::new(),
            tickets: 0,
            now: Instant::ZERO,
            refuses: false,
            hangs: false,
            refused: Vec::new(),
            asked: 0,
            lines: Vec::new(),
        }
    }

    /// Connections say this. What they are told.
    fn says(&mut self, up: Up) -> Vec<Down> {
        let mut actions = Vec::new();
        self.hub.up(self.now, up, &mut actions);
        self.go_on(actions)
    }

    /// So much time passes.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.hub.deadline().filter(|due| due.at <= end) {
            self.now = self.now.max(due.at);
            let mut actions = Vec::new();
            self.hub.tick(self.now, &mut actions);
            self.go_on(actions);
        }
        self.now = end;
    }

    fn go_on(&mut self, mut actions: Vec<Action>) -> Vec<Down> {
        let mut said = Vec::new();
        loop {
            while let Some(down) = self.hub.next_down(self.now, &mut actions) {
                said.push(down);
            }
            self.hub.go_on_closing(self.now, &mut actions);
            let Some(action) = actions.pop() else { return said };
            if let Action::Log(_, line) = &action {
                self.lines.push(line.clone());
            }
            if let Action::Ask(ticket, ask) = action {
                let answer = match ask {
                    Ask::Router(balcony_router::Ask::Save { .. }) if self.refuses => {
                        Answer::Router(balcony_router::Answer::Refused)
                    }
                    Ask::Router(balcony_router::Ask::Save { .. }) if self.hangs => continue,
                    Ask::Router(ask) => Answer::Router(self.store.answer(0, ask)),
                    Ask::Sessions { sessions, .. }
                        if self.refuses
                            || sessions
                                .iter()
                                .any(|own| self.refused.iter().any(|refused| *refused == &*own.key)) =>
                    {
                        self.asked += 1;
                        Answer::Sessions(false)
                    }
                    Ask::Sessions { sessions, .. } => {
                        self.kept.extend(sessions);
                        Answer::Sessions(true)
                    }
                    _ => continue,
                };
                self.hub.answer(self.now, ticket, answer, &mut actions);
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// A client begins a session that it can have back by the name that is given.
    fn begin(&mut self, connection: ConnectionId) -> (SessionId, String) {
        self.begin_as(connection, "phone")
    }

    /// The same with this resource.
    fn begin_as(&mut self, connection: ConnectionId, resource: &str) -> (SessionId, String) {
        let (ticket, enable) = (self.ticket(), Some(Enable { resume: true, max: None }));
        let account = JULIET.parse().unwrap();
        let (resource, installation, inline) = (Some(resource.into()), None, None);
        let request = BindRequest { account, resource, installation, inline, enable, proven: 0, via: VIA };
        let said = self.says(Up::Bind { connection, ticket, request: Box::new(request) });
        let [Down::Bound { session, bound, .. }, ..] = &said[..] else { panic!("{said:?}") };
        let (_, enabled) = bound.as_ref().as_ref().unwrap();
        (*session, enabled.as_ref().unwrap().resumable.as_ref().unwrap().id.as_ref().into())
    }

    fn resume(&mut self, connection: ConnectionId, name: &str) -> Vec<Down> {
        self.resume_with(connection, name, 0)
    }

    fn resume_with(&mut self, connection: ConnectionId, name: &str, proven: u64) -> Vec<Down> {
        let (ticket, account) = (self.ticket(), JULIET.parse().unwrap());
        let request = ResumeRequest { account, previd: name.into(), h: 0, proven, via: VIA };
        self.says(Up::Resume { connection, ticket, request: Box::new(request) })
    }

    fn lost(&mut self, session: SessionId) -> Vec<Down> {
        self.says(Up::Lost { session, counts: Box::default() })
    }
}

fn is_resumed_at(said: &[Down], at: ConnectionId) -> bool {
    said.iter().any(|down| matches!(down, Down::Resumed { connection, .. } if *connection == at))
}

// XEP-0198 §5 [SM14] [SM17]: the client of a session has gone again before it could hear that it has its session back, and that is still to
// be said when all connections are gone. The session is kept once it is.
#[test]
fn what_is_on_its_way_to_a_connection_is_awaited() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    world.lost(session);
    world.hub.shutdown(Instant::ZERO);
    assert!(is_resumed_at(&world.resume(ConnectionId(2), &name), ConnectionId(2)));
    world.says(Up::AllEnded);
    world.says(Up::Alone(true));
    assert!(world.kept.is_empty() && world.hub.is_saving());
    world.lost(session);
    assert_eq!((world.kept.len(), world.hub.is_saving()), (1, false));
    assert_eq!(world.hub.router.counts().sessions, 0);
}

/// A server shuts down with one session that waits for its client, and a message in its queue that was written before or not; its store refuses
/// everything for so many seconds more.
fn shut_down(is_written: bool, refuses: Option<u64>) -> World {
    let mut world = World::new();
    let (session, _) = world.begin(ConnectionId(1));
    world.says(Up::Stanza {
        session,
        number: 0,
        stanza: Box::new(
            Stanza::presence(PresenceType::Available).with_from("juliet@example.com/phone".parse().unwrap()),
        ),
    });
    world.refuses = !is_written;
    world.lost(session);
    let body = Element::new(Name::from_static("body"), "jabber:client").text("hail");
    let message = Stanza::message(MessageType::Chat).with_to(JULIET.parse().unwrap()).with_child(body);
    world.hub.send(world.now, message.with_from("example.com".parse().unwrap())).unwrap();
    world.go_on(Vec::new());
    world.refuses = refuses.is_some();
    world.hub.shutdown(world.now);
    world.says(Up::AllEnded);
    world.says(Up::Alone(true));
    if let Some(seconds) = refuses {
        world.wait(Duration::from_secs(seconds));
        world.refuses = false;
        world.wait(Duration::from_secs(60));
    }
    assert!(!world.hub.is_saving() && world.hub.deadline().is_none());
    world
}

// docs/guarantees.md: a store that refuses to keep the sessions of a server that shuts down is asked again each second, for 15 seconds. Then they
// are over, which is said, with what is lost.
#[test]
fn sessions_that_cannot_be_kept_are_tried_again() {
    for is_written in [false, true] {
        let world = shut_down(is_written, None);
        assert_eq!((world.kept.len(), world.asked, world.lines.len()), (1, 0, 0));
        assert!(world.hub.given_up.is_nothing());
        let world = shut_down(is_written, Some(10));
        assert_eq!((world.kept.len(), world.asked), (1, 11));
        assert!(world.lines.is_empty() && world.hub.given_up.is_nothing(), "{:?}", world.lines);
        let world = shut_down(is_written, Some(30));
        let GivenUp { requests, sessions, messages, .. } = world.hub.given_up;
        assert_eq!((requests, sessions, messages), (0, 1, usize::from(!is_written)));
        assert_eq!((world.kept.len(), world.asked), (0, 16));
        let [line] = &world.lines[..] else { panic!("{:?}", world.lines) };
        assert!(line.starts_with("1 session could not be kept"), "{line}");
        assert_eq!(line.contains("1 message that it had not acknowledged was in memory only"), !is_written);
        assert_eq!(line.contains("are in the store"), is_written);
        let juliet = JULIET.parse().unwrap();
        assert_eq!(world.store.documents(&juliet, "undelivered").count(), usize::from(is_written));
    }
}

// A message that waits for two sessions is one message, and is not lost with one of them if the other one is kept. (It is so long that both sessions are not
// kept with one ask.)
#[test]
fn what_waits_for_two_sessions_is_lost_once() {
    const PHONE: &str = "juliet@example.com/phone";
    const DESK: &str = "juliet@example.com/desk";
    for (refused, lost) in [(vec![PHONE, DESK], 2), (vec![PHONE], 1), (vec![DESK], 0)] {
        let mut world = World::new();
        let sessions = [(1, "phone", PHONE), (2, "desk", DESK)].map(|(number, resource, address)| {
            let (session, _) = world.begin_as(ConnectionId(number), resource);
            let presence = Stanza::presence(PresenceType::Available).with_from(address.parse().unwrap());
            world.says(Up::Stanza { session, number: 0, stanza: Box::new(presence) });
            session
        });
        world.refuses = true;
        for session in sessions {
            world.lost(session);
        }
        for (to, bytes) in [(JULIET, 200_000), (PHONE, 10)] {
            let body = Element::new(Name::from_static("body"), "jabber:client").text("x".repeat(bytes));
            let message = Stanza::message(MessageType::Chat).with_to(to.parse().unwrap()).with_child(body);
            world.hub.send(world.now, message.with_from("example.com".parse().unwrap())).unwrap();
            world.go_on(Vec::new());
        }
        world.refuses = false;
        world.refused.clone_from(&refused);
        world.hub.shutdown(world.now);
        world.says(Up::AllEnded);
        world.says(Up::Alone(true));
        world.wait(Duration::from_secs(60));
        assert!(!world.hub.is_saving());
        assert_eq!(world.kept.len(), 2 - refused.len());
        let [line] = &world.lines[..] else { panic!("{:?}", world.lines) };
        let says = match lost {
            0 => "are in the store".into(),
            1 => "1 message that it had not acknowledged was in memory only".into(),
            _ => alloc::format!("{lost} messages that they had not acknowledged were in memory only"),
        };
        assert!(
            line.starts_with(&alloc::format!("{} session", refused.len())) && line.contains(&says),
            "{line}"
        );
    }
}

// XEP-0198 §5 [SM17]: a connection says that it can't let a session go, which it has lost by then and which has another connection. That one is
// asked, and whoever wants the session gets it.
#[test]
fn a_late_refusal_is_of_no_account() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    let leaves = |said: &[Down]| match said {
        [Down::Leave { connection, .. }] => connection.0,
        _ => panic!("{said:?}"),
    };
    assert_eq!(leaves(&world.resume(ConnectionId(2), &name)), 1);
    // It was lost before that came, and is asked then.
    assert!(is_resumed_at(&world.lost(session), ConnectionId(2)));
    assert_eq!(leaves(&world.resume(ConnectionId(3), &name)), 2);
    assert_eq!(world.says(Up::Stays { session, connection: ConnectionId(1) }).len(), 0);
    assert!(is_resumed_at(&world.lost(session), ConnectionId(3)));
    // The one that it has now counts.
    assert_eq!(leaves(&world.resume(ConnectionId(4), &name)), 3);
    let said = world.says(Up::Stays { session, connection: ConnectionId(3) });
    assert!(matches!(said[..], [Down::NotResumed { connection: ConnectionId(4), .. }]), "{said:?}");
}

// XEP-0198 §5: of clients that want a session back at the same moment the one that has come last gets it. The others are not told that it is
// over, but what they would be told if they had had it.
#[test]
fn who_comes_back_at_the_same_moment_is_not_told_that_it_is_over() {
    let is_told_conflict = |down: &Down, at: u64| {
        matches!(down, Down::Close { connection: ConnectionId(to), session: None, error }
            if *to == at && error.condition == StreamCondition::Conflict)
    };
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    world.resume(ConnectionId(2), &name);
    let said = world.resume(ConnectionId(3), &name);
    assert!(said.len() == 1 && is_told_conflict(&said[0], 2), "{said:?}");
    assert!(is_resumed_at(&world.lost(session), ConnectionId(3)));
}

// XEP-0198 §5: a client whose session did not go on in time has another one on the same stream. The first waits on, and is not given to that stream.
#[test]
fn who_has_given_up_a_session_does_not_get_it() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    world.hangs = true;
    let change = b"<iq from='juliet@example.com/phone' type='set' id='1'>\
        <query xmlns='jabber:iq:roster'><item jid='romeo@example.com'/></query></iq>";
    world.says(Up::Stanza { session, number: 0, stanza: Box::new(Stanza::parse(change).unwrap()) });
    world.lost(session);
    assert!(world.resume(ConnectionId(2), &name).is_empty());
    let (other, _) = world.begin_as(ConnectionId(2), "desk");
    world.wait(Duration::from_secs(40));
    assert_eq!(world.hub.sessions.connection(other), Some(ConnectionId(2)));
    assert_eq!(world.hub.sessions.connection(session), None);
    assert!(is_resumed_at(&world.resume(ConnectionId(3), &name), ConnectionId(3)));
}

// The same if the session has yet to leave its connection, and if it was a place that was waited for: who has given that up does not get it.
#[test]
fn who_has_given_up_what_is_yet_to_come_does_not_get_it() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    assert!(matches!(&world.resume(ConnectionId(2), &name)[..], [Down::Leave { .. }]));
    world.begin_as(ConnectionId(2), "desk");
    let said = world.lost(session);
    assert!(said.is_empty(), "{said:?}");
    assert!(is_resumed_at(&world.resume(ConnectionId(3), &name), ConnectionId(3)));

    let bind = |world: &mut World, number: u64, resource: &str| {
        let (ticket, account) = (world.ticket(), JULIET.parse().unwrap());
        let (resource, installation, inline, enable) = (Some(resource.into()), None, None, None);
        let request = BindRequest { account, resource, installation, inline, enable, proven: 0, via: VIA };
        world.says(Up::Bind { connection: ConnectionId(number), ticket, request: Box::new(request) })
    };
    assert!(matches!(&bind(&mut world, 4, "phone")[..], [Down::Finish { .. }]));
    assert!(matches!(&bind(&mut world, 4, "hall")[..], [Down::Bound { .. }]));
    let said = world.says(Up::Ended { session });
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(world.hub.router.sessions(&JULIET.parse().unwrap()).count(), 2);
}

// XEP-0198 1.6.2 §5 [SM15]: whoever comes too late hears how much of what was sent had come, and does not send it again. Nobody else does.
#[test]
fn who_comes_too_late_hears_what_had_come() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    let said = world.lost(session);
    assert!(said.is_empty(), "{said:?}");
    world.wait(Duration::from_secs(10_000));
    let h = |said: &[Down]| match said {
        [Down::NotResumed { h, .. }] => *h,
        said => panic!("{said:?}"),
    };
    assert_eq!(h(&world.resume(ConnectionId(2), &name)), Some(0));
    assert_eq!(h(&world.resume(ConnectionId(2), &format!("{name}0"))), None);
    let (ticket, account) = (world.ticket(), "romeo@example.com".parse().unwrap());
    let request = Box::new(ResumeRequest { account, previd: name, h: 0, proven: 0, via: VIA });
    assert_eq!(h(&world.says(Up::Resume { connection: ConnectionId(3), ticket, request })), None);
}

// XEP-0198 §5: a client that was told that its session does not go on yet asks for it once more, on the same stream, and is not told that it has come on
// another one.
#[test]
fn who_asks_twice_for_a_session_gets_it_once() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    let leaves = |said: &[Down]| matches!(said, [Down::Leave { .. }]);
    assert!(leaves(&world.resume(ConnectionId(2), &name)));
    assert!(world.resume(ConnectionId(2), &name).is_empty());
    let said = world.lost(session);
    let Down::Resumed { ticket, .. } = &said[0] else { panic!("{said:?}") };
    assert_eq!((ticket.0, said.len()), (world.tickets, 1));
    world.hangs = true;
    let change = b"<iq from='juliet@example.com/phone' type='set' id='1'>\
        <query xmlns='jabber:iq:roster'><item jid='romeo@example.com'/></query></iq>";
    world.says(Up::Stanza { session, number: 0, stanza: Box::new(Stanza::parse(change).unwrap()) });
    world.lost(session);
    assert!(world.resume(ConnectionId(3), &name).is_empty());
    assert!(world.resume(ConnectionId(3), &name).is_empty());
    world.wait(Duration::from_secs(40));
    assert_eq!(world.hub.sessions.connection(session), Some(ConnectionId(3)));
}

// RFC 6120 §6.3.2: who has proven a password before it was changed does not get in, nor back.
#[test]
fn older_proofs_do_not_count() {
    let mut world = World::new();
    let (session, name) = world.begin(ConnectionId(1));
    world.lost(session);
    world.hub.credentials_changed(Instant::ZERO, JULIET.parse().unwrap());
    // No question was asked since.
    let first = world.hub.asks.next().0;
    let said = world.resume_with(ConnectionId(2), &name, first - 1);
    let is_refused = |down: &Down| matches!(down, Down::Close { error, .. } if error.condition == StreamCondition::NotAuthorized);
    assert!(said.len() == 1 && is_refused(&said[0]), "{said:?}");
    assert!(is_resumed_at(&world.resume_with(ConnectionId(3), &name, first), ConnectionId(3)));
}

/// What a stanza comes to for a connection of this part, made by the first of two: its bytes, if it is written already.
fn delivered(part: u64, stanza: &Arc<Stanza>) -> Option<Vec<u8>> {
    let config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
    let mut hub = Hub::new(&config, &Seed::from_u64(1), 2);
    hub.deliver(ConnectionId(part << 24), Arc::clone(stanza));
    let mail = hub.mail.iter_mut().find(|mail| !mail.words.is_empty()).unwrap();
    match mail.words.next().unwrap() {
        Next::Down(_) => None,
        Next::Across { bytes, .. } => Some(bytes.to_vec()),
    }
}

// Whoever has another thread's stanza to write would wait for the other processor for each piece of it.
#[test]
fn a_short_stanza_goes_to_another_part_as_bytes() {
    let message = |length| {
        let body = Element::new(Name::from_static("body"), "jabber:client").text("x".repeat(length));
        Stanza::message(MessageType::Chat).with_child(body)
    };
    let short = Arc::new(message(100));
    assert_eq!(delivered(1, &short), Some(short.to_xml().into_bytes()));
    assert_eq!(delivered(0, &short), None, "its own part has it near");
    // To copy them would keep others from the hub.
    assert_eq!(delivered(1, &Arc::new(message(2_000))), None);
    let _all = [Arc::clone(&short), Arc::clone(&short)];
    assert_eq!(delivered(1, &short), None, "it is written once for each who gets it");
}

// Whoever comes again and again while a session makes way costs no more each time, however many have come before: only the last of them has the place.
#[test]
fn those_who_wait_for_a_place_are_not_asked_for_again_and_again() {
    const COUNT: u64 = 200;
    let mut world = World::new();
    let (first, _) = world.begin(ConnectionId(1));
    let mut words = 0;
    for number in 2..2 + COUNT {
        let (ticket, account) = (world.ticket(), JULIET.parse().unwrap());
        let (resource, installation, inline, enable) = (Some("phone".into()), None, None, None);
        let request = BindRequest { account, resource, installation, inline, enable, proven: 0, via: VIA };
        let connection = ConnectionId(number);
        words += world.says(Up::Bind { connection, ticket, request: Box::new(request) }).len();
    }
    // All connections end when they are told to.
    let mut ending = vec![first];
    let mut last = None;
    while let Some(session) = ending.pop() {
        let mut said = world.says(Up::Ended { session });
        said.extend(world.says(Up::Gone { session }));
        words += said.len();
        for down in said {
            match down {
                Down::Bound { connection, session, .. } => last = Some((connection, session)),
                Down::Finish { session, .. } if !ending.contains(&session) => ending.push(session),
                _ => {}
            }
        }
    }
    assert_eq!(last.map(|(connection, _)| connection), Some(ConnectionId(1 + COUNT)));
    assert!(words <= 6 * COUNT as usize, "{words} words for {COUNT} that have come");
}
