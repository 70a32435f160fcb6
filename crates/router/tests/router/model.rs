//! A router of plain lists, slow and obviously right, for `histories`: who gets what.

use std::collections::{BTreeMap, BTreeSet};

use balcony_stanza::{IqType, Kind, MessageType, PresenceType};

use crate::model_sessions::{Managed, Sent};

/// The accounts that a history may have.
pub(crate) const ACCOUNTS: [&str; 3] = ["a@x.example", "b@x.example", "c@y.example"];
/// A contact, if somebody has it.
pub(crate) const REMOTE: &str = "r@z.example";
pub(crate) const MOST_DIRECTED: usize = 3;
pub(crate) const MOST_STORED: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) session: u64,
    pub(crate) jid: String,
    pub(crate) priority: Option<i8>,
    pub(crate) directed: Vec<String>,
    pub(crate) carbons: bool,
    /// Has asked for the roster.
    pub(crate) interested: bool,
    /// It acknowledges what it gets.
    pub(crate) managed: Option<Managed>,
}

/// How an account stands with somebody: the state of RFC 6121 §A.1, in its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contact {
    /// In the roster.
    pub(crate) listed: bool,
    /// The account sees the contact.
    pub(crate) to: bool,
    /// The contact sees the account.
    pub(crate) from: bool,
    /// The account has asked to see the contact.
    pub(crate) asked: bool,
    /// The contact has asked to see the account.
    pub(crate) requested: bool,
    /// The account has approved that before.
    pub(crate) approved: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) here: Vec<Resource>,
    pub(crate) accounts: Vec<String>,
    /// The first's view of the second.
    pub(crate) contacts: BTreeMap<(String, String), Contact>,
    /// The first has blocked the second.
    pub(crate) blocked: Vec<(String, String)>,
    pub(crate) stored: Vec<Stored>,
    /// The id of the stanza that is sent.
    pub(crate) number: usize,
    /// What is sent is not kept for people who are away.
    pub(crate) is_needless: bool,
    /// The messages that were sent, by their ids.
    pub(crate) sent: BTreeMap<usize, Sent>,
    /// Those that somebody has got for whom they were.
    pub(crate) got: BTreeSet<usize>,
    /// In seconds.
    pub(crate) now: u64,
    /// Who is getting what was stored.
    pub(crate) replayed_to: Option<u64>,
    /// Whoever acknowledges gets one stanza, and the next when that is acknowledged.
    pub(crate) one_by_one: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) account: String,
    pub(crate) sender: String,
    pub(crate) what: String,
    pub(crate) number: usize,
}

pub(crate) fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (address, None),
    }
}

pub(crate) fn bare_of(address: &str) -> String {
    split(address).0.to_owned()
}

pub(crate) fn is_remote(address: &str) -> bool {
    address.contains("z.example")
}

pub(crate) fn includes(blocked: &str, entity: &str) -> bool {
    let bare = split(entity).0;
    let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
    [entity, bare, domain].contains(&blocked)
}

pub(crate) const UNAVAILABLE: &str = "service-unavailable/cancel";
pub(crate) const BLOCKED: &str = "not-acceptable/cancel";

impl Model {
    /// The first of each pair lets the second see its presence.
    pub(crate) fn new(grants: impl Iterator<Item = (&'static str, &'static str)>) -> Self {
        let mut model = Model { accounts: ACCOUNTS.map(str::to_owned).to_vec(), ..Model::default() };
        for (from, to) in grants {
            let grants = model.contact_mut(from, to);
            (grants.listed, grants.from) = (true, true);
            let granted = model.contact_mut(to, from);
            (granted.listed, granted.to) = (true, true);
        }
        model
    }

    pub(crate) fn contact(&self, account: &str, contact: &str) -> Contact {
        self.contacts.get(&(account.to_owned(), bare_of(contact))).cloned().unwrap_or_default()
    }

