//! What holds of commands whoever asks for whatever, and in which language they answer.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_xep::data_form::FieldKind;
use proptest::collection::vec as many;
use proptest::prelude::*;

use super::runs::{BYTES, BYTES_OF_ONE, RUNS_OF_ONE};
use super::*;

fn asker(jid: &Jid) -> CommandAsker<'_> {
    CommandAsker { jid, groups: &[], is_own: false }
}

fn line() -> DataForm<'static> {
    DataForm::new(FormKind::Form)
        .with(Field::new(FieldKind::TextMulti, "text"))
        .with(Field::new(FieldKind::Boolean, "again").valued("1"))
}

/// Asks for ever as long as somebody says so.
fn commands() -> Commands {
    Commands::new()
        .allow(|_| true)
        .command("endless", "Endless", |asked| match asked.form().is_none() || asked.flag("again") {
            true if asked.completes => CommandAnswer::Invalid("not yet".into()),
            true => CommandAnswer::ask(line()).or_complete().noting(Level::Info, "again"),
            false => CommandAnswer::done("enough"),
        })
        .command("fail", "Fails", |_| CommandAnswer::Failed("always".into()))
}

#[derive(Clone, Debug)]
struct Try {
    by: usize,
    node: &'static str,
    action: Action,
    /// Of the sessions that were ever begun; none, or one that never was.
    session: Option<usize>,
    lines: Option<(usize, usize)>,
    again: bool,
    wait: u64,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let actions = [
        Action::Execute,
        Action::Execute,
        Action::Next,
        Action::Next,
        Action::Prev,
        Action::Complete,
        Action::Cancel,
    ];
    let one = (
        (0..20_usize, prop::sample::select(vec!["endless", "endless", "endless", "fail", "none"])),
        prop::sample::select(actions.to_vec()),
        proptest::option::weighted(0.7, 0..64_usize),
        proptest::option::weighted(0.8, (0..40_usize, 0..2_000_usize)),
        proptest::bool::weighted(0.9),
        prop_oneof![9 => Just(0), 1 => 0..700_u64],
    );
    let one = one.prop_map(|((by, node), action, session, lines, again, wait)| Try {
        by,
        node,
        action,
        session,
        lines,
        again,
        wait,
    });
    many(one, 0..200)
}

proptest! {
    // XEP-0050 1.3.0 §3.3 [AH11], [AH38]
    #[test]
    fn whatever_is_asked_is_bounded(tries in tries()) {
        // Two clients of each account.
        let people: Vec<Jid> = (0..20).map(|by| format!("p{}@example.com/{}", by / 2, by % 2).parse().unwrap()).collect();
        let (mut commands, mut sessions, mut now) = (commands(), Vec::<(String, usize)>::new(), Instant::ZERO);
        for (number, one) in tries.into_iter().enumerate() {
            now = now + Duration::from_secs(one.wait);
            let session = one.session.map(|place| match sessions.get(place % sessions.len().max(1)) {
                // Mostly one's own.
                Some((session, by)) => (session.clone(), if place % 8 == 0 { one.by } else { *by }),
                None => (String::from("none"), one.by),
            });
            let by = session.as_ref().map_or(one.by, |(_, by)| *by);
            let form = one.lines.map(|(count, length)| {
                let again = if one.again { "1" } else { "0" };
                DataForm::new(FormKind::Submit).set("text", alloc::vec!["x".repeat(length); count]).set("again", [again])
            });
            let session = session.map(|(session, _)| Cow::Owned(session));
            let request = Request { session, action: one.action, form, ..Request::begin(one.node) };
            let id = format!("id{number}");
            let outcome = commands.step(now, &asker(&people[by]), &request, None, &id);
            if let Ok(step) = outcome {
                match (&step.session, step.status) {
                    (Some(session), Status::Executing) => {
                        let known = sessions.iter().find(|(known, _)| known == session);
                        prop_assert!(request.session.is_some() == known.is_some(), "a session is never named twice");
                        prop_assert!(known.is_none_or(|(_, of)| *of == by));
                        if known.is_none() {
                            sessions.push((session.clone().into_owned(), by));
                        }
                        prop_assert!(step.allows(step.execute_means()) && step.form.is_some());
                    }
                    (session, status) => prop_assert!(status != Status::Executing && *session == request.session),
                }
            }
            let (_, bytes) = commands.waiting();
            prop_assert!(bytes <= BYTES);
            for person in &people {
                let (count, bytes) = commands.runs.of(person);
                prop_assert!(count <= RUNS_OF_ONE && bytes <= BYTES_OF_ONE, "{count} {bytes}");
            }
            prop_assert!(commands.runs.remembered() <= 64);
        }
        commands.runs.expire(now + Duration::from_secs(600));
        prop_assert_eq!(commands.waiting(), (0, 0));
    }
}

// XEP-0050 1.3.0 §3.7 [AH32] [AH33]: the first language that is asked for holds, and is said
#[test]
fn languages() {
    let juliet: Jid = "juliet@example.com/balcony".parse().unwrap();
    let hello = |asked: &CommandStep<'_>| match asked.language {
        Some("de") if asked.form().is_some() => CommandAnswer::done("Hallo"),
        Some("en") if asked.form().is_some() => CommandAnswer::done("Hello"),
        _ => CommandAnswer::ask_last(line()),
    };
    let offer = || Commands::new().allow(|_| true).command("hello", "Hello", hello);
    let mut commands = offer().languages(["en", "de"]);
    for (of_stanza, of_command, spoken, word) in [
        (None, None, Ok("en"), "Hello"),
        (Some("de-AT"), None, Ok("de"), "Hallo"),
        (Some("de"), Some("en"), Ok("de"), "Hallo"),
        (None, Some("EN"), Ok("en"), "Hello"),
        (Some("fr"), None, Err(Fault::BadLocale), ""),
    ] {
        let request = Request { language: of_command.map(Cow::Borrowed), ..Request::begin("hello") };
        let step = commands.step(Instant::ZERO, &asker(&juliet), &request, of_stanza, "id");
        let language = step
            .as_ref()
            .map(|step| step.language.as_deref().unwrap())
            .map_err(|error| Fault::read(error).unwrap());
        assert_eq!(language, spoken);
        let Ok(step) = step else { continue };
        let next = step.reply(Action::Complete, Some(DataForm::new(FormKind::Submit)));
        let done = commands.step(Instant::ZERO, &asker(&juliet), &next, Some("fr"), "id").unwrap();
        assert_eq!((&*done.notes[0].text, done.language.as_deref()), (word, spoken.ok()));
    }
    // Who has said nothing of languages refuses nobody.
    let step =
        offer().step(Instant::ZERO, &asker(&juliet), &Request::begin("hello"), Some("fr"), "id").unwrap();
    assert_eq!(step.language, None);
}
