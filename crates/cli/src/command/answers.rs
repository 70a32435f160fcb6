//! What was typed behind a command as `field=value`, and what becomes of it where nobody can be asked.

use core::str::FromStr;

use balcony_xep::commands::{Action, Response};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
use balcony_xml::forbidden_char;

use super::terminal::Reply;
use crate::failure::Failure;
use crate::output::note;

/// `field=value`.
#[derive(Clone, Debug)]
pub(crate) struct FieldValue {
    field: String,
    value: String,
}

impl FromStr for FieldValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(wrong) = forbidden_char(text) {
            return Err(format!("{wrong:?} cannot be sent"));
        }
        match text.split_once('=') {
            Some((field, value)) if !field.is_empty() => {
                Ok(FieldValue { field: field.into(), value: value.into() })
            }
            _ => Err("a field and its value are wanted, such as on=true".into()),
        }
    }
}

/// All of them, and which have been asked for.
pub(super) struct Given {
    values: Vec<FieldValue>,
    /// Their names.
    asked: Vec<String>,
}

impl Given {
    pub(super) fn new(values: &[FieldValue]) -> Given {
        Given { values: values.to_vec(), asked: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// They were refused, and whoever sits there answers instead.
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    /// The values of a field, as they are sent; `None` if none were given. One that is empty clears the field.
    pub(super) fn of(&mut self, field: &Field<'_>) -> Option<Vec<String>> {
        let var = field.var.as_deref().filter(|_| field.is_question())?;
        let values: Vec<&str> =
            self.values.iter().filter(|given| given.field == var).map(|given| &*given.value).collect();
        if values.is_empty() {
            return None;
        }
        if !self.asked.iter().any(|asked| asked == var) {
            self.asked.push(var.to_owned());
        }
        Some(values.into_iter().filter(|value| !value.is_empty()).map(|value| meant(field, value)).collect())
    }

    /// The names of those that nobody has asked for so far.
    pub(super) fn unasked(&self) -> Vec<&str> {
        let mut unasked: Vec<&str> = self.values.iter().map(|given| &*given.field).collect();
        unasked.retain(|field| !self.asked.iter().any(|asked| asked == field));
        unasked.dedup();
        unasked
    }

    /// Says which of them were of no use.
    pub(super) fn warn(&self) {
        for field in self.unasked() {
            note(&format!("the command has not asked for `{field}`"));
        }
    }

    /// Answers a form by what was given and by the values that the form has, and goes on as long as something was given that is still to be
    /// asked for; then it completes the command.
    pub(super) fn answer(&mut self, step: &Response<'_>) -> Result<Reply, Failure> {
        let nothing = DataForm::new(FormKind::Form);
        let form = step.form.as_ref().unwrap_or(&nothing);
        let mut answer = form.answer();
        for field in &form.fields {
            if let (Some(values), Some(var)) = (self.of(field), &field.var) {
                answer = answer.set(var, values);
            }
        }
        let refusals = form.refusals(&answer);
        let missing: Vec<String> = refusals
            .iter()
            .filter(|refusal| refusal.is_missing)
            .map(|refusal| named(&refusal.var, refusal.label.as_deref()))
            .collect();
        if !missing.is_empty() {
            return Err(Failure::usage(format!(
                "the command needs {}: give each as field=value, or run it in a terminal",
                missing.join(", ")
            )));
        }
        if let Some(refusal) = refusals.first() {
            return Err(Failure::usage(format!(
                "{}: {}",
                named(&refusal.var, refusal.label.as_deref()),
                refusal.text
            )));
        }
        let unasked = self.unasked();
        let action = match (step.allows(Action::Next), step.allows(Action::Complete)) {
            (true, true) if unasked.is_empty() => Action::Complete,
            (true, _) => Action::Next,
            (false, _) if !unasked.is_empty() => {
                return Err(Failure::usage(format!(
                    "the command does not ask for `{}`; it was not carried out",
                    unasked.join("`, `")
                )));
            }
            (false, true) => Action::Complete,
            (false, false) => step.execute_means(),
        };
        Ok(Reply { action, form: Some(answer) })
    }
}

/// A field as a person knows it.
fn named(var: &str, label: Option<&str>) -> String {
    match label.filter(|label| *label != var) {
        Some(label) => format!("`{var}` ({label})"),
        None => format!("`{var}`"),
    }
}

/// What somebody means who has typed this: words for yes and no, and the label of an option.
pub(super) fn meant(field: &Field<'_>, typed: &str) -> String {
    match field.kind {
        Some(FieldKind::Boolean) => match typed.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "true" | "1" => "true".into(),
            "n" | "no" | "off" | "false" | "0" => "false".into(),
            _ => typed.into(),
        },
        Some(FieldKind::ListSingle | FieldKind::ListMulti) => {
            let is_value = field.options.iter().any(|option| option.value == typed);
            let labelled = field.options.iter().find(|option| option.label.as_deref() == Some(typed));
            labelled.filter(|_| !is_value).map_or_else(|| typed.into(), |option| option.value.to_string())
        }
        _ => typed.into(),
    }
}

#[cfg(test)]
mod tests {
    use balcony_xep::commands::{Actions, Status};
    use balcony_xep::validation::Validation;

    use super::*;

    fn step(next: bool, complete: bool) -> Response<'static> {
        let form = DataForm::new(FormKind::Form)
            .with(Field::new(FieldKind::Boolean, "on").labelled("On").required())
            .with(
                Field::new(FieldKind::TextSingle, "minutes")
                    .valued("10")
                    .validated(Validation::of("xs:integer")),
            );
        let actions = Actions { execute: Some(Action::Next), prev: false, next, complete };
        Response { actions: Some(actions), form: Some(form), ..Response::new("x", Status::Executing) }
    }

    fn given(values: &[&str]) -> Given {
        Given::new(&values.iter().map(|value| value.parse().unwrap()).collect::<Vec<_>>())
    }

    // XEP-0050 1.3.0 §2.4.2 [AH23]: it says which action it means, and completes when all that was given is said
    #[test]
    fn what_is_given_is_answered() {
        for (values, next, complete, action) in [
            (&["on=yes"][..], true, true, Action::Complete),
            (&["on=yes", "later=1"], true, true, Action::Next),
            (&["on=yes", "later=1"], true, false, Action::Next),
            (&["on=off", "minutes=5"], false, true, Action::Complete),
        ] {
            let reply =
                given(values).answer(&step(next, complete)).unwrap_or_else(|failure| panic!("{failure}"));
            let form = reply.form.unwrap();
            assert_eq!(reply.action, action, "{values:?}");
            assert_eq!(form.flag("on"), values[0] == "on=yes");
            assert_eq!(
                form.value("minutes"),
                Some(if values.len() > 1 && values[1] == "minutes=5" { "5" } else { "10" })
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (values, words) in [
            (&[][..], "needs `on` (On): give each as field=value"),
            (&["on="], "needs `on` (On)"),
            (&["on=perhaps"], "`on` (On): `perhaps` is neither yes nor no"),
            (&["on=1", "minutes=x"], "`minutes`: `x` is no whole number"),
            (&["on=1", "on=0"], "only one value"),
            (&["on=1", "later=1"], "does not ask for `later`; it was not carried out"),
        ] {
            let failure = given(values).answer(&step(false, true)).err().unwrap();
            assert!(failure.message().contains(words) && failure.status() == 2, "{values:?}: {failure}");
        }
        assert!("on".parse::<FieldValue>().is_err() && "=1".parse::<FieldValue>().is_err());
        assert!("on=\u{1}".parse::<FieldValue>().is_err());
    }
}
