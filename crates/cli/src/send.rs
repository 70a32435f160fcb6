//! `balcony send`: one message, and the certainty that it has been processed.

use core::cell::RefCell;
use core::time::Duration;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use balcony_client::MachineEvent;
use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, MessageType, Stanza};
use balcony_tokio::ConnectedClient;

use crate::args::SendArgs;
use crate::connect::{Connector, runtime};
use crate::failure::{Failure, io};
use crate::message::{body, error, explained, show};
use crate::output::note;
use crate::password::MARK;
use crate::random::random;
use crate::session::{Session, ended, fence, silent};
use crate::values::{MessageKind, Text};

/// How long the recipient's server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the own server may keep a message for a server that it cannot reach: somewhat more than Balcony does.
const LONGEST: Duration = Duration::from_secs(90);
/// How soon to ask again whether that server is there.
const AGAIN: Duration = Duration::from_secs(3);
/// How long an error may take that comes behind the answer to a request: another server may answer that while it still tries to store the
/// message.
const MOMENT: Duration = Duration::from_secs(1);

pub(crate) fn run(args: SendArgs) -> Result<(), Failure> {
    if args.text.as_str() == "-" && args.connect.password_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("the standard input cannot be both the password and the text"));
    }
    let connector = Connector::of_client(args.account, args.connect)?;
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
    let length = text.as_str().len();
    let message = Stanza::message(kind).with_to(args.to).with_id(&id).with_payload(body(text.as_str())?);
    runtime()?.block_on(Session::run(&connector, async |session| {
        let client = &mut session.client;
        session.doubt = Some(UNKNOWN);
        let sent = client.send(&message).await.map_err(ended);
        sent.inspect_err(|why| session.doubt = doubt(why, length))?;
        let fate = fate(client, &whom, &id).await;
        // What still comes until the stream is closed is for whoever sits here, too.
        session.shows_messages = true;
        match &fate {
            Fate::Unknown(why) => session.doubt = doubt(why, length),
            _ => session.doubt = None,
        }
        match fate {
            Fate::Processed => Ok(()),
            Fate::CameBack(why) | Fate::Unknown(why) => Err(why),
        }
    }))
}

const UNKNOWN: &str = "the message may or may not have arrived";
/// A server has to take stanzas of so many bytes (RFC 6120 section 13.12).
const TAKEN_BY_ALL: usize = 10_000;

/// What is known of a message with a text of so many bytes, if sending it has failed for this reason.
fn doubt(why: &Failure, length: usize) -> Option<&'static str> {
    Some(match why.is_of_policy() && length >= TAKEN_BY_ALL {
        true => "the message has not arrived if its length is the reason; send it in parts",
        false => UNKNOWN,
    })
}

/// What has become of a message.
enum Fate {
    Processed,
    CameBack(Failure),
    Unknown(Failure),
}

/// Waits until that is known. While the server of its recipient cannot be reached the own server keeps the message and tries again, but it refuses
/// requests at once: so the message has got there when a request does, unless it has come back before. The account's own server answers
/// behind the error about the message, if there is one; another one need not, and gets a moment for that.
///
/// Messages that come meanwhile are printed: they may be answers, and nobody else gets them.
async fn fate(client: &mut ConnectedClient, whom: &Jid, id: &str) -> Fate {
    let own = client.jid().clone();
    let is_elsewhere = whom.as_ref().domainpart() != own.domainpart();
    let refusal = RefCell::new(None);
    let see = |stanza: Stanza| match stanza.head.kind.is_error() && stanza.head.id.as_deref() == Some(id) {
        true => _ = refusal.replace(Some(refused(&stanza))),
        false => show(&stanza, &own),
    };
    let begin = Instant::now();
    let mut is_told = false;
    loop {
        let answered = fence(client, Some(whom.clone()), PATIENCE, see).await;
        if let Some(refusal) = refusal.take() {
            return Fate::CameBack(refusal);
        }
        match answered {
            Ok(Some(error)) if error.condition == ErrorCondition::RemoteServerTimeout => {}
            Ok(_) if is_elsewhere => {
                return along(client, MOMENT, &see, &refusal).await.unwrap_or(Fate::Processed);
            }
            Ok(_) => return Fate::Processed,
            Err(failure) => return Fate::Unknown(failure),
        }
        if begin.elapsed() > LONGEST {
            return Fate::Unknown(silent(&whom.to_string()));
        }
        if !core::mem::replace(&mut is_told, true) {
            let domain = whom.as_ref().domainpart();
            note(&format!(
                "{domain} does not answer; this account's server keeps the message for a while and tries again"
            ));
        }
        // What comes meanwhile may be the message.
        if let Some(fate) = along(client, AGAIN, &see, &refusal).await {
            return fate;
        }
    }
}

/// Reads along for a while; what has become of the message, if that shows.
async fn along(
    client: &mut ConnectedClient,
    time: Duration,
    see: &impl Fn(Stanza),
    refusal: &RefCell<Option<Failure>>,
) -> Option<Fate> {
    let until = tokio::time::Instant::now() + time;
    while let Ok(next) = tokio::time::timeout_at(until, client.next()).await {
        match next {
            Ok(Some(MachineEvent::Stanza(stanza))) => see(*stanza),
            Ok(Some(_)) => {}
            Ok(None) => return Some(Fate::Unknown(Failure::new("the server has closed the stream"))),
            Err(error) => return Some(Fate::Unknown(ended(error))),
        }
        if let Some(refusal) = refusal.take() {
            return Some(Fate::CameBack(refusal));
        }
    }
    None
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
    let error = error(stanza);
    let reason = error.as_ref().map_or_else(|| "for no reason given".into(), explained);
    let from = stanza.head.from.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_nowhere = error.is_some_and(|error| error.condition == ErrorCondition::RemoteServerNotFound);
    // Somebody's name, most likely.
    let hint = match is_nowhere && !from.contains(['@', '.', '/', ':']) {
        true => format!(". `{from}` is a domain; an account is {from}@DOMAIN"),
        false => String::new(),
    };
    Failure::new(format!("the message to {from} came back: {reason}{hint}"))
}
