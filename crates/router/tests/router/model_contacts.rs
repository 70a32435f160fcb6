//! The model's rosters and subscriptions (RFC 6121 sections 2 and 3, appendix A).

use core::mem;
use std::collections::BTreeMap;

use balcony_stanza::{Kind, PresenceType};

use crate::model::{BLOCKED, Contact, Model, bare_of, is_remote, split};

impl Model {
    pub(crate) fn interested(&self, account: &str, what: &str) -> Vec<String> {
        self.of(account).filter(|r| r.interested).map(|r| format!("{}: {what}", r.session)).collect()
    }

    pub(crate) fn push(&self, account: &str) -> Vec<String> {
        self.interested(account, "iq set")
    }

    /// Presence from one bare JID to another.
    pub(crate) fn route(&mut self, account: &str, kind: PresenceType, contact: &str) -> Vec<String> {
        if is_remote(contact) {
            let kind = Kind::Presence(kind).type_name().unwrap();
            return vec![format!("remote {contact}: presence {kind} from {account}")];
        }
        self.inbound(contact, kind, account)
    }

    /// RFC 6121 §3, §A.2: a user of the account says this about a contact.
    pub(crate) fn outbound(&mut self, account: &str, kind: PresenceType, contact: &str) -> Vec<String> {
        if account == contact || contact == "x.example" {
            return vec![];
        }
        let was = self.contact(account, contact);
        let now = self.contact_mut(account, contact);
        let mut lines = vec![];
        match kind {
            PresenceType::Subscribe => {
                if !was.to && !was.asked {
                    (now.listed, now.asked) = (true, true);
                    lines.extend(self.push(account));
                }
                lines.extend(self.route(account, kind, contact));
            }
            PresenceType::Unsubscribe => {
                (now.to, now.asked) = (false, false);
                if was.to || was.asked {
                    lines.extend(self.push(account));
                }
                lines.extend(self.route(account, kind, contact));
            }
            PresenceType::Subscribed if was.requested => {
                (now.listed, now.from, now.requested) = (true, true, false);
                lines.extend(self.push(account));
                lines.extend(self.route(account, kind, contact));
                lines.extend(self.reveal(account, contact));
            }
            // Before it is asked for.
            PresenceType::Subscribed if !was.from && !was.approved => {
                (now.listed, now.approved) = (true, true);
                lines.extend(self.push(account));
            }
            PresenceType::Unsubscribed if was.from => {
                now.from = false;
                lines.extend(self.hide(account, contact));
                lines.extend(self.route(account, kind, contact));
                lines.extend(self.push(account));
            }
            PresenceType::Unsubscribed if was.requested => {
                now.requested = false;
                lines.extend(self.route(account, kind, contact));
            }
            PresenceType::Unsubscribed if was.approved => {
                now.approved = false;
                lines.extend(self.push(account));
            }
            _ => {}
        }
        lines
    }

    /// RFC 6121 §3, §A.3: a contact says this to the account.
    pub(crate) fn inbound(&mut self, account: &str, kind: PresenceType, contact: &str) -> Vec<String> {
        let exists = self.accounts.iter().any(|a| a == account);
        if !exists || account == contact || self.blocks(account, contact) {
            return vec![];
        }
        let what = format!("presence {} from {contact}", Kind::Presence(kind).type_name().unwrap());
        let was = self.contact(account, contact);
        let now = self.contact_mut(account, contact);
        let mut lines = vec![];
        match kind {
            PresenceType::Subscribe if was.from => {
                lines.extend(self.route(account, PresenceType::Subscribed, contact));
            }
            PresenceType::Subscribe if was.requested => {}
            PresenceType::Subscribe if was.approved => {
                (now.approved, now.from) = (false, true);
                lines.extend(self.push(account));
                lines.extend(self.route(account, PresenceType::Subscribed, contact));
                lines.extend(self.reveal(account, contact));
            }
            PresenceType::Subscribe => {
                now.requested = true;
                let there = self.of(account).filter(|r| r.priority.is_some());
                lines.extend(there.map(|r| format!("{}: {what}", r.session)));
            }
            PresenceType::Unsubscribe if was.from => {
                now.from = false;
                lines.extend(self.interested(account, &what));
                lines.extend(self.push(account));
                lines.extend(self.hide(account, contact));
                lines.extend(self.route(account, PresenceType::Unsubscribed, contact));
            }
            PresenceType::Unsubscribe if was.requested => {
                now.requested = false;
                lines.extend(self.interested(account, &what));
            }
            PresenceType::Subscribed if was.asked => {
                (now.asked, now.to) = (false, true);
                lines.extend(self.interested(account, &what));
                lines.extend(self.push(account));
            }
            // Nobody asks for it any more. Within this server it is ended again, so that both rosters agree.
            PresenceType::Subscribed if !was.to && !is_remote(contact) => {
                lines.extend(self.route(account, PresenceType::Unsubscribe, contact));
            }
            PresenceType::Unsubscribed if was.to || was.asked => {
                (now.asked, now.to) = (false, false);
                lines.extend(self.interested(account, &what));
                lines.extend(self.push(account));
            }
            _ => {}
        }
        lines
    }

