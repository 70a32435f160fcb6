//! Forms as questions to whoever sits at a terminal.
//!
//! What is typed is read by a thread of its own, so that the connection lives meanwhile. A password is not shown, and the terminal shows again
//! what is typed when the question is over, however that is.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use balcony_xep::commands::{Action, Response};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony_xml::forbidden_char;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::answers::{Given, meant};
use crate::failure::{Failure, io};
use crate::output;
use crate::session::{Session, ended};

/// Longer than what anybody types in a line.
const LINE: u64 = 64 << 10;
const HELP: &str = "(Enter keeps what is in brackets, :none clears it, :back goes back, :cancel gives up)";

/// What is answered to a step.
pub(super) struct Reply {
    pub(super) action: Action,
    pub(super) form: Option<DataForm<'static>>,
}

/// Somebody who can be asked.
pub(super) struct Terminal {
    has_helped: bool,
    /// How many steps somebody has typed something for.
    typed: usize,
}

/// What somebody has typed.
enum Typed {
    Text(String),
    Back,
    Cancel,
}

/// A terminal that does not show what is typed, as long as this lives. What has been typed ahead is not lost.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Hidden, Failure> {
        let cannot = |error: rustix::io::Errno| io("cannot hide what is typed")(error.into());
        let shown = tcgetattr(std::io::stdin()).map_err(cannot)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden).map_err(cannot)?;
        Ok(Hidden(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone away shows nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

impl Terminal {
    /// The terminal, if somebody sits there who can read and type.
    pub(super) fn find() -> Option<Terminal> {
        let is_one = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        is_one.then_some(Terminal { has_helped: false, typed: 0 })
    }

    /// How many steps somebody has typed something for.
    pub(super) fn typed(&self) -> usize {
        self.typed
    }

    /// Asks for all that the form wants and that was not given. What was given is asked for only where it is wrong.
    pub(super) async fn answer(
        &mut self,
        session: &mut Session,
        step: &Response<'_>,
        given: &mut Given,
    ) -> Result<Reply, Failure> {
        let nothing = DataForm::new(FormKind::Form);
        let form = step.form.as_ref().unwrap_or(&nothing);
        for text in form.title.iter().chain(&form.instructions) {
            output::tell(text);
        }
        if !self.has_helped {
            self.has_helped = true;
            output::tell(HELP);
        }
        let mut answer = form.answer();
        let questions: Vec<&Field<'_>> = form.fields.iter().collect();
        let mut place = 0;
        while let Some(field) = questions.get(place) {
            if field.kind == Some(FieldKind::Fixed) {
                field.values.iter().for_each(|text| output::tell(text));
            }
            let Some(var) = field.var.as_deref().filter(|_| field.is_question()) else {
                place += 1;
                continue;
            };
            if let Some(values) = given.of(field) {
                match field.refuse(&values) {
                    None => {
                        answer = answer.set(var, values);
                        place += 1;
                        continue;
                    }
                    Some(refusal) => output::tell(&refusal.to_string()),
                }
            } else if !given.is_empty() && field.refuse(&field.values).is_none() {
                place += 1;
                continue;
            }
            let known: Vec<String> = answer.values(var).map(String::from).collect();
            self.typed += 1;
            match ask(session, field, &known).await? {
                Asked::Values(values) => {
                    answer = answer.set(var, values);
                    place += 1;
                }
                Asked::Back => match questions[..place].iter().rposition(|field| field.is_question()) {
                    Some(before) => {
                        given.clear();
                        place = before;
                    }
                    None if step.allows(Action::Prev) => {
                        given.clear();
                        return Ok(Reply { action: Action::Prev, form: None });
                    }
                    None => output::tell("there is nothing before this"),
                },
            }
        }
        let has_asked = questions.iter().any(|field| field.is_question());
        self.action(session, step, given, has_asked, answer).await
    }

    /// What to do with the answers, where it is not clear.
    async fn action(
        &mut self,
        session: &mut Session,
        step: &Response<'_>,
        given: &mut Given,
        has_asked: bool,
        answer: DataForm<'static>,
    ) -> Result<Reply, Failure> {
        let (next, complete) = (step.allows(Action::Next), step.allows(Action::Complete));
        let usual = if next {
            Action::Next
        } else if complete {
            Action::Complete
        } else {
            step.execute_means()
        };
        // What was typed wrong would be passed over, and all else carried out.
        let unasked = given.unasked();
        let loses = !next && !unasked.is_empty();
        if loses {
            output::tell(&format!("the command does not ask for `{}`", unasked.join("`, `")));
        }
        let is_open = next && complete || loses;
        let is_clear = !is_open && (has_asked || !given.is_empty());
        if is_clear {
            return Ok(Reply { action: usual, form: Some(answer) });
        }
        self.typed += 1;
        loop {
            let question = if next && complete {
                "Enter goes on, `done` finishes here: "
            } else if loses {
                "Enter carries it out without, :cancel gives up: "
            } else {
                "Enter goes on: "
            };
            let action = match typed(read(session, question, false).await?) {
                Typed::Cancel => return Err(given_up()),
                Typed::Back if step.allows(Action::Prev) => Action::Prev,
                Typed::Back => {
                    output::tell("there is nothing before this");
                    continue;
                }
                Typed::Text(text) if text.is_empty() => usual,
                Typed::Text(text) if text == "done" && complete => Action::Complete,
                Typed::Text(_) => continue,
            };
            let form = (action != Action::Prev).then_some(answer);
            return Ok(Reply { action, form });
        }
    }
}

enum Asked {
    Values(Vec<String>),
    Back,
}

/// Asks for one field until what is typed can be right.
async fn ask(session: &mut Session, field: &Field<'_>, known: &[String]) -> Result<Asked, Failure> {
    if let Some(text) = &field.description {
        output::tell(text);
    }
    for (number, option) in field.options.iter().enumerate() {
        let label = option.label.as_deref().filter(|label| *label != option.value);
        let label = label.map(|label| format!("  {label}")).unwrap_or_default();
        output::tell(&format!("  {}) {}{label}", number + 1, option.value));
    }
    let is_secret = field.kind == Some(FieldKind::TextPrivate);
    loop {
        let values = match typed(read(session, &question(field, known), is_secret).await?) {
            Typed::Cancel => return Err(given_up()),
            Typed::Back => return Ok(Asked::Back),
            // What is not answered is no.
            Typed::Text(text)
                if text.is_empty() && known.is_empty() && field.kind == Some(FieldKind::Boolean) =>
            {
                vec!["false".into()]
            }
            Typed::Text(text) if text.is_empty() => known.to_vec(),
            Typed::Text(text) if text == ":none" => Vec::new(),
            Typed::Text(text) if field.kind == Some(FieldKind::TextMulti) => {
                match lines(session, text).await? {
                    Some(lines) => lines,
                    None => return Err(given_up()),
                }
            }
            Typed::Text(text) => split(field, &text).into_iter().map(|part| option(field, part)).collect(),
        };
        match field.refuse(&values) {
            None => return Ok(Asked::Values(values)),
            Some(refusal) => output::tell(&refusal.text),
        }
    }
}

/// The rest of a text of several lines, up to an empty one.
async fn lines(session: &mut Session, first: String) -> Result<Option<Vec<String>>, Failure> {
    let mut lines = vec![first];
    loop {
        match typed(read(session, "(and) ", false).await?) {
            Typed::Cancel => return Ok(None),
            Typed::Text(text) if !text.is_empty() => lines.push(text),
            _ => return Ok(Some(lines)),
        }
    }
}

fn question(field: &Field<'_>, known: &[String]) -> String {
    let name = field.label.as_deref().or(field.var.as_deref()).unwrap_or_default();
    let known = match field.kind {
        Some(FieldKind::TextPrivate) if !known.is_empty() => "***".into(),
        Some(FieldKind::Boolean) => {
            if matches!(known.first().map(String::as_str), Some("1" | "true")) {
                "yes".into()
            } else {
                "no".into()
            }
        }
        _ => known.join(", "),
    };
    let hint = match field.kind {
        Some(FieldKind::Boolean) => " (yes or no)",
        Some(FieldKind::ListMulti | FieldKind::JidMulti) => " (several, with commas)",
        Some(FieldKind::TextMulti) => " (lines, the last empty)",
        _ => "",
    };
    let known = if known.is_empty() { String::new() } else { format!(" [{known}]") };
    let required = if field.is_required { " (required)" } else { "" };
    format!("{name}{hint}{required}{known}: ")
}

/// The values in a line.
fn split<'t>(field: &Field<'_>, text: &'t str) -> Vec<&'t str> {
    match field.kind {
        Some(FieldKind::ListMulti | FieldKind::JidMulti) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
        }
        _ => vec![text],
    }
}

/// An option by its value, its label or its number.
fn option(field: &Field<'_>, text: &str) -> String {
    let known = meant(field, text);
    let is_known = field.options.iter().any(|option| option.value == known);
    let number = text.parse::<usize>().ok().filter(|_| !is_known).and_then(|number| number.checked_sub(1));
    number.and_then(|number| field.options.get(number)).map_or(known, |option| option.value.to_string())
}

/// A line, unless it is an order. Who means a colon at the beginning types two.
fn typed(line: Option<String>) -> Typed {
    match line.as_deref() {
        None | Some(":cancel") => Typed::Cancel,
        Some(":back") => Typed::Back,
        Some(text) => {
            Typed::Text(text.strip_prefix(':').filter(|rest| rest.starts_with(':')).unwrap_or(text).into())
        }
    }
}

fn given_up() -> Failure {
    Failure::new("given up; the command was not carried out")
}

/// Asks for a line that can be sent. `None`: nobody types any more.
async fn read(session: &mut Session, question: &str, is_secret: bool) -> Result<Option<String>, Failure> {
    loop {
        // Before the question: whoever has read it may type at once.
        let hidden = is_secret.then(Hidden::begin).transpose()?;
        output::prompt(question);
        let line = read_any(session).await?;
        drop(hidden);
        match line.as_deref().and_then(forbidden_char) {
            Some(wrong) => output::tell(&format!("{wrong:?} cannot be sent; once more")),
            None => return Ok(line),
        }
    }
}

/// Reads a line, while the connection lives.
async fn read_any(session: &mut Session) -> Result<Option<String>, Failure> {
    let (done, mut line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LINE).read_line(&mut text);
        // Nobody waits for it if the command has ended meanwhile.
        let _ = done.send(read.map(|count| (count > 0).then_some(text)));
    });
    let read = loop {
        tokio::select! {
            line = &mut line => break line.map_err(|_| Failure::new("nothing can be read"))?,
            event = session.next() => if event.map_err(ended)?.is_none() {
                return Err(Failure::new("the server has closed the stream"));
            },
        }
    };
    let read = read.map_err(io("cannot read what is typed"))?;
    Ok(read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_names_and_numbers() {
        let field = Field::new(FieldKind::ListMulti, "f")
            .option("red", "Red wine")
            .option("2", "Two")
            .option("x", "X");
        let values =
            |text| split(&field, text).into_iter().map(|part| option(&field, part)).collect::<Vec<_>>();
        assert_eq!(values("1, Two ,x"), ["red", "2", "x"]);
        assert_eq!(values("2"), ["2"], "a value is no number");
        assert_eq!(values("3,9"), ["x", "9"]);
        let single = Field::new(FieldKind::TextSingle, "f");
        assert_eq!(split(&single, "a, b"), ["a, b"]);
    }

    #[test]
    fn orders_and_what_looks_like_them() {
        let text = |line: &str| match typed(Some(line.into())) {
            Typed::Text(text) => text,
            Typed::Back => "back".into(),
            Typed::Cancel => "cancel".into(),
        };
        assert_eq!([":back", "::back", ":cancel", ":)", ""].map(text), ["back", ":back", "cancel", ":)", ""]);
        assert!(matches!(typed(None), Typed::Cancel));
    }

    #[test]
    fn questions_say_what_is_wanted_and_no_password() {
        let known = |field: Field<'_>, known: &str| question(&field, &[known.to_owned()]);
        assert_eq!(known(Field::new(FieldKind::Boolean, "on").labelled("On"), "1"), "On (yes or no) [yes]: ");
        assert_eq!(
            known(Field::new(FieldKind::TextPrivate, "pin").required(), "1234"),
            "pin (required) [***]: "
        );
        assert_eq!(question(&Field::new(FieldKind::TextSingle, "at"), &[]), "at: ");
    }
}
