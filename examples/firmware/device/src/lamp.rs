//! The lamp, and the two commands by which its owner controls it (XEP-0050): `set` asks how bright it is to be, `sleep` ends the program.
//!
//! The commands are an extension of its own, which knows these two and one run at a time. `balcony_client::Commands` is for any: with several
//! steps, ways back, and checked answers, for some 20 KiB of flash more than this device has.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use balcony_client::{Context, Extension};
use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError};
use balcony_xep::commands::{Action, Actions, Fault, Level, NS, Note, Request, Response, Status};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony_xep::disco::{About, Item, Items, Query};
use balcony_xml::Element;

static LEVEL: AtomicU8 = AtomicU8::new(0);
static SLEEPS: AtomicBool = AtomicBool::new(false);

const OFFERED: [(&str, &str); 2] = [("set", "Set the brightness"), ("sleep", "Good night")];

/// How bright the lamp is, in percent.
pub(crate) fn level() -> u8 {
    LEVEL.load(Relaxed)
}

/// Whether somebody has said that it is enough for today.
pub(crate) fn sleeps() -> bool {
    SLEEPS.load(Relaxed)
}

/// The commands, for this account alone.
pub(crate) struct LampCommands {
    owner: &'static str,
    /// Who was asked for the brightness last, in which run.
    asked: Option<(String, Jid)>,
    runs: u32,
}

impl LampCommands {
    pub(crate) const fn new(owner: &'static str) -> LampCommands {
        LampCommands { owner, asked: None, runs: 0 }
    }

    fn step(&mut self, from: &Jid, request: &Request<'_>) -> Result<Response<'static>, StanzaError> {
        let mut step = Response::new(request.node.clone().into_owned(), Status::Completed);
        let mut text = String::from("Good night");
        match (&*request.node, &request.session, request.action) {
            ("sleep", None, Action::Execute) => SLEEPS.store(true, Relaxed),
            ("set", None, Action::Execute) => {
                self.runs += 1;
                let session = self.runs.to_string();
                let field = Field::new(FieldKind::TextSingle, "level").labelled("Percent").required();
                step.session = Some(Cow::Owned(session.clone()));
                step.status = Status::Executing;
                step.actions =
                    Some(Actions { execute: Some(Action::Complete), complete: true, ..Actions::default() });
                step.form = Some(DataForm::new(FormKind::Form).with(field.valued(level().to_string())));
                self.asked = Some((session, from.clone()));
                return Ok(step);
            }
            ("set", Some(session), action) => {
                let is_asked = |(asked, by): &(String, Jid)| **asked == **session && by == from;
                if !self.asked.as_ref().is_some_and(is_asked) {
                    return Err(Fault::BadSessionId.error("nothing was asked"));
                }
                let level = request.form.as_ref().and_then(|form| form.value("level")?.parse().ok());
                let level = match (action, level.filter(|level| *level <= 100)) {
                    (Action::Prev | Action::Next, _) => {
                        return Err(Fault::BadAction.error("there is one step"));
                    }
                    (Action::Cancel, _) => None,
                    (_, None) => return Err(Fault::BadPayload.error("the level is a number from 0 to 100")),
                    (_, level) => level,
                };
                step.session = self.asked.take().map(|(session, _)| Cow::Owned(session));
                let Some(level) = level else {
                    step.status = Status::Canceled;
                    return Ok(step);
                };
                LEVEL.store(level, Relaxed);
                text = format!("The lamp is at {level} %");
            }
            _ => return Err(ErrorCondition::ItemNotFound.into()),
        }
        step.notes.push(Note::new(Level::Info, text));
        Ok(step)
    }
}

impl Extension for LampCommands {
    fn features(&self) -> Vec<Cow<'static, str>> {
        vec![Cow::Borrowed(NS)]
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let (Kind::Iq(kind @ (IqType::Get | IqType::Set)), Some(from)) =
            (stanza.head.kind, &stanza.head.from)
        else {
            return false;
        };
        let Ok(content) = stanza.payload.parse() else { return false };
        let Some(element) = content.root().children().next() else { return false };
        let is_owner = from.bare_str() == self.owner;
        let asks = match kind {
            IqType::Get => Query::read(element)
                .is_some_and(|query| query.about == About::Items && query.node.as_deref() == Some(NS)),
            _ => element.is("command", NS),
        };
        if !asks {
            return false;
        }
        let answer = match kind {
            // As if nobody were there, to whoever is not known to see that it is. There is no roster, so that is the own account.
            _ if !is_owner && context.sender_sees() != Some(true) => {
                Err(ErrorCondition::ServiceUnavailable.into())
            }
            IqType::Get => Ok(list(is_owner, context.jid().as_str())),
            _ if is_owner => Request::read(element)
                .and_then(|request| self.step(from, &request))
                .map(|step| step.to_element()),
            _ => Err(ErrorCondition::Forbidden.into()),
        };
        let answer = match answer {
            Ok(element) => stanza.result().map(|result| result.with_child(element)),
            Err(error) => stanza.error(&error),
        };
        // There is room for an answer, or nothing would be shown.
        answer.is_none_or(|answer| context.send(answer).is_ok())
    }

    fn offline(&mut self) {
        self.asked = None;
    }
}

/// The commands that somebody may run.
fn list(is_owner: bool, jid: &str) -> Element {
    let item = |(node, name)| Item {
        jid: jid.into(),
        node: Some(Cow::Borrowed(node)),
        name: Some(Cow::Borrowed(name)),
    };
    let items = OFFERED.into_iter().filter(|_| is_owner).map(item).collect();
    Items { node: Some(Cow::Borrowed(NS)), items }.to_element()
}