    /// The contact sees each available resource now.
    pub(crate) fn reveal(&mut self, account: &str, contact: &str) -> Vec<String> {
        let there: Vec<_> = self.of(account).filter(|r| r.priority.is_some()).cloned().collect();
        if self.blocks(account, contact) {
            return vec![];
        }
        there.iter().flat_map(|resource| self.show(&resource.jid, false, contact)).collect()
    }

    /// The contact sees none any more.
    pub(crate) fn hide(&mut self, account: &str, contact: &str) -> Vec<String> {
        if self.blocks(account, contact) {
            return vec![];
        }
        self.withdraw(account, &[contact.to_owned()], &|entity| split(entity).0 == contact)
    }

    /// Ends the presence that these subscribers, and these entities, see.
    pub(crate) fn withdraw(
        &mut self,
        account: &str,
        ending: &[String],
        is_one: &dyn Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut lines = vec![];
        for resource in self.of(account).cloned().collect::<Vec<_>>() {
            if resource.priority.is_some() {
                lines.extend(self.show_all(&resource.jid, true, ending));
            }
            let own = self.here.iter_mut().find(|r| r.jid == resource.jid).unwrap();
            own.directed.retain(|entity| !is_one(entity));
            for entity in resource.directed.iter().filter(|entity| is_one(entity)) {
                if !(resource.priority.is_some() && self.is_reached(&resource, entity, ending)) {
                    lines.extend(self.show(&resource.jid, true, entity));
                }
            }
        }
        lines
    }

    pub(crate) fn subscription(&mut self, sender: &str, kind: PresenceType, to: &str) -> Vec<String> {
        if self.blocks(split(sender).0, to) {
            return self.error("presence", BLOCKED, sender, to);
        }
        self.outbound(&bare_of(sender), kind, &bare_of(to))
    }

    pub(crate) fn roster(&mut self, sender: &str) -> Vec<String> {
        let own = self.here.iter_mut().find(|r| r.jid == sender).unwrap();
        own.interested = true;
        vec![format!("{}: iq result", own.session)]
    }

    pub(crate) fn set_item(&mut self, sender: &str, contact: &str) -> Vec<String> {
        let (session, account) = (self.session(sender), bare_of(sender));
        if account == contact {
            return vec![format!("{session}: iq error not-allowed/cancel")];
        }
        self.contact_mut(&account, contact).listed = true;
        let mut lines = vec![format!("{session}: iq result")];
        lines.extend(self.push(&account));
        lines
    }

    pub(crate) fn remove_item(&mut self, sender: &str, contact: &str) -> Vec<String> {
        let (session, account) = (self.session(sender), bare_of(sender));
        let was = self.contact(&account, contact);
        if !was.listed {
            return vec![format!("{session}: iq error item-not-found/modify")];
        }
        *self.contact_mut(&account, contact) = Contact::default();
        let mut heard = BTreeMap::new();
        let mut lines = vec![format!("{session}: iq result")];
        lines.extend(self.push(&account));
        // The contact, whose roster has to be saved first, has not heard of it when it decides the same for its own part.
        if was.from {
            let before = self.here.clone();
            lines.extend(self.hide(&account, contact));
            for (resource, before) in self.here.iter_mut().zip(before) {
                if bare_of(&resource.jid) == contact {
                    heard.insert(resource.session, mem::replace(&mut resource.directed, before.directed));
                }
            }
        }
        if was.to || was.asked {
            lines.extend(self.route(&account, PresenceType::Unsubscribe, contact));
        }
        if was.from || was.requested {
            lines.extend(self.route(&account, PresenceType::Unsubscribed, contact));
        }
        // Then it has.
        for resource in &mut self.here {
            if let Some(left) = heard.get(&resource.session) {
                resource.directed.retain(|entity| left.contains(entity));
            }
        }
        lines
    }
}

impl Model {
    /// As [`roster`] says it.
    pub(crate) fn shown_roster(&self, account: &str) -> Vec<String> {
        let mut lines = vec![];
        for ((_, contact), is) in self.contacts.iter().filter(|((who, _), _)| who == account) {
            if is.listed {
                let subscription = match (is.to, is.from) {
                    (false, false) => "none",
                    (true, false) => "to",
                    (false, true) => "from",
                    (true, true) => "both",
                };
                lines.push(format!("{contact} {subscription} {} {}", is.asked, is.approved));
            }
            if is.requested {
                lines.push(format!("{contact} has asked"));
            }
        }
        lines.sort();
        lines
    }
}
