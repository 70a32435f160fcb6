//! `balcony send`: one message, and the certainty that it has been processed.

use core::time::Duration;
use std::io::Read as _;
use std::path::Path;

use balcony_jid::Jid;
use balcony_stanza::{MessageType, Stanza};

use crate::args::SendArgs;
use crate::connect::{Connector, runtime};
use crate::failure::{Failure, io};
use crate::message::{body, error, explained};
use crate::password::MARK;
use crate::random::random;
use crate::session::{Session, ended, fence};
use crate::values::{MessageKind, Text};

/// How long the recipient's server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: SendArgs) -> Result<(), Failure> {
    if args.text.as_str() == "-" && args.connect.password_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("the standard input cannot be both the password and the text"));
    }
    let connector = Connector::new(&args.account, &args.connect)?;
    let text = match args.text.as_str() {
        "-" => read_text()?,
        _ => args.text,
    };
    if text.as_str().is_empty() {
        return Err(Failure::usage("the text is empty: there is nothing to send"));
    }
    let kind = match args.kind {
        MessageKind::Chat => MessageType::Chat,
        MessageKind::Normal => MessageType::Normal,
        MessageKind::Headline => MessageType::Headline,
        MessageKind::Groupchat => MessageType::Groupchat,
    };
    let id = random()?.token(16);
    // The account answers for its devices, which may be asleep.
    let whom = Jid::from(args.to.to_bare());
    let message = Stanza::message(kind).to(args.to).id(&id).payload(body(text.as_str())?);
    runtime()?.block_on(Session::run(&connector, async |session| {
        let client = &mut session.client;
        session.doubt = Some("the message may or may not have arrived");
        client.send(&message).await.map_err(ended)?;
        let mut refusal = None;
        let answered = fence(client, Some(whom), PATIENCE, |stanza| {
            if stanza.head.kind.is_error() && stanza.head.id.as_deref() == Some(&*id) {
                refusal = Some(refused(&stanza));
            }
        })
        .await;
        if answered.is_ok() || refusal.is_some() {
            session.doubt = None;
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => answered.map(|_| ()),
        }
    }))
}

/// What stands on the standard input, but for what editors and shells put around it.
fn read_text() -> Result<Text, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(io("cannot read the text"))?;
    let text = text.strip_prefix(MARK).unwrap_or(&text).trim_end_matches('\n');
    text.parse().map_err(|reason| Failure::usage(format!("the text on the standard input: {reason}")))
}

/// Why the message came back.
fn refused(stanza: &Stanza) -> Failure {
    let reason = error(stanza).map_or_else(|| "for no reason given".into(), |error| explained(&error));
    let from = stanza.head.from.as_ref().map(ToString::to_string).unwrap_or_default();
    Failure::new(format!("the message to {from} came back: {reason}"))
}
