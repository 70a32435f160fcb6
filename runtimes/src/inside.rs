//! The stage of the simulator: the server and all parties in one thread, with virtual time and a network that the seed decides.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use balcony::stanza::ErrorCondition;
use balcony::{
    AgentEvent, ClientConfig, Device, DeviceStep, Disconnected, Discovery, Jid, Secret, TlsPolicy, answer,
};
use balcony_machine::Random;
use balcony_sim::{Accounts, Chunks, Peer, World};

use crate::Failure;
use crate::script::Stage;
use crate::words::{self, Command, Teller};

/// How long somebody is waited for, in virtual time, and how much of it passes at once.
const PATIENCE: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_millis(100);

/// The stage.
#[derive(Debug)]
pub struct Inside {
    world: World,
    random: Random,
    parties: BTreeMap<String, Party>,
    has_network: bool,
}

#[derive(Debug, Default)]
struct Party {
    device: Option<Device<(Discovery,)>>,
    peer: Option<Peer>,
    /// How much of what the server has sent was taken.
    read: usize,
    teller: Teller,
    said: VecDeque<String>,
    is_closing: bool,
}

impl Inside {
    /// A world in which bytes come in pieces that this seed decides.
    #[must_use]
    pub fn new(seed: u64) -> Inside {
        let accounts = Accounts::new().with("juliet@localhost", "r0m30").with("romeo@localhost", "jul13t");
        let world = World::new(accounts, Chunks::random(seed), seed, |config| {
            config.domains = vec!["localhost".parse().expect("a domain")];
            config.stream_management = true;
        });
        let random = balcony_machine::Seed::from_u64(seed).random();
        Inside { world, random, parties: BTreeMap::new(), has_network: true }
    }

    /// Until nobody has anything to do.
    fn run(&mut self) {
        loop {
            self.world.run();
            let mut is_busy = false;
            for (who, party) in &mut self.parties {
                let has_network = self.has_network || who != "phone";
                is_busy |= party.turn(&mut self.world, has_network);
            }
            if !is_busy {
                return;
            }
        }
    }
}

impl Stage for Inside {
    fn tell(&mut self, who: &str, line: &str) -> Result<(), Failure> {
        let now = self.world.now;
        let party = self.parties.entry(who.into()).or_default();
        match (words::read(line).ok_or("no such command")?, &mut party.device) {
            (Command::Connect { address, priority, password, .. }, None) => {
                let jid: Jid = address.parse()?;
                let mut config = ClientConfig::new(jid.to_bare(), Secret::new(password.into()));
                config.stream.resource = jid.resourcepart().map(String::from);
                config.stream.tls = TlsPolicy::None;
                let discovery = (Discovery::new("Suite", "1"),);
                party.device =
                    Some(Device::new(config, words::agent(priority), discovery, &self.random.seed()));
            }
            (Command::Wake, Some(device)) => device.wake(now),
            (Command::Close, Some(device)) => {
                party.is_closing = true;
                device.close(now);
            }
            (command, Some(device)) => {
                if !party.teller.command(device.agent(), now, &command) {
                    return Err(format!("this cannot be done: {line}").into());
                }
            }
            _ => return Err(format!("this cannot be done now: {line}").into()),
        }
        self.run();
        Ok(())
    }

    fn hear(&mut self, who: &str) -> Option<String> {
        let until = self.world.now + PATIENCE;
        loop {
            self.run();
            if let Some(line) = self.parties.get_mut(who)?.said.pop_front() {
                return Some(line);
            }
            if self.world.now >= until {
                return None;
            }
            self.world.wait(STEP);
        }
    }

    fn unheard(&mut self) -> Option<(String, String)> {
        self.run();
        self.parties.iter_mut().find_map(|(who, party)| Some((who.clone(), party.said.pop_front()?)))
    }

    fn set_network(&mut self, is_there: bool) -> Result<(), Failure> {
        self.has_network = is_there;
        if let Some(party) = self.parties.get_mut("phone").filter(|_| !is_there)
            && let (Some(device), Some(peer)) = (&mut party.device, party.peer.take())
        {
            self.world.cut(peer);
            device.broken(self.world.now, "the network is gone");
        }
        self.run();
        Ok(())
    }
}

impl Party {
    /// Does what there is to do now; whether that was anything.
    fn turn(&mut self, world: &mut World, has_network: bool) -> bool {
        let mut is_busy = false;
        while let Some(device) = &mut self.device {
            match device.step(world.now) {
                DeviceStep::Connect if has_network => {
                    device.connected(world.now);
                    (self.peer, self.read) = (Some(world.raw()), 0);
                }
                DeviceStep::Connect => device.unreachable(world.now, "there is no network"),
                DeviceStep::Event(AgentEvent::Request((id, _))) => {
                    device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
                }
                DeviceStep::Event(event) => self.said.extend(self.teller.tell(&event)),
                DeviceStep::Completed(call, completion) => {
                    self.said.extend(self.teller.completed(call, &completion));
                }
                DeviceStep::Ask(ticket, ask) => device.answer(ticket, answer(ask)),
                DeviceStep::Disconnect => {
                    if let Some(peer) = self.peer.take() {
                        world.write(peer, device.output());
                        world.hang_up(peer);
                    }
                }
                DeviceStep::Ended(why) => {
                    let is_closed = self.is_closing && *why == Disconnected::ByOwner;
                    let line = if is_closed { "closed".into() } else { format!("ended: {why}") };
                    self.said.push_back(line);
                    (self.device, self.is_closing) = (None, false);
                }
                DeviceStep::StartTls | DeviceStep::Wait => {
                    if !exchange(device, world, self.peer, &mut self.read) {
                        return is_busy;
                    }
                }
            }
            is_busy = true;
        }
        is_busy
    }
}

/// Brings bytes to the world and from it; whether there were any.
fn exchange(
    device: &mut Device<(Discovery,)>,
    world: &mut World,
    peer: Option<Peer>,
    read: &mut usize,
) -> bool {
    let Some(peer) = peer else { return false };
    let output = device.output();
    if !output.is_empty() {
        world.write(peer, output);
        device.wrote(usize::MAX);
        return true;
    }
    let fresh = world.received(peer).get(*read..).unwrap_or_default();
    let count = fresh.len().min(device.room());
    if count > 0 {
        device.received(&fresh[..count]);
        *read += count;
        return true;
    }
    // Nothing more comes, and that is to be said.
    if fresh.is_empty() && world.is_closed(peer) && device.room() > 0 {
        device.received(&[]);
        return device.output().is_empty() && core::mem::replace(read, usize::MAX) != usize::MAX;
    }
    false
}
