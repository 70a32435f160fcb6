//! One part of the connections of a server, and how it meets the hub: it says all that it has to say, and takes along what was said to
//! it meanwhile. Whoever meets the hub has it alone for that time. What the hub says to other parts waits in their mail, and they are
//! called, so that nothing waits unseen; a part that was called and has not come yet is not called again.
//!
//! What the hub wants done outside, such as asks to the store and the sockets of other servers, is for the first part: it is called for
//! that as well, and so that it wakes in time for what is due.

use alloc::vec::Vec;
use core::mem;

use balcony_machine::Instant;
use balcony_router::Spent;
use balcony_stanza::{StreamCondition, StreamError};

use crate::action::{Action, ConnectionId};
use crate::connections::Connections;
use crate::hub::{Hub, patience};
use crate::words::{Next, Words};
use crate::written::{Returned, Written};

/// Some of the connections, and what they have been told and have not heard.
pub(crate) struct Part {
    pub(crate) connections: Connections,
    heard: Words,
    number: usize,
    /// How the hub was when it was last met.
    news: News,
    /// What was written, if there are others that wait for the hub: what its connections had written when it was last met, and what the
    /// router has let go of since.
    written: Written,
    /// What it has made, and others have written. Freed when the hub is not held.
    returned: Returned,
}

/// After so many words the router looks ahead at what comes next.
const AHEAD: usize = 32;

/// What the hub has for one part.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) words: Words,
    /// What it has made, and others have written.
    pub(crate) returned: Returned,
    /// It has been called, and has not come yet.
    pub(crate) is_called: bool,
}

/// How the hub is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// When to have it look at the clock.
    pub(crate) deadline: Option<Instant>,
    /// There is something of strangers to be taken in.
    pub(crate) has_parked: bool,
    /// How many answers it waits for.
    pub(crate) asks: usize,
    /// It shuts down.
    pub(crate) is_closing: bool,
    /// It has shut down: no connection is left, and nothing is under way.
    pub(crate) is_settled: bool,
    /// Whoever has the first part says that it is over, settled or not.
    pub(crate) is_over: bool,
}

impl News {
    /// Of a hub that nobody has met.
    pub(crate) const NONE: News = News {
        deadline: None,
        has_parked: false,
        asks: 0,
        is_closing: false,
        is_settled: false,
        is_over: false,
    };
}

impl Part {
    /// A part that has met no hub.
    pub(crate) const fn new(connections: Connections, number: usize) -> Self {
        Part {
            connections,
            heard: Words::new(),
            number,
            news: News::NONE,
            written: Written::of(number),
            returned: Returned::new(),
        }
    }

    /// Frees what it has made and was written, here or by others. Call it when the hub has been met, and is not held any more: nobody waits
    /// for that.
    pub(crate) fn let_go(&mut self) {
        self.written.clear();
        self.returned.clear();
    }

    /// Says the next so many words to the hub, which does all that follows, and takes along what is said to this part. The first part also
    /// takes along what there is to do, in `actions`. The numbers of others that are to be called are put into `calls`.
    pub(crate) fn meet(
        &mut self,
        now: Instant,
        hub: &mut Hub,
        most: usize,
        actions: &mut Vec<Action>,
        calls: &mut Vec<usize>,
    ) {
        self.meet_and(now, hub, most, actions, calls, |_, _, _| ());
    }

