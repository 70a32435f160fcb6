//! `chat`, `fan-out` and `presence`: groups that send and receive for as long as was said.

use std::rc::Rc;

use balcony_client::{MachineEvent, Presence};
use balcony_jid::Jid;
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_xml::{Element, Name};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::group::{Group, Pace, Words};
use super::link::{Link, PATIENCE, Result, open_all};
use super::report::{Figures, Latency, Told};
use super::world::World;
use crate::failure::Failure;

/// Pairs that chat.
pub(crate) async fn chat(
    world: &Rc<World>,
    pairs: u32,
    window: u32,
    size: u32,
) -> core::result::Result<Told, Failure> {
    let settings = Figures::default().with("pairs", pairs).with("window", window).with("size_bytes", size);
    let pace = Pace { window, interval: None };
    let Some(groups) = self::pairs(world, pairs, pace, size).await? else {
        return Ok(Told { settings, ..Told::default() });
    };
    run(world, groups, "messages", settings).await
}

/// Pairs of clients that are online, each to be run.
pub(crate) async fn pairs(
    world: &Rc<World>,
    pairs: u32,
    pace: Pace,
    size: u32,
) -> core::result::Result<Option<Vec<Group>>, Failure> {
    let all = (0..pairs * 2).map(|account| (account, resource(world, 0)));
    let (writers, readers): (Vec<_>, Vec<_>) = all.partition(|(account, _)| account % 2 == 0);
    let at = world.readers.as_ref().unwrap_or(world);
    let Some(writers) = open_all(world, &writers).await.map_err(Failure::new)? else { return Ok(None) };
    let Some(readers) = open_all(at, &readers).await.map_err(Failure::new)? else { return Ok(None) };
    let mut groups = Vec::new();
    for (number, (writer, reader)) in (0..pairs).zip(writers.into_iter().zip(readers)) {
        let mut pair = vec![writer, reader];
        for link in &mut pair {
            link.send(&Presence::available().to_stanza()).map_err(Failure::new)?;
        }
        let words = Words::Message(MessageType::Chat, pair[1].jid.to_jid());
        groups.push(Group::new(world, number, (words, size), pace, pair, 1));
    }
    Ok(Some(groups))
}

/// Accounts with several resources, and one that sends headlines to each.
pub(crate) async fn fan_out(
    world: &Rc<World>,
    groups: u32,
    resources: u32,
    (window, size): (u32, u32),
) -> core::result::Result<Told, Failure> {
    let settings = Figures::default()
        .with("groups", groups)
        .with("resources", resources)
        .with("window", window)
        .with("size_bytes", size);
    let mut wanted = Vec::new();
    for group in 0..groups {
        wanted.push((group * 2, resource(world, 0)));
        wanted.extend((0..resources).map(|number| (group * 2 + 1, resource(world, number))));
    }
    let Some(links) = open_all(world, &wanted).await.map_err(Failure::new)? else {
        return Ok(Told { settings, ..Told::default() });
    };
    let (mut links, mut all) = (links.into_iter(), Vec::new());
    for number in 0..groups {
        let mut members: Vec<Link> = links.by_ref().take(resources as usize + 1).collect();
        let last = members.len() - 1;
        for (place, link) in members.iter_mut().enumerate() {
            let priority = if place == last { -1 } else { 0 };
            let presence = Presence::available().priority(priority).to_stanza();
            let Some(online) = world.unless_stopped(online(link, &presence)).await else {
                return Ok(Told { settings, ..Told::default() });
            };
            online.map_err(Failure::new)?;
        }
        let words = Words::Message(MessageType::Headline, Jid::from(members[last].jid.to_bare()));
        all.push(Group::new(
            world,
            number,
            (words, size),
            Pace { window, interval: None },
            members,
            last - 1,
        ));
    }
    run(world, all, "deliveries", settings).await
}

/// One user and those who see when it is online.
pub(crate) async fn presence(
    world: &Rc<World>,
    subscribers: u32,
    window: u32,
) -> core::result::Result<Told, Failure> {
    let settings = Figures::default().with("subscribers", subscribers).with("window", window);
    let wanted: Vec<_> = (0..=subscribers).map(|account| (account, resource(world, 0))).collect();
    let Some(mut links) = open_all(world, &wanted).await.map_err(Failure::new)? else {
        return Ok(Told { settings, ..Told::default() });
    };
    let subscribed = world.unless_stopped(subscribe(world, &mut links)).await;
    let Some(subscribed) = subscribed else { return Ok(Told { settings, ..Told::default() }) };
    subscribed.map_err(Failure::new)?;
    let receivers = links.len() - 1;
    let pace = Pace { window, interval: None };
    let group = Group::new(world, 0, (Words::Presence, 0), pace, links, receivers);
    run(world, vec![group], "deliveries", settings).await
}