    pub(crate) fn contact_mut(&mut self, account: &str, contact: &str) -> &mut Contact {
        self.contacts.entry((account.to_owned(), bare_of(contact))).or_default()
    }

    /// Those of whom this is true.
    pub(crate) fn those(&self, account: &str, is: fn(&Contact) -> bool) -> Vec<String> {
        let own = self.contacts.iter().filter(|((owner, _), contact)| owner == account && is(contact));
        own.map(|((_, contact), _)| contact.clone()).collect()
    }

    pub(crate) fn of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.here.iter().filter(move |r| split(&r.jid).0 == account)
    }

    pub(crate) fn at(&self, full: &str) -> Option<&Resource> {
        self.here.iter().find(|r| r.jid == full)
    }

    pub(crate) fn session(&self, full: &str) -> u64 {
        self.at(full).unwrap().session
    }

    pub(crate) fn error(&self, kind: &str, condition: &str, sender: &str, from: &str) -> Vec<String> {
        let number = if kind == "presence" { String::new() } else { format!(" #{}", self.number) };
        self.at(sender)
            .map(|r| format!("{}: {kind} error {condition} from {from}{number}", r.session))
            .into_iter()
            .collect()
    }

    pub(crate) fn blocks(&self, account: &str, entity: &str) -> bool {
        account != split(entity).0
            && self.blocked.iter().any(|(who, blocked)| who == account && includes(blocked, entity))
    }

    /// Those who see the account's presence.
    pub(crate) fn audience(&self, account: &str) -> Vec<String> {
        let mut all = self.those(account, |contact| contact.from);
        all.retain(|to| !self.blocks(account, to));
        all
    }

    pub(crate) fn top(&self, account: &str) -> Vec<Resource> {
        let willing: Vec<_> = self.of(account).filter(|r| r.priority >= Some(0)).collect();
        let top = willing.iter().map(|r| r.priority).max().unwrap_or_default();
        willing.into_iter().filter(|r| r.priority == top).cloned().collect()
    }

    pub(crate) fn copies(&self, account: &str, kind: MessageType, except: &[u64]) -> Vec<String> {
        let copied = self.of(account).filter(|r| r.carbons && !except.contains(&r.session));
        // Normal ones and errors have no content that would matter.
        copied
            .filter(|_| kind == MessageType::Chat)
            .map(|r| format!("{}: message chat from {account} #{}", r.session, self.number))
            .collect()
    }

    pub(crate) fn message(&mut self, sender: &str, kind: MessageType, to: &str) -> Vec<String> {
        let (own, account) = (bare_of(sender), bare_of(to));
        let sent = Sent { sender: sender.to_owned(), to: to.to_owned(), kind, is_needless: self.is_needless };
        self.sent.insert(self.number, sent);
        if self.blocks(&own, to) {
            return if kind == MessageType::Error {
                vec![]
            } else {
                self.error("message", BLOCKED, sender, to)
            };
        }
        let mut lines =
            if own == account { vec![] } else { self.copies(&own, kind, &[self.session(sender)]) };
        lines.extend(self.pass(sender, kind, to, true));
        lines
    }

    /// A message comes to its recipient; if it is not new somebody was to get it before, and it was copied then.
    pub(crate) fn pass(&mut self, sender: &str, kind: MessageType, to: &str, is_new: bool) -> Vec<String> {
        use MessageType::{Chat, Error, Groupchat, Headline, Normal};
        let kind_name = Kind::Message(kind).type_name().map(|name| format!(" {name}")).unwrap_or_default();
        let what = format!("message{kind_name} from {sender} #{}", self.number);
        let to_all = |all: &[Resource]| -> Vec<String> {
            all.iter().map(|r| format!("{}: {what}", r.session)).collect()
        };
        let (account, resource) = split(to);
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        let given = |model: &Model, all: Vec<Resource>| {
            let mut lines = to_all(&all);
            if is_new {
                let mut except: Vec<u64> = all.iter().map(|r| r.session).collect();
                except.push(model.session(sender));
                lines.extend(model.copies(account, kind, &except));
            }
            lines
        };
        let lost = |model: &Model| {
            let seen =
                model.of(account).any(|r| r.directed.iter().any(|d| d == sender || d == split(sender).0));
            let is_known = seen || account == split(sender).0 || model.contact(account, sender).listed;
            if is_known { model.error("message", UNAVAILABLE, sender, to) } else { vec![] }
        };
        if self.blocks(account, sender) {
            return match (kind, resource) {
                (Error | Headline, _) => vec![],
                (Groupchat, None) => self.error("message", UNAVAILABLE, sender, to),
                _ => lost(self),
            };
        }
        if let Some(resource) = self.at(to).cloned() {
            return given(self, vec![resource]);
        }
        let top = self.top(account);
        match (kind, resource) {
            (Error, _) => vec![],
            _ if account == "x.example" => self.error("message", UNAVAILABLE, sender, to),
            (Headline, None) => {
                to_all(&self.of(account).filter(|r| r.priority >= Some(0)).cloned().collect::<Vec<_>>())
            }
            (Headline, Some(_)) => vec![],
            (Groupchat, None) => self.error("message", UNAVAILABLE, sender, to),
            // Who thinks to see its presence, as nothing else could be said to who had blocked it, hears that it is no more.
            _ if !self.accounts.iter().any(|a| a == account) => {
                let sees = self.contact(split(sender).0, account).to;
                if sees { self.error("message", UNAVAILABLE, sender, to) } else { vec![] }
            }
            (Groupchat | Normal, Some(_)) => lost(self),
            (Chat, _) | (Normal, None) if !top.is_empty() => given(self, top),
            (Chat, _) | (Normal, None) if self.is_needless => vec![],
            (Chat, _) | (Normal, None) => {
                let mut lines = vec![format!("store for {account}: {what}")];
                let is_known = account == split(sender).0 || self.contact(account, sender).listed;
                let room = if is_known { MOST_STORED } else { MOST_STORED.div_ceil(2) };
                if self.stored.iter().filter(|message| message.account == account).count() < room {
                    let (account, sender, number) = (account.to_owned(), sender.to_owned(), self.number);
                    self.stored.push(Stored { account, sender, what, number });
                } else {
                    lines.extend(lost(self));
                }
                lines
            }
        }
    }

    pub(crate) fn iq(&self, sender: &str, kind: IqType, to: &str) -> Vec<String> {
        let what = format!("iq {} from {sender} #{}", Kind::Iq(kind).type_name().unwrap(), self.number);
        let fail = |condition: &str| match kind {
            IqType::Result => vec![],
            _ => self.error("iq", condition, sender, to),
        };
        if self.blocks(split(sender).0, to) {
            return fail(BLOCKED);
        }
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        let may = |r: &Resource| {
            let account = split(&r.jid).0;
            !self.blocks(account, sender)
                && (kind == IqType::Result
                    || split(sender).0 == account
                    || self.contact(account, sender).from
                    || r.directed.iter().any(|d| d == sender || d == split(sender).0))
        };
        match self.at(to) {
            Some(resource) if may(resource) => vec![format!("{}: {what}", resource.session)],
            _ => fail(UNAVAILABLE),
        }
    }

    /// Presence to an address; `gone` if it says that the sender is no longer there.
    pub(crate) fn show(&mut self, sender: &str, gone: bool, to: &str) -> Vec<String> {
        let what = format!("presence{} from {sender}", if gone { " unavailable" } else { "" });
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        if self.blocks(split(to).0, sender) {
            return vec![];
        }
        let mut lines = vec![];
        for resource in &mut self.here {
            let (account, name) = split(&resource.jid);
            let told = match split(to) {
                (bare, None) => bare == account && resource.priority.is_some(),
                (bare, full) => bare == account && full == name,
            };
            if told {
                lines.push(format!("{}: {what}", resource.session));
                if gone {
                    resource.directed.retain(|entity| entity != sender);
                }
            }
        }
        lines
    }

    pub(crate) fn show_all(&mut self, sender: &str, gone: bool, to: &[String]) -> Vec<String> {
        to.iter().flat_map(|to| self.show(sender, gone, to)).collect()
    }

    pub(crate) fn available(&mut self, sender: &str, priority: i8) -> Vec<String> {
        let session = self.session(sender);
        let account = bare_of(sender);
        let initial = self.at(sender).unwrap().priority.is_none();
        let others: Vec<_> = self
            .of(&account)
            .filter(|r| r.priority.is_some() && r.jid != sender)
            .map(|r| format!("{session}: presence from {}", r.jid))
            .collect();
        self.here.iter_mut().find(|r| r.jid == sender).unwrap().priority = Some(priority);
        let mut lines = self.show(sender, false, &account);
        let audience = self.audience(&account);
        lines.extend(self.show_all(sender, false, &audience));
        if initial {
            lines.extend(others);
            // The requests that wait.
            for contact in self.those(&account, |contact| contact.requested) {
                if !self.blocks(&account, &contact) {
                    lines.push(format!("{session}: presence subscribe from {contact}"));
                }
            }
            // Whom the account sees, and whom it has asked and has no answer from.
            for contact in self.those(&account, |contact| contact.to) {
                if self.blocks(&account, &contact) {
                    continue;
                }
                if is_remote(&contact) {
                    lines.push(format!("remote {contact}: presence probe from {account}"));
                } else if self.of(&contact).next().is_some() {
                    // Who is not connected is not asked.
                    lines.extend(self.answer_probe(sender, &contact));
                }
            }
            for contact in self.those(&account, |contact| contact.asked) {
                if !self.blocks(&account, &contact) {
                    lines.extend(self.route(&account, PresenceType::Subscribe, &contact));
                }
            }
        }
        if let Some(first) = self.top(&account).first().cloned() {
            let (mine, rest) = self.stored.drain(..).partition(|message| message.account == account);
            self.stored = rest;
            let mine: Vec<Stored> = mine;
            self.replayed_to = Some(first.session).filter(|_| !mine.is_empty());
            let may = mine.iter().filter(|message| !self.blocks(&account, &message.sender));
            lines.extend(may.map(|message| format!("{}: {}", first.session, message.what)));
        }
        lines
    }

    /// The resource goes offline; what it was is `ended`, and if it is still connected it is among those here.
    pub(crate) fn end(&mut self, ended: &Resource) -> Vec<String> {
        let mut lines = vec![];
        let account = bare_of(&ended.jid);
        let audience = self.audience(&account);
        if ended.priority.is_some() {
            lines.extend(self.show(&ended.jid, true, &account));
            if self.at(&ended.jid).is_some_and(|r| r.session == ended.session) {
                lines.push(format!("{}: presence unavailable from {}", ended.session, ended.jid));
            }
            lines.extend(self.show_all(&ended.jid, true, &audience));
        }
        for entity in &ended.directed {
            if !(ended.priority.is_some() && self.is_reached(ended, entity, &audience)) {
                lines.extend(self.show(&ended.jid, true, entity));
            }
        }
        lines
    }

    /// Whether a broadcast of the resource reaches the entity.
    pub(crate) fn is_reached(&self, of: &Resource, entity: &str, audience: &[String]) -> bool {
        let bare = bare_of(entity);
        (bare == split(&of.jid).0 || audience.contains(&bare))
            && (bare == entity
                || is_remote(entity)
                || entity == of.jid
                || self.at(entity).is_some_and(|r| r.priority.is_some()))
    }

    pub(crate) fn unbind(&mut self, session: u64) -> Vec<String> {
        let Some(index) = self.here.iter().position(|r| r.session == session) else { return vec![] };
        let ended = self.here.remove(index);
        let mut lines = self.end(&ended);
        lines.extend(self.leave(vec![ended]));
        lines
    }

    pub(crate) fn bind(&mut self, session: u64, account: &str, name: &str) -> Vec<String> {
        if !self.accounts.iter().any(|a| a == account) {
            self.accounts.push(account.to_owned());
        }
        let jid = format!("{account}/{name}");
        let mut lines = vec![];
        let old = self.here.extract_if(.., |r| r.jid == jid).collect::<Vec<_>>();
        for old in &old {
            lines.push(format!("{}: closed with conflict", old.session));
            lines.extend(self.end(old));
        }
        self.here.push(Resource {
            session,
            jid,
            priority: None,
            directed: vec![],
            carbons: false,
            interested: false,
            managed: None,
        });
        lines.extend(self.leave(old));
        lines
    }

    pub(crate) fn remove(&mut self, account: &str) -> Vec<String> {
        if !self.accounts.iter().any(|a| a == account) {
            return vec![format!("{account}: Missing")];
        }
        let (gone, here) = self.here.drain(..).partition(|r| split(&r.jid).0 == account);
        self.here = here;
        let gone: Vec<Resource> = gone;
        let mut lines = vec![];
        for resource in &gone {
            lines.push(format!("{}: closed with not-authorized", resource.session));
            let remote = self.audience(account);
            // None of its own resources is left to see the others go.
            if resource.priority.is_some() {
                lines.extend(self.show_all(&resource.jid, true, &remote));
            }
            for entity in &resource.directed {
                let told = resource.priority.is_some()
                    && (split(entity).0 == account || self.is_reached(resource, entity, &remote));
                if !told {
                    lines.extend(self.show(&resource.jid, true, entity));
                }
            }
        }
        // Nobody gets what they have not got.
        lines.extend(self.refuse_requests(&gone));
        lines.extend(self.refuse_messages(account, &gone));
        self.accounts.retain(|a| a != account);
        self.stored.retain(|message| message.account != account);
        self.blocked.retain(|(who, _)| who != account);
        let (gone, others) =
            core::mem::take(&mut self.contacts).into_iter().partition(|((who, _), _)| who == account);
        self.contacts = others;
        let gone: BTreeMap<(String, String), Contact> = gone;
        for ((_, contact), was) in gone {
            if was.to || was.asked {
                lines.extend(self.route(account, PresenceType::Unsubscribe, &contact));
            }
            if was.from || was.requested {
                lines.extend(self.route(account, PresenceType::Unsubscribed, &contact));
            }
        }
        lines.push(format!("{account}: Removed"));
        lines
    }

    pub(crate) fn direct(&mut self, sender: &str, there: bool, to: &str) -> Vec<String> {
        if self.blocks(split(sender).0, to) {
            return self.error("presence", BLOCKED, sender, to);
        }
        if to == "x.example" {
            return vec![];
        }
        let resource = self.here.iter_mut().find(|r| r.jid == sender).unwrap();
        if !there {
            resource.directed.retain(|entity| entity != to);
        } else if !resource.directed.iter().any(|entity| entity == to) {
            if resource.directed.len() == MOST_DIRECTED {
                return self.error("presence", "resource-constraint/wait", sender, to);
            }
            resource.directed.push(to.to_owned());
        }
        self.show(sender, !there, to)
    }

    pub(crate) fn probe(&mut self, sender: &str, to: &str) -> Vec<String> {
        if self.blocks(split(sender).0, to) {
            return self.error("presence", BLOCKED, sender, to);
        }
        if is_remote(to) {
            return vec![format!("remote {to}: presence probe from {sender}")];
        }
        self.answer_probe(sender, to)
    }

    pub(crate) fn answer_probe(&mut self, prober: &str, to: &str) -> Vec<String> {
        let (account, name) = split(to);
        if account == "x.example" {
            return vec![];
        }
        // What is for an account, all of its clients get that are there.
        let gets = |r: &&Resource| r.jid == prober || split(prober).1.is_none() && r.priority.is_some();
        let says = |model: &Model, kind: &str, of: &str| match is_remote(prober) {
            true => vec![format!("remote {prober}: presence{kind} from {of}")],
            false => {
                let sessions = model.of(split(prober).0).filter(gets).map(|r| r.session);
                sessions.map(|session| format!("{session}: presence{kind} from {of}")).collect()
            }
        };
        let may = split(prober).0 == account || self.contact(account, prober).from;
        let blocked = self.blocks(account, prober);
        let probed = self.of(account).filter(|r| name.is_none() || r.jid == to);
        let seen: Vec<String> = probed
            .filter(|r| match may {
                true => r.priority.is_some(),
                false => r.directed.iter().any(|d| d == prober || d == split(prober).0),
            })
            .flat_map(|r| says(self, "", &r.jid))
            .collect();
        match (may, blocked, seen.is_empty()) {
            (true, true, _) => vec![],
            (true, false, true) => says(self, " unavailable", to),
            (false, true, _) | (false, false, true) if is_remote(prober) => {
                says(self, " unsubscribed", account)
            }
            (false, true, _) | (false, false, true) => {
                self.inbound(&bare_of(prober), PresenceType::Unsubscribed, account)
            }
            (_, false, false) => seen,
        }
    }

    /// The remote contact sends presence.
    pub(crate) fn receive(&mut self, kind: PresenceType, to: &str) -> Vec<String> {
        let account = bare_of(to);
        match kind {
            _ if is_remote(to) => vec![],
            PresenceType::Probe => self.answer_probe(REMOTE, to),
            PresenceType::Subscribe => self.inbound(&account, kind, REMOTE),
            _ if account == to || self.at(to).is_some() => self.inbound(&account, kind, REMOTE),
            _ => vec![],
        }
    }

    pub(crate) fn carbons(&mut self, sender: &str, on: bool) -> Vec<String> {
        let own = self.here.iter_mut().find(|r| r.jid == sender).unwrap();
        own.carbons = on;
        vec![format!("{}: iq result", own.session)]
    }

    pub(crate) fn block(&mut self, sender: &str, whom: &str) -> Vec<String> {
        let account = bare_of(sender);
        let mut lines = vec![format!("{}: iq result", self.session(sender))];
        let newly = |entity: &str| includes(whom, entity) && split(entity).0 != account;
        let mut ending = self.audience(&account);
        ending.retain(|contact| newly(contact));
        lines.extend(self.withdraw(&account, &ending, &newly));
        self.blocked.push((account, whom.to_owned()));
        lines
    }

    pub(crate) fn unblock(&mut self, sender: &str, whom: &str) -> Vec<String> {
        let account = bare_of(sender);
        let mut lines = vec![format!("{}: iq result", self.session(sender))];
        let before = self.audience(&account);
        let mut unseen = self.those(&account, |contact| contact.to);
        unseen.retain(|contact| self.blocks(&account, contact));
        self.blocked.retain(|(who, blocked)| *who != account || blocked != whom);
        unseen.retain(|contact| !self.blocks(&account, contact));
        let mut after = self.audience(&account);
        after.retain(|contact| !before.contains(contact));
        let there: Vec<_> = self.of(&account).filter(|r| r.priority.is_some()).cloned().collect();
        for resource in &there {
            lines.extend(self.show_all(&resource.jid, false, &after));
        }
        // What those have said whom the account sees has not come, and there is somebody whom it is for.
        for contact in unseen.iter().filter(|_| !there.is_empty()) {
            match is_remote(contact) {
                true => lines.push(format!("remote {contact}: presence probe from {account}")),
                false => lines.extend(self.answer_probe(&account, contact)),
            }
        }
        lines
    }
}
