//! `balcony send`: one message, and the certainty that it has been processed.

use core::time::Duration;
use std::io::Read as _;
use std::path::Path;

use balcony_client::Event;
use balcony_stanza::{MessageType, Stanza};
use balcony_tokio::Client;

use crate::args::{MessageKind, SendArgs};
use crate::connect::{Connector, explain, ping, runtime};
use crate::failure::{Failure, io};
use crate::message::{body, error};
use crate::random::random;

/// Whether a message can be stored is found out beside the stream, so a refusal may come a little after the answer to a
/// ping that was sent later.
const AFTERTHOUGHT: Duration = Duration::from_millis(200);

pub(crate) fn run(args: SendArgs) -> Result<(), Failure> {
    if args.text == "-" && args.connect.password_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("the standard input cannot be both the password and the text"));
    }
    let connector = Connector::new(&args.account, &args.connect)?;
    let text = match args.text.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(io("cannot read the text"))?;
            text.truncate(text.trim_end_matches('\n').len());
            text
        }
        text => text.to_owned(),
    };
    let kind = match args.kind {
        MessageKind::Chat => MessageType::Chat,
        MessageKind::Normal => MessageType::Normal,
        MessageKind::Headline => MessageType::Headline,
        MessageKind::Groupchat => MessageType::Groupchat,
    };
    let id = random()?.token(16);
    let message = Stanza::message(kind).to(args.to).id(&id).payload(body(&text)?);
    runtime()?.block_on(async {
        let mut client = connector.connect().await.map_err(|error| explain(&error))?;
        client.send(&message).await.map_err(ended)?;
        ping(&mut client).await?;
        let refused = refusal(&mut client, &id).await?;
        client.close().await.map_err(ended)?;
        refused.map_or(Ok(()), Err)
    })
}

/// Why the message came back, if it did.
async fn refusal(client: &mut Client, id: &str) -> Result<Option<Failure>, Failure> {
    while let Ok(next) = tokio::time::timeout(AFTERTHOUGHT, client.next()).await {
        let Some(event) = next.map_err(ended)? else { break };
        let Event::Stanza(stanza) = event else { continue };
        if stanza.head.kind.is_error() && stanza.head.id.as_deref() == Some(id) {
            let reason =
                error(&stanza).map_or_else(|| "for no reason given".into(), |error| error.to_string());
            let from = stanza.head.from.as_ref().map(ToString::to_string).unwrap_or_default();
            return Ok(Some(Failure::new(format!("the message to {from} came back: {reason}"))));
        }
    }
    Ok(None)
}

fn ended(error: balcony_tokio::Error) -> Failure {
    Failure::new(error.to_string())
}