/// Has all behind the first see when that one is online.
pub(crate) async fn subscribe(world: &Rc<World>, links: &mut [Link]) -> Result<()> {
    let available = Presence::available().to_stanza();
    let Some((user, others)) = links.split_first_mut() else { return Ok(()) };
    // Requests to subscribe come to those who know their roster (RFC 6121 section 2.2).
    let roster = Element::new(Name::from_static("query"), "jabber:iq:roster").into();
    user.request(balcony_client::RequestKind::Get, None, roster)?;
    online(user, &available).await?;
    let end = Instant::now() + PATIENCE;
    let contact = user.jid.to_bare();
    for link in others.iter_mut() {
        let mut is_seen = false;
        link.send(&available)?;
        fence(link, |stanza| is_seen |= shows(stanza, &contact)).await?;
        if is_seen {
            continue;
        }
        let request =
            Stanza::presence(PresenceType::Subscribe).with_to(contact.to_jid()).with_id(world.token(16));
        link.send(&request)?;
        while !is_seen {
            let one = async {
                tokio::select! {
                    result = user.exchange() => result,
                    result = link.exchange() => result,
                }
            };
            timeout_at(end, one).await.unwrap_or_else(|_| {
                Err(format!("{} could not subscribe to {contact} within a minute", link.jid))
            })?;
            while let Some(event) = link.step()? {
                if let MachineEvent::Stanza(stanza) = event {
                    is_seen |= shows(&stanza, &contact);
                }
            }
            while let Some(event) = user.step()? {
                if let MachineEvent::Stanza(stanza) = event
                    && stanza.head.kind == Kind::Presence(PresenceType::Subscribe)
                    && let Some(from) = &stanza.head.from
                {
                    let grant = Stanza::presence(PresenceType::Subscribed).with_to(Jid::from(from.to_bare()));
                    user.send(&grant.with_id(world.token(16)))?;
                }
            }
        }
    }
    Ok(())
}

/// Whether this is presence of that contact.
fn shows(stanza: &Stanza, contact: &balcony_jid::BareJid) -> bool {
    stanza.head.kind == Kind::Presence(PresenceType::Available)
        && stanza.head.from.as_ref().is_some_and(|from| from.bare_str() == contact.as_str())
}

/// Sends presence, and waits until the server has taken it.
pub(crate) async fn online(link: &mut Link, presence: &Stanza) -> Result<()> {
    online_seeing(link, presence, |_| {}).await
}

/// The same, and shows what comes until then.
pub(crate) async fn online_seeing(
    link: &mut Link,
    presence: &Stanza,
    seen: impl FnMut(&Stanza),
) -> Result<()> {
    link.send(presence)?;
    fence(link, seen).await
}

/// Waits until the server has done all that it was sent.
async fn fence(link: &mut Link, mut seen: impl FnMut(&Stanza)) -> Result<()> {
    let ping = link.ping()?;
    loop {
        match link.step()? {
            Some(MachineEvent::Response(id, _)) if id == ping => return Ok(()),
            Some(MachineEvent::Stanza(stanza)) => seen(&stanza),
            Some(_) => {}
            None => link.exchange().await?,
        }
    }
}

/// Runs groups, and tells how much was delivered.
async fn run(
    world: &Rc<World>,
    groups: Vec<Group>,
    what: &'static str,
    settings: Figures,
) -> core::result::Result<Told, Failure> {
    let mut tasks = JoinSet::new();
    for group in groups {
        tasks.spawn_local(group.run());
    }
    let stretch = world.run(&mut tasks).await;
    let mut told = Told { settings, seconds: stretch.wall.as_secs_f64(), ..Told::default() };
    let count = world.meter.count.get();
    if count > 0 {
        told.figures.rates(what, count, &stretch);
    }
    let times = world.meter.times.borrow().percentiles();
    told.latency.extend(times.map(|millis| Latency { of: "from one client to the other", millis }));
    Ok(told)
}

/// A resource that nobody else has.
pub(crate) fn resource(world: &World, number: u32) -> String {
    format!("{}-{number}", world.run)
}
