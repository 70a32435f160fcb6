//! `logins` and `idle`: how quickly clients come, and what they weigh.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use balcony_client::Presence;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::{Link, open_all};
use super::loads::{online, resource};
use super::report::{Figures, Latency, Told};
use super::world::World;
use crate::failure::Failure;

/// How long a server has to come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(2);
/// How long after a failed login the next one begins.
const PAUSE: Duration = Duration::from_millis(100);

/// Logins of these users in turn, so many at the same time.
pub(crate) async fn logins(world: &Rc<World>, users: u32, parallel: u32) -> Result<Told, Failure> {
    let settings = Figures::default().with("users", users).with("parallel", parallel);
    let mut told = Told { settings, ..Told::default() };
    // The first login of each hashes its password, which is not the server's work.
    let wanted: Vec<_> = (0..users).map(|account| (account, resource(world, 0))).collect();
    let Some(links) = open_all(world, &wanted).await.map_err(Failure::new)? else { return Ok(told) };
    for link in links {
        let Some(closed) = world.unless_stopped(link.close()).await else { return Ok(told) };
        closed.map_err(Failure::new)?;
    }
    let next = Rc::new(Cell::new(0_u32));
    let mut tasks = JoinSet::new();
    for worker in 0..parallel {
        let (world, next) = (world.clone(), next.clone());
        tasks.spawn_local(async move {
            while !world.is_stopped() {
                let user = next.get();
                next.set((user + 1) % users);
                let start = Instant::now();
                let login = async {
                    let link = Link::open(&world, user, &resource(&world, worker)).await?;
                    let took = start.elapsed();
                    link.close().await?;
                    Ok::<_, String>(took)
                };
                match login.await {
                    Ok(took) => world.meter.done(took),
                    Err(reason) => {
                        world.meter.failed(&reason);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }
    let stretch = world.run(&mut tasks).await;
    told.seconds = stretch.wall.as_secs_f64();
    let count = world.meter.count.get();
    if count > 0 {
        told.figures.rates("logins", count, &stretch);
    }
    let times = world.meter.times.borrow().percentiles();
    told.latency.extend(times.map(|millis| Latency { of: "to the bound resource", millis }));
    Ok(told)
}

/// Sessions that do nothing.
pub(crate) async fn idle(world: &Rc<World>, sessions: u32, resources: u32) -> Result<Told, Failure> {
    let settings = Figures::default().with("sessions", sessions).with("resources", resources);
    let mut told = Told { settings, ..Told::default() };
    let failed = Failure::new;
    // What a server loads for the first of all is not the weight of a session.
    let first = world.unless_stopped(async {
        let mut link = Link::open(world, 0, &resource(world, 0)).await?;
        online(&mut link, &Presence::available().to_stanza()).await?;
        link.close().await
    });
    let Some(first) = first.await else { return Ok(told) };
    first.map_err(failed)?;
    if world.unless_stopped(tokio::time::sleep(REST)).await.is_none() {
        return Ok(told);
    }
    // Of a server that has ended meanwhile there is none.
    let memory = || world.kib();
    let (before, start) = (memory(), Instant::now());
    let wanted: Vec<_> = (0..sessions)
        .map(|session| (session / resources, resource(world, 1 + session % resources)))
        .collect();
    let Some(mut links) = open_all(world, &wanted).await.map_err(failed)? else { return Ok(told) };
    for link in &mut links {
        let available = Presence::available().to_stanza();
        let Some(online) = world.unless_stopped(online(link, &available)).await else { return Ok(told) };
        online.map_err(failed)?;
    }
    told.figures.add("sessions", links.len() as u64);
    told.figures.add("seconds_until_all_were_online", start.elapsed().as_secs_f64());
    let mut tasks = JoinSet::new();
    let left = Rc::new(Cell::new(0_u32));
    for mut link in links {
        let (world, left) = (world.clone(), left.clone());
        tasks.spawn_local(async move {
            let end = loop {
                match world.unless_stopped(async { drained(&mut link).await }).await {
                    None => break Ok(()),
                    Some(Ok(())) => {}
                    Some(Err(reason)) => break Err(reason),
                }
            };
            // Whether it still lives, as far as a ping shows.
            let end = match end {
                Ok(()) => online(&mut link, &Presence::available().to_stanza()).await,
                end => end,
            };
            match end {
                Ok(()) => left.set(left.get() + 1),
                Err(reason) => world.meter.failed(&reason),
            }
        });
    }
    world.unless_stopped(tokio::time::sleep(REST)).await;
    let after = memory();
    let stretch = world.measure(world.seconds(), &mut tasks).await;
    world.finish(&mut tasks).await;
    told.seconds = stretch.wall.as_secs_f64();
    told.figures.add("sessions_that_lived_to_the_end", left.get());
    if let (Some(before), Some(after)) = (before, after) {
        told.figures.add("server_kib_before", before);
        told.figures.add("server_kib_after", after);
        told.figures.add("kib_per_session", (after as f64 - before as f64) / f64::from(sessions));
    }
    if let Some(server) = stretch.server.filter(|_| !stretch.wall.is_zero()) {
        told.figures.add("server_cpu_percent", server.as_secs_f64() / stretch.wall.as_secs_f64() * 100.0);
    }
    Ok(told)
}

/// Takes what has come, and waits for more.
async fn drained(link: &mut Link) -> super::link::Result<()> {
    while link.step()?.is_some() {}
    link.exchange().await
}
