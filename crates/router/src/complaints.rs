//! What whoever runs the server has to hear about extensions that do not work: their clients hear `internal-server-error` and no more.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;

use crate::router::Router;
use crate::{Effect, Level};

/// What does not work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Complaint {
    /// It changes or reads what it has not registered.
    NotRegistered,
    /// The program does not answer what it is asked.
    NoAnswer,
}

/// What was said already, a bit for each extension: clients can have it happen as often as they like.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    not_registered: u64,
    no_answer: u64,
}

impl Router {
    /// Says once what does not work with an extension.
    pub(crate) fn complain(&mut self, of: Complaint, extension: u8, effects: &mut Vec<Effect>) {
        let said = match of {
            Complaint::NotRegistered => &mut self.complaints.not_registered,
            Complaint::NoAnswer => &mut self.complaints.no_answer,
        };
        let bit = 1_u64.checked_shl(extension.into()).unwrap_or_default();
        if *said & bit == 0 {
            *said |= bit;
            let name = self.shared.config.extensions.name(extension);
            effects.push(Effect::Log(Level::Warn, of.line(name)));
        }
    }

    /// Says that an account can't be used, since an extension can't read what it has kept of it.
    pub(crate) fn complain_of_damage(&self, account: &BareJid, extension: u8, effects: &mut Vec<Effect>) {
        let name = self.shared.config.extensions.name(extension);
        let line =
            format!("{account} cannot be used: the extension {name} cannot read a document that it has kept");
        effects.push(Effect::Log(Level::Warn, line));
    }
}

impl Complaint {
    fn line(self, name: &str) -> String {
        match self {
            Complaint::NotRegistered => format!(
                "a request to the extension {name} failed: it has not registered the collection that it uses, or in an earlier version"
            ),
            Complaint::NoAnswer => format!(
                "a request to the extension {name} failed: what it has asked the program that runs the server was refused"
            ),
        }
    }
}
