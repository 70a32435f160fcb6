//! A phone that sleeps, and connects only when its push service is told that something waits (XEP-0357): whole clients and a whole server.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use balcony_client::{Agent, AgentConfig, AgentEvent, Backoff, Message, Presence, Push};
use balcony_machine::{Instant, Seed};
use balcony_sim::{Accounts, Chunks, ClientId, Simulation, World};
use balcony_stanza::{ErrorCondition, Payload};
use balcony_xep::push::{Enable, Publish, Request};

const SERVICE: &str = "tybalt@example.com/service";

/// What the phone and its service have seen.
#[derive(Default)]
struct Seen {
    messages: Vec<usize>,
    pushes: usize,
}

struct Sleeper {
    simulation: Simulation,
    romeo: ClientId,
    phone: ClientId,
    seen: Rc<RefCell<Seen>>,
}

impl Sleeper {
    /// Juliet's phone, awake; a service that knows nothing of her; and Romeo.
    fn new(seed: u64, resumption: Duration) -> Sleeper {
        let names = ["romeo", "juliet", "tybalt"];
        let accounts =
            names.iter().fold(Accounts::new(), |all, name| all.with(&format!("{name}@example.com"), "p"));
        let chunks = Chunks::Random(Box::new(Seed::from_u64(seed).random()));
        let mut simulation = Simulation::new(World::new(accounts, chunks, seed, |config| {
            (config.stream_management, config.keep_sessions) = (true, true);
            config.limits.resumption = resumption;
            config.iq_needs_presence = false;
        }));
        let seen = Rc::new(RefCell::new(Seen::default()));
        // It comes back soon, as a device does that was woken.
        let agent = |presence| {
            let mut agent = AgentConfig::default();
            (agent.presence, agent.is_patient) = (presence, true);
            agent.backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
            agent
        };
        let (config, told) = (simulation.config(SERVICE, "p"), Rc::clone(&seen));
        simulation.bot_with(config, agent(None), (), move |agent: &mut Agent<()>, _, event| {
            if let AgentEvent::Request((id, request)) = event {
                match Publish::read(request.element()) {
                    Some(publish) if publish.node.as_deref() == Some("x") => {
                        told.borrow_mut().pushes += 1;
                        agent.reply(id, Payload::EMPTY);
                    }
                    _ => {
                        agent.refuse(id, &ErrorCondition::ItemNotFound.into());
                    }
                }
            }
        });
        let (config, told) = (simulation.config("juliet@example.com/phone", "p"), Rc::clone(&seen));
        let logic = move |agent: &mut Agent<(Push,)>, now: Instant, event| match event {
            AgentEvent::Online(_) => {
                let enable = Enable { jid: SERVICE.parse().unwrap(), node: Some("x".into()), options: None };
                agent.call::<Push>(now, Request::Enable(enable)).unwrap().unwrap();
            }
            AgentEvent::Message(message) => {
                told.borrow_mut().messages.push(message.body().unwrap().parse().unwrap());
            }
            AgentEvent::Request((id, _)) => {
                agent.refuse(id, &ErrorCondition::ServiceUnavailable.into());
            }
            _ => {}
        };
        let phone = simulation.bot_with(config, agent(Some(Presence::default())), (Push::new(),), logic);
        let romeo = simulation.client("romeo@example.com/garden", "p");
        Sleeper { simulation, romeo, phone, seen }
    }

    fn say(&mut self, number: usize) {
        let message = Message::chat("juliet@example.com".parse().unwrap()).body(number.to_string());
        self.simulation.send(self.romeo, message);
        self.simulation.run();
    }

    fn pushes(&self) -> usize {
        self.seen.borrow().pushes
    }
}

// XEP-0357 0.4.1 §7 [PN8]: whoever sleeps until the service is told gets every message, once, in order, and soon; and nothing is told to
// wake somebody for whom nothing has come. The server is started anew meanwhile, and the session may be over.
#[test]
fn a_phone_that_only_a_push_wakes_gets_everything() {
    let mut all_restarts = 0;
    for seed in 0..24 {
        let mut random = Seed::from_u64(seed).random();
        let mut below = |limit: u64| random.next_u64() % limit;
        let resumption = [60, 600][usize::try_from(seed % 2).unwrap()];
        let mut world = Sleeper::new(seed, Duration::from_secs(resumption));
        assert!(world.simulation.jid(world.phone).is_some());
        let (mut said, mut restarts) = (0, 0);
        for step in 0..12 {
            // It has what has come, and sleeps.
            world.simulation.wait(Duration::from_secs(30));
            let told = world.pushes();
            world.simulation.unplug(world.phone, true);
            if below(3) == 0 {
                // It may be asleep for so long that its session is over.
                world.simulation.wait(Duration::from_secs(below(900)));
            }
            if below(6) == 0 {
                world.simulation.world.restart(Duration::from_secs(5));
                world.simulation.wait(Duration::from_secs(60));
                restarts += 1;
            }
            assert_eq!(world.pushes(), told, "seed {seed}, step {step}: it was woken for nothing");
            for _ in 0..=below(4) {
                world.say(said);
                said += 1;
                world.simulation.wait(Duration::from_secs(below(8)));
            }
            assert!(world.pushes() > told, "seed {seed}, step {step}: nobody was told");
            if below(6) == 0 {
                world.simulation.world.restart(Duration::from_secs(5));
                world.simulation.wait(Duration::from_secs(60));
                restarts += 1;
            }
            // What the device fetches when it is woken is all that there is.
            assert!(world.seen.borrow().messages.len() < said);
            world.simulation.unplug(world.phone, false);
            world.simulation.wait(Duration::from_secs(10));
            let messages = world.seen.borrow().messages.clone();
            assert_eq!(messages, (0..said).collect::<Vec<_>>(), "seed {seed}, step {step}");
        }
        // While it is awake nobody is told.
        let told = world.pushes();
        world.say(said);
        world.simulation.wait(Duration::from_secs(60));
        assert_eq!((world.pushes(), world.seen.borrow().messages.len()), (told, said + 1), "seed {seed}");
        all_restarts += restarts;
    }
    assert!(all_restarts > 24);
}
