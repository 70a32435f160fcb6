//! `balcony bench`: load for any XMPP server, with every delivery checked, and what that costs the server.
//!
//! All connections are on one thread, each the client's machine with a socket of tokio ([`link`]). A [`group`] is one that sends and those who get
//! it; a [`lane`] checks what one of them gets.

mod args;
mod group;
mod histogram;
mod lane;
mod link;
mod loads;
mod offline;
mod register;
mod report;
mod sessions;
mod storm;
mod usage;
mod world;

use std::rc::Rc;

pub(crate) use args::BenchArgs;
use args::{Common, Load};
use offline::Amount;
use report::Report;
use tokio::task::LocalSet;
use world::World;

use crate::connect::{ConnectArgs, runtime};
use crate::failure::Failure;
use crate::open_files;
use crate::output::note;
use crate::stop::Stop;

/// Of a program that a signal has ended, as shells tell it.
const INTERRUPTED: i32 = 130;

pub(crate) fn run(args: BenchArgs) -> Result<(), Failure> {
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let mut world = World::new(&args.common, &args.connect).await?;
        if let Load::Chat { readers_as: Some(accounts), readers_connect, .. } = &args.load {
            let connect = ConnectArgs { connect: readers_connect.clone(), ..args.connect.clone() };
            let common = Common { accounts: accounts.clone(), pid: Vec::new(), ..args.common.clone() };
            world.readers = Some(Rc::new(World::new(&common, &connect).await?));
        }
        let world = Rc::new(world);
        open_files::make_room(connections(&args.load), "measure with fewer");
        tokio::task::spawn_local(interrupts(world.clone(), Stop::new()?));
        for world in
            [Some(&world), world.readers.as_ref()].into_iter().flatten().filter(|_| args.common.register)
        {
            if register::all(world, accounts(&args.load)).await?.is_none() {
                return Err(Failure::new("ended before anything was measured"));
            }
        }
        let (name, told) = match args.load {
            Load::Logins { users, parallel } => ("logins", sessions::logins(&world, users, parallel).await?),
            Load::Idle { sessions, resources } => {
                ("idle", sessions::idle(&world, sessions, resources).await?)
            }
            Load::Chat { pairs, window, size, .. } => {
                ("chat", loads::chat(&world, pairs, window, size).await?)
            }
            Load::Offline { readers, messages, writers, window, size } => {
                let amount = Amount { readers, messages, writers, window, size };
                ("offline", offline::offline(&world, amount).await?)
            }
            Load::FanOut { groups, resources, window, size } => {
                ("fan-out", loads::fan_out(&world, groups, resources, (window, size)).await?)
            }
            Load::Presence { subscribers, window } => {
                ("presence", loads::presence(&world, subscribers, window).await?)
            }
            Load::Storm { pairs, rate, bad } => ("storm", storm::storm(&world, pairs, rate, bad).await?),
        };
        Report::new(name, &world, told).tell(args.common.json)
    })
}

/// The first Ctrl-C, or SIGTERM, ends what runs, the second one the program.
async fn interrupts(world: Rc<World>, mut stop: Stop) {
    stop.asked().await;
    note("ending, with what was measured so far; again to exit at once");
    world.interrupt();
    stop.asked().await;
    std::process::exit(INTERRUPTED);
}

/// How many accounts a load needs.
fn accounts(load: &Load) -> u32 {
    match *load {
        Load::Logins { users, .. } => users,
        Load::Idle { sessions, resources } => sessions.div_ceil(resources),
        Load::Chat { pairs, .. } => pairs * 2,
        Load::Offline { readers, writers, .. } => readers + writers,
        Load::FanOut { groups, .. } => groups * 2,
        Load::Presence { subscribers, .. } => subscribers + 1,
        Load::Storm { pairs, .. } => pairs * 2 + 2,
    }
}

/// How many connections there are at the same time, at most.
fn connections(load: &Load) -> u64 {
    let all = |a: u32, b: u32| u64::from(a) * u64::from(b);
    match *load {
        Load::Logins { users, parallel } => u64::from(users) + u64::from(parallel),
        Load::Idle { sessions, .. } => u64::from(sessions),
        Load::Chat { pairs, .. } => all(pairs, 2),
        // The readers come when the writers have gone.
        Load::Offline { writers, .. } => u64::from(writers) + offline::PARALLEL as u64,
        Load::FanOut { groups, resources, .. } => all(groups, resources + 1),
        Load::Presence { subscribers, .. } => u64::from(subscribers) + 1,
        Load::Storm { pairs, bad, .. } => all(pairs, 2) + all(bad, 5),
    }
}