    /// The same, and has the hub do something when it has been said that.
    pub(crate) fn meet_and<T>(
        &mut self,
        now: Instant,
        hub: &mut Hub,
        most: usize,
        actions: &mut Vec<Action>,
        calls: &mut Vec<usize>,
        act: impl FnOnce(&mut Hub, Instant, &mut Vec<Action>) -> T,
    ) -> T {
        let now = hub.at(now);
        self.let_go();
        self.connections.gather_anew();
        if let Some(written) = &mut self.connections.written {
            mem::swap(&mut self.written, written);
        } else if hub.mail.len() > 1 {
            self.connections.written = Some(Written::of(self.number));
        }
        hub.is_heard(self.number);
        let mut others = mem::take(&mut hub.actions);
        let actions = if self.number == 0 {
            actions.append(&mut others);
            actions
        } else {
            &mut others
        };
        for said in 0..most {
            if said % AHEAD == 0 {
                hub.router.look_ahead(self.connections.next_stanzas(AHEAD.min(most - said)));
            }
            let Some(up) = self.connections.next_up() else { break };
            hub.up(now, up, actions);
            hub.pass_on(now, actions);
        }
        let result = act(hub, now, actions);
        hub.settle(now, actions);
        if hub.is_closing {
            hub.go_on_closing(now, actions);
            hub.settle(now, actions);
        }
        hub.actions = others;
        for Spent { stanza, maker, bytes } in hub.router.take_spent() {
            self.written.add(maker, stanza, bytes);
        }
        self.written.give_back(|maker, stanzas| {
            if let Some(mail) = hub.mail.get_mut(maker) {
                mail.returned.take(stanzas);
            }
        });
        if let Some(mail) = hub.mail.get_mut(self.number) {
            mail.is_called = false;
            self.returned.append(&mut mail.returned);
            self.heard.append(&mut mail.words);
        }
        self.news = hub.news();
        hub.call(Some(self.number), self.news, calls);
        result
    }

    /// Does the next thing that was said to it. Whether there was any.
    pub(crate) fn hear(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        match self.heard.next() {
            None => return false,
            Some(Next::Down(down)) => self.connections.take(now, down, actions),
            Some(Next::Across { connection, stanza, maker, bytes }) => {
                self.connections.deliver_written(now, connection, stanza, maker, bytes, actions);
            }
        }
        true
    }

    /// Whether it has been told something that it has not heard.
    pub(crate) fn has_words(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Ends a stream, since the server shuts down: when what was read of its client is taken, as long as the store may answer nothing at most.
    pub(crate) fn end(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let error = StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down");
        let until = now + patience(&self.connections.config().limits);
        self.connections.finish(now, id, error, until, false, actions);
    }

    /// How the hub was when it was last met.
    pub(crate) const fn news(&self) -> &News {
        &self.news
    }

    pub(crate) const fn number(&self) -> usize {
        self.number
    }
}

impl Hub {
    /// How it is.
    pub(crate) fn news(&self) -> News {
        let has_parked = self.router.has_parked();
        let asks = self.open_asks();
        let is_settled = self.is_closing
            && asks == 0
            && !has_parked
            && self.is_alone()
            && self.mail.iter().all(|mail| mail.words.is_empty());
        let deadline = self.deadline().map(|deadline| deadline.at);
        let (is_closing, is_over) = (self.is_closing, self.is_over);
        News { deadline, has_parked, asks, is_closing, is_settled, is_over }
    }

    /// How many answers of the store it waits for: to have what is accepted stored, and its sessions kept.
    pub(crate) fn open_asks(&self) -> usize {
        self.router.counts().asks + usize::from(self.is_saving())
    }

    /// Whether this part has been called, and has not come yet.
    pub(crate) fn is_called(&self, part: usize) -> bool {
        self.mail.get(part).is_some_and(|mail| mail.is_called)
    }

    /// Has everybody called who has to come and is not there, as this part is.
    pub(crate) fn call(&mut self, there: Option<usize>, news: News, calls: &mut Vec<usize>) {
        if there == Some(0) {
            self.known = news;
        } else {
            let is_earlier = |at: Instant| self.known.deadline.is_none_or(|known| at < known);
            if !self.actions.is_empty()
                || news.is_closing
                || news.has_parked && !self.known.has_parked
                || news.deadline.is_some_and(is_earlier)
            {
                self.call_one(0, calls);
            }
        }
        for part in 0..self.mail.len() {
            if Some(part) != there && !self.mail[part].words.is_empty() {
                self.call_one(part, calls);
            }
        }
    }

