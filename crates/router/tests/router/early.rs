//! What a session has left that waits for its client's first word at another one: each message comes once, and in order.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{World, available, bare, config, content, jid, wires};

const JULIET: &str = "juliet@example.com";
const PHONE: &str = "juliet@example.com/phone";
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn number(wire: &str) -> Option<usize> {
    wire.split_once("<body>")?.1.split_once("</body>")?.0.parse().ok()
}

fn world_with(config: balcony_router::Config) -> (World, SessionId, SessionId) {
    let mut world = World::with(config);
    world.befriend("romeo@example.net", JULIET, Subscription::Both);
    world.befriend(JULIET, "romeo@example.net", Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available(PHONE, 0);
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    (world, romeo, phone)
}

fn detach(world: &mut World, session: SessionId) -> bool {
    let mut effects = Vec::new();
    let waits = world.router.detach(world.now, session, &mut effects);
    world.serve(&mut effects);
    waits
}

/// What may happen to one resource.
#[derive(Clone, Debug)]
enum Step {
    /// A message comes to its full address, or to the account.
    Full,
    Bare,
    /// The network is lost: the session waits for its client if it acknowledges, or is over.
    Lose,
    /// The resource is bound anew.
    Bind,
    /// The client acknowledges from now on; it does so at once.
    Manage,
    /// It says something.
    Word(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Full),
        3 => Just(Step::Bare),
        2 => Just(Step::Lose),
        3 => Just(Step::Bind),
        2 => Just(Step::Manage),
        2 => (0_u8..5).prop_map(Step::Word),
        1 => prop::sample::select(vec![1_u64, 10, 29, 30, 31]).prop_map(Step::Wait),
    ]
}

/// The resource with its session, if there is one, and what its clients have got.
struct One {
    world: World,
    session: Option<SessionId>,
    is_managed: bool,
    is_away: bool,
    next: u64,
    got: Vec<usize>,
    log: Vec<String>,
}

impl One {
    /// What goes to the session.
    fn take(&mut self, effects: &[Effect]) {
        let Some(session) = self.session else { return };
        let mut effects = effects.to_vec();
        loop {
            let got = wires(&effects, session);
            let count = got.len();
            for wire in &got {
                self.log.push(format!("   {session:?} {wire}"));
                self.got.extend(number(wire).filter(|_| wire.starts_with("<message")));
            }
            if count == 0 {
                return;
            }
            effects = Vec::new();
            if self.is_managed {
                let (tell, now) = (u32::try_from(count).unwrap(), self.world.now);
                self.world.router.acknowledged(now, session, tell, &mut effects);
                self.world.serve(&mut effects);
            }
        }
    }
}

proptest! {
    // RFC 6120 §10.1, docs/guarantees.md: nothing is lost, nor comes twice to clients that acknowledge it; what was sent to one address comes in order
    // as long as the resource is bound.
    #[test]
    fn each_comes_once_and_in_order(
        steps in prop::collection::vec(step(), 0..30),
        credit in prop::sample::select(vec![1_usize, 600, 65_536]),
    ) {
        let mut config = config();
        config.limits.credit = credit;
        let (world, romeo, phone) = world_with(config);
        let mut one = One {
            world,
            session: Some(phone),
            is_managed: true,
            is_away: false,
            next: 1_000,
            got: vec![],
            log: vec![],
        };
        let (mut sent, mut is_ordered, mut full) = (0, true, vec![]);
        let end = [Step::Bind, Step::Word(0), Step::Wait(60), Step::Wait(60)];
        for step in steps.into_iter().chain(end) {
            one.log.push(format!("{step:?}"));
            let effects = match step {
                Step::Full => {
                    if one.session.is_none() {
                        continue;
                    }
                    let chat = chat(sent).with_to(jid(PHONE));
                    full.push(sent);
                    sent += 1;
                    one.world.send(romeo, chat)
                }
                Step::Bare => {
                    let chat = chat(sent);
                    sent += 1;
                    one.world.send(romeo, chat)
                }
                Step::Lose => {
                    let Some(session) = one.session else { continue };
                    if one.is_away {
                        continue;
                    }
                    if one.is_managed {
                        prop_assert!(detach(&mut one.world, session));
                        one.is_away = true;
                        vec![]
                    } else {
                        is_ordered = false;
                        one.session = None;
                        one.world.unbound(session)
                    }
                }
                Step::Bind => {
                    if one.session.is_some() && !one.is_away {
                        continue;
                    }
                    one.next += 1;
                    let session = SessionId(one.next);
                    let effects = one.world.bind(session, JULIET, "phone");
                    (one.session, one.is_managed, one.is_away) = (Some(session), false, false);
                    effects
                }
                Step::Manage => {
                    let Some(session) = one.session else { continue };
                    if one.is_away || one.is_managed {
                        continue;
                    }
                    let mut effects = vec![];
                    prop_assert!(one.world.router.manage(session, WAIT, &mut effects));
                    one.world.serve(&mut effects);
                    one.is_managed = true;
                    effects
                }
                Step::Word(which) => {
                    let Some(session) = one.session else { continue };
                    if one.is_away {
                        continue;
                    }
                    let word = match which {
                        0 => available(0),
                        1 => available(-1),
                        2 => Stanza::presence(PresenceType::Unavailable),
                        3 => Stanza::iq(IqType::Result).with_id("x").with_to(jid("romeo@example.net/street")),
                        _ => content("<body>x</body>").with_to(jid("romeo@example.net")),
                    };
                    one.world.send(session, word)
                }
                Step::Wait(seconds) => {
                    let end = one.world.now + Duration::from_secs(seconds);
                    let mut all = vec![];
                    while let Some(due) = one.world.router.deadline().filter(|due| due.at <= end) {
                        one.world.now = one.world.now.max(due.at);
                        let now = one.world.now;
                        let mut effects = vec![];
                        one.world.router.tick(now, &mut effects);
                        one.world.serve(&mut effects);
                        prop_assert!(one.world.router.deadline().is_none_or(|due| due.at > now), "due");
                        all.append(&mut effects);
                    }
                    one.world.now = end;
                    all
                }
            };
            one.take(&effects);
        }
        let mut got = one.got.clone();
        let (to_resource, to_account): (Vec<usize>, Vec<usize>) =
            got.iter().partition(|number| full.contains(*number));
        let log = one.log.join("\n");
        prop_assert!(!is_ordered || to_resource.is_sorted() && to_account.is_sorted(), "{:?}\n{}", got, log);
        got.sort_unstable();
        prop_assert_eq!(got, (0..sent).collect::<Vec<_>>(), "{}", log);
        prop_assert_eq!((one.world.router.queued(), one.world.kept(JULIET).len()), (0, 0));
        prop_assert_eq!(one.world.store.documents(&bare(JULIET), "undelivered").count(), 0);
    }
}
