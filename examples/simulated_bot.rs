//! A bot that is tested twice, without a socket or a clock: what it says to anything, and how it lives with its network.
use balcony_client::{AgentEvent, Message, MessageBuilder};
use balcony_sim::{Accounts, Chunks, Simulation, World, strategies};
use core::time::Duration;
use proptest::prelude::*;

/// What the bot does: it says everything back.
fn answer(message: &Message) -> Option<MessageBuilder> {
    Some(message.reply().body(message.body()?))
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    // A property: whatever it hears, it answers the one who has said it, in the same words.
    proptest!(|(heard in strategies::chat())| {
        let xml = heard.to_xml();
        let message = Message::read(heard).ok_or(TestCaseError::reject("no message"))?;
        let said = answer(&message).map(|said| Message::read(said.to_stanza()).map(|said| said.body() == message.body()));
        prop_assert_eq!(said.flatten(), Some(true), "{}", xml);
    });
    // A hundred lives: a network that comes and goes costs no message.
    for seed in 0..100 {
        let accounts = Accounts::new().with("romeo@example.com", "r").with("juliet@example.com", "j");
        let mut simulation = Simulation::new(World::new(accounts, Chunks::Whole, seed, |_| {}));
        let bot = simulation.config("romeo@example.com/bot", "r");
        let bot = simulation.bot(bot, (), |agent, _, event| {
            if let AgentEvent::Message(message) = event {
                let said = answer(&message).map(|answer| agent.send(answer.into()));
                assert!(said.is_none_or(|sent| sent.is_ok()));
            }
        });
        let juliet = simulation.client("juliet@example.com/balcony", "j");
        simulation.cut(bot);
        simulation.send(juliet, Message::chat("romeo@example.com".parse()?).body("Romeo?"));
        simulation.wait(Duration::from_secs(120));
        assert_eq!(simulation.messages(juliet), ["Romeo?"], "seed {seed}");
    }
    println!("it answers everybody, and comes back");
    Ok(())
}
