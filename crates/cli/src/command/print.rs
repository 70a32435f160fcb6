//! What has come of a command, for people and for programs.

use std::collections::BTreeMap;

use balcony_xep::commands::{Level, Response, Status};
use balcony_xep::data_form::{DataForm, Field, FieldKind};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, note};

#[derive(Serialize)]
struct Outcome<'a> {
    status: &'static str,
    notes: Vec<NoteJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    /// The values of each field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, Vec<&'a str>>,
    /// The rows of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<BTreeMap<&'a str, Vec<&'a str>>>,
}

#[derive(Serialize)]
struct NoteJson<'a> {
    level: &'static str,
    text: &'a str,
}

/// Whether it is over, and says that it was in vain (XEP-0050 section 3.6).
pub(super) fn has_failed(step: &Response<'_>) -> bool {
    step.notes.iter().any(|note| note.level == Level::Error)
}

/// Shows what is said beside questions.
pub(super) fn notes_so_far(step: &Response<'_>) {
    for text in &step.notes {
        note(&text.text);
    }
}

/// Prints what has come of it.
pub(super) fn outcome(step: &Response<'_>, json: bool) -> Result<(), Failure> {
    if json {
        return output::print(&output::json(&outcome_of(step))?);
    }
    for text in &step.notes {
        match text.level {
            Level::Info => output::print(&text.text)?,
            Level::Warn => note(&format!("warning: {}", text.text)),
            Level::Error => note(&text.text),
        }
    }
    let Some(form) = &step.form else { return Ok(()) };
    for text in form.title.iter().chain(&form.instructions) {
        output::print(text)?;
    }
    for field in form.fields.iter().filter(|field| field.kind != Some(FieldKind::Hidden)) {
        if field.kind == Some(FieldKind::TextMulti) && field.values.len() > 1 {
            if let Some(name) = field.label.as_deref().or(field.var.as_deref()) {
                output::print(&format!("{name}:"))?;
            }
            field.values.iter().try_for_each(|line| output::print(line))?;
            continue;
        }
        let values = shown(field);
        match field.label.as_deref().or(field.var.as_deref()) {
            Some(name) => output::print(&format!("{name}: {values}"))?,
            None => output::print(&values)?,
        }
    }
    table(form)
}

fn outcome_of<'a>(step: &'a Response<'_>) -> Outcome<'a> {
    let status = match step.status {
        Status::Executing => "executing",
        Status::Completed => "completed",
        Status::Canceled => "canceled",
    };
    let level = |level| match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let notes =
        step.notes.iter().map(|note| NoteJson { level: level(note.level), text: &note.text }).collect();
    let form = step.form.as_ref();
    Outcome {
        status,
        notes,
        title: form.and_then(|form| form.title.as_deref()),
        fields: form.map(|form| values(&form.fields)).unwrap_or_default(),
        rows: form.map(|form| form.items.iter().map(|row| values(row)).collect()).unwrap_or_default(),
    }
}

fn values<'a>(fields: &'a [Field<'_>]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let named = |field: &'a Field<'_>| {
        Some((field.var.as_deref()?, field.values.iter().map(|value| &**value).collect()))
    };
    fields.iter().filter_map(named).collect()
}

fn shown(field: &Field<'_>) -> String {
    let label = |value: &str| {
        let option = field.options.iter().find(|option| option.value == value);
        option.and_then(|option| option.label.as_deref()).unwrap_or(value).to_owned()
    };
    field.values.iter().map(|value| label(value)).collect::<Vec<_>>().join(", ")
}

/// The rows of a table, below the names of its columns.
fn table(form: &DataForm<'_>) -> Result<(), Failure> {
    if form.items.is_empty() {
        return Ok(());
    }
    let head: Vec<&str> = form
        .reported
        .iter()
        .map(|field| field.label.as_deref().or(field.var.as_deref()).unwrap_or_default())
        .collect();
    output::print(&head.join("  "))?;
    for row in &form.items {
        let cell = |column: &Field<'_>| {
            row.iter().find(|cell| cell.var == column.var).map(shown).unwrap_or_default()
        };
        output::print(&form.reported.iter().map(cell).collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}
