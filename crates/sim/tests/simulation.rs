//! Clients that live by themselves: they come back, wait, answer, and go on with their sessions.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;

use balcony_client::{
    AgentConfig, AgentEvent, ClientConfig, Disconnected, Discovery, Iq, Message, Receipts, RequestError,
};
use balcony_sim::{Accounts, Chunks, ClientId, Simulation, World};
use balcony_stanza::{ErrorCondition, PresenceType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_tls::{TlsIdentity, TlsTrust};
use balcony_xep::ping::Ping;

const MINUTE: Duration = Duration::from_secs(60);
const BOT: &str = "romeo@example.com/bot";

fn simulation(seed: u64, change: impl FnOnce(&mut balcony_server::ServerConfig)) -> Simulation {
    let accounts = Accounts::new().with("romeo@example.com", "r").with("juliet@example.com", "j");
    let chunks = Chunks::Random(Box::new(balcony_machine::Seed::from_u64(seed).random()));
    Simulation::new(World::new(accounts, chunks, seed, change))
}

/// A bot that says everything back.
fn echo(simulation: &mut Simulation, config: ClientConfig) -> ClientId {
    let extensions = (Discovery::new("Echo", "1.0"), Receipts::default());
    simulation.bot(config, extensions, |agent, _, event| match event {
        AgentEvent::Message(message) => {
            if let Some(body) = message.body() {
                agent.send(message.reply().body(body).into()).unwrap();
            }
        }
        AgentEvent::Request((id, _)) => {
            agent.refuse(id, &ErrorCondition::ServiceUnavailable.into());
        }
        _ => {}
    })
}

fn say(simulation: &mut Simulation, from: ClientId, body: &str) -> Vec<String> {
    simulation.send(from, Message::chat(BOT.parse().unwrap()).body(body));
    simulation.messages(from)
}

#[test]
fn a_bot_answers_and_comes_back() {
    for seed in 0..20 {
        let mut simulation = simulation(seed, |_| {});
        let config = simulation.config(BOT, "r");
        let bot = echo(&mut simulation, config);
        assert_eq!(simulation.jid(bot).unwrap().as_str(), BOT);
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        assert_eq!(say(&mut simulation, juliet, "Romeo?"), ["Romeo?"]);

        simulation.unplug(bot, true);
        assert_eq!(simulation.jid(bot), None);
        assert!(say(&mut simulation, juliet, "Art thou gone so?").is_empty());
        simulation.wait(60 * MINUTE);
        assert_eq!(simulation.jid(bot), None);
        simulation.unplug(bot, false);
        simulation.wait(90 * MINUTE);
        assert_eq!(simulation.jid(bot).unwrap().as_str(), BOT, "seed {seed}");
        // What waited for it on the server, and what is new.
        let heard = say(&mut simulation, juliet, "my lord");
        assert_eq!(heard, ["Art thou gone so?", "my lord"], "seed {seed}");
    }
}

// XEP-0198 §5: with stream management nothing that was under way is lost, nor said twice.
#[test]
fn a_session_goes_on() {
    for seed in 0..20 {
        let mut simulation = simulation(seed, |config| config.stream_management = true);
        let config = simulation.config(BOT, "r");
        let bot = echo(&mut simulation, config);
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        simulation.events(juliet);
        simulation.cut(juliet);
        simulation.cut(bot);
        simulation.send(juliet, Message::chat(BOT.parse().unwrap()).body("patience"));
        simulation.wait(2 * MINUTE);
        let events = simulation.events(juliet);
        assert!(events.iter().any(|event| matches!(event, AgentEvent::Resumed)), "seed {seed}: {events:?}");
        let heard = events.iter().filter(|event| matches!(event, AgentEvent::Message(_))).count();
        assert_eq!(heard, 1, "seed {seed}");
    }
}

#[test]
fn requests_have_ids_and_outcomes() {
    let mut simulation = simulation(1, |_| {});
    let juliet = simulation.client("juliet@example.com/balcony", "j");
    let ping = || Iq::get(Ping.to_element());
    let own = simulation.request(juliet, ping()).unwrap();
    let nobody = simulation.request(juliet, ping().to("romeo@example.com/nowhere".parse().unwrap())).unwrap();
    assert_ne!(own, nobody);
    assert!(matches!(simulation.outcome(juliet, nobody), Some(Err(RequestError::Refused(_)))));
    assert!(matches!(simulation.outcome(juliet, own), Some(Ok(_))));
    assert!(simulation.outcome(juliet, own).is_none());

    // One that nobody answers is over in time.
    let config = simulation.config(BOT, "r");
    // Requests reach only who lets their sender see its presence.
    let silent = simulation.bot(config, (), |agent, _, event| {
        if let AgentEvent::Online(_) = event {
            let to_juliet = Stanza::presence(PresenceType::Available);
            agent.send(to_juliet.with_to("juliet@example.com/balcony".parse().unwrap())).unwrap();
        }
    });
    assert!(simulation.jid(silent).is_some());
    let late = simulation.request(juliet, ping().to(BOT.parse().unwrap())).unwrap();
    let outcome = simulation.outcome(juliet, late);
    assert!(outcome.is_none(), "{outcome:?}");
    simulation.wait(MINUTE);
    assert!(matches!(simulation.outcome(juliet, late), Some(Err(RequestError::TimedOut))));

    simulation.unplug(juliet, true);
    assert!(matches!(simulation.request(juliet, ping()), Err(RequestError::Offline)));
}

// Domain, certificate and configuration are the caller's.
#[test]
fn with_a_domain_and_tls_of_its_own() {
    let (certificate, key) = balcony_tls::self_signed(&["verona.example"]).unwrap();
    let accounts = Accounts::new().with("romeo@verona.example", "r");
    let world = World::new(accounts, Chunks::Whole, 1, |config| {
        config.domains = vec!["verona.example".parse().unwrap()];
        config.tls = TlsPolicy::Required;
        config.certificate =
            Some(TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap());
    });
    let mut simulation = Simulation::new(world);
    let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    let mut config = simulation.config("romeo@verona.example/bot", "r").with_tls(trust);
    config.stream.tls = TlsPolicy::Required;
    let bot = echo(&mut simulation, config.clone());
    assert_eq!(simulation.jid(bot).unwrap().as_str(), "romeo@verona.example/bot");

    // What is of no use ends: a certificate that nobody trusts, and a wrong password.
    config.stream.password = balcony_machine::Secret::new("wrong".into());
    config.stream.resource = Some("other".into());
    let other = simulation.bot_with(config, AgentConfig::default(), (), |_, _, _| {});
    simulation.wait(MINUTE);
    assert!(matches!(simulation.end(other), Some(Disconnected::Failed(_))));
}

#[test]
fn a_run_is_repeated_by_its_seed() {
    let history = |seed| {
        let mut simulation = simulation(seed, |_| {});
        let config = simulation.config(BOT, "r");
        let bot = echo(&mut simulation, config);
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        for round in 0..5 {
            simulation.cut(bot);
            simulation.wait(MINUTE / 3);
            say(&mut simulation, juliet, &round.to_string());
        }
        (simulation.world.now, simulation.messages(juliet), simulation.jid(bot).cloned())
    };
    assert_eq!(history(3), history(3));
    assert!((0..5).any(|seed| history(seed) != history(3)));
}