    /// Has all other parts called than this one.
    pub(crate) fn call_others(&mut self, part: usize, calls: &mut Vec<usize>) {
        (0..self.mail.len()).filter(|other| *other != part).for_each(|other| self.call_one(other, calls));
    }

    fn call_one(&mut self, part: usize, calls: &mut Vec<usize>) {
        let Some(mail) = self.mail.get_mut(part) else { return };
        if !mem::replace(&mut mail.is_called, true) {
            calls.push(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::{Arc, Weak};
    use alloc::vec;

    use balcony_machine::{Secret, Seed};
    use balcony_stanza::{MessageType, Stanza};

    use super::*;
    use crate::ServerConfig;
    use crate::connections::Down;

    /// Two parts, and a stanza that this one has made and the second is told.
    fn told(maker: u8) -> (Hub, [Part; 2], Weak<Stanza>) {
        let domain = balcony_jid::BareJid::parse("example.com").unwrap();
        let config = ServerConfig::new(vec![domain], Secret::new([7; 32]));
        let mut hub = Hub::new(&config, &Seed::from_u64(1), 2);
        let part = |number: u8| {
            let random = Seed::from_u64(number.into()).random();
            Part::new(Connections::of_part(config.clone(), random, number, 64), number.into())
        };
        let stanza = Arc::new(Stanza::message(MessageType::Chat));
        let there = Arc::downgrade(&stanza);
        hub.mail[1].words.push(Down::Deliver { connection: ConnectionId(1 << 24), stanza, maker });
        (hub, [part(0), part(1)], there)
    }

    fn meet(part: &mut Part, hub: &mut Hub) {
        let (now, mut actions, mut calls) = (Instant::ZERO, Vec::new(), Vec::new());
        part.meet(now, hub, usize::MAX, &mut actions, &mut calls);
    }

    fn hear(part: &mut Part) {
        while part.hear(Instant::ZERO, &mut Vec::new()) {}
    }

    // Others wait while a part has the hub: what is written is not freed meanwhile. Nor is it freed by another thread than the one that has
    // made it: both would have the same pages of the allocator.
    #[test]
    fn what_is_written_is_freed_where_it_was_made_when_the_hub_is_not_held() {
        let (mut hub, [mut maker, mut writer], there) = told(0);
        meet(&mut writer, &mut hub);
        hear(&mut writer);
        meet(&mut writer, &mut hub);
        writer.let_go();
        assert_eq!(there.strong_count(), 1, "another part has freed it");
        meet(&mut maker, &mut hub);
        assert_eq!(there.strong_count(), 1, "it is freed while the hub is held");
        maker.let_go();
        assert_eq!(there.strong_count(), 0);
    }

    // A part that has long not been there need not come for what it has made: it does not get more than a bound.
    #[test]
    fn what_a_part_does_not_come_for_is_bounded() {
        let (mut hub, [mut maker, mut writer], _) = told(0);
        let stanza = Arc::new(Stanza::message(MessageType::Chat));
        for _ in 0..10_000 {
            let (connection, stanza) = (ConnectionId(1 << 24), Arc::clone(&stanza));
            hub.mail[1].words.push(Down::Deliver { connection, stanza, maker: 0 });
            meet(&mut writer, &mut hub);
            hear(&mut writer);
        }
        meet(&mut writer, &mut hub);
        writer.let_go();
        let kept = Arc::strong_count(&stanza);
        assert!((1_000..=1_100).contains(&kept), "{kept}");
        meet(&mut maker, &mut hub);
        maker.let_go();
        assert_eq!(Arc::strong_count(&stanza), 1);
    }

    // One thread makes what it writes.
    #[test]
    fn a_part_frees_what_it_has_made_itself() {
        let (mut hub, [_, mut writer], there) = told(1);
        meet(&mut writer, &mut hub);
        hear(&mut writer);
        meet(&mut writer, &mut hub);
        assert_eq!(there.strong_count(), 1, "it is freed while the hub is held");
        writer.let_go();
        assert_eq!(there.strong_count(), 0);
    }
}
