//! The lamp, and the two commands by which its owner controls it (XEP-0050): `set` asks how bright it is to be, `sleep` ends the program.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use alloc::format;
use alloc::string::ToString as _;

use balcony_client::{CommandAnswer, CommandStep, Commands};
use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};

static LEVEL: AtomicU8 = AtomicU8::new(0);
static SLEEPS: AtomicBool = AtomicBool::new(false);

/// How bright the lamp is, in percent.
pub(crate) fn level() -> u8 {
    LEVEL.load(Relaxed)
}

/// Whether somebody has said that it is enough for today.
pub(crate) fn sleeps() -> bool {
    SLEEPS.load(Relaxed)
}

/// The commands, for this account alone.
pub(crate) fn commands(owner: &'static str) -> Commands {
    Commands::new()
        .allow(move |account| account.as_str() == owner)
        .command("set", "Set the brightness", set)
        .command("sleep", "Good night", |_| {
            SLEEPS.store(true, Relaxed);
            CommandAnswer::done("Good night")
        })
}

fn set(step: &CommandStep<'_>) -> CommandAnswer {
    let Some(form) = step.form else {
        let field = Field::new(FieldKind::TextSingle, "level").labelled("Percent").required();
        return CommandAnswer::Ask(DataForm::new(FormKind::Form).with(field.valued(level().to_string())));
    };
    match form.value("level").and_then(|level| level.parse().ok()).filter(|level| *level <= 100) {
        Some(level) => {
            LEVEL.store(level, Relaxed);
            CommandAnswer::done(format!("The lamp is at {level} %"))
        }
        None => CommandAnswer::Invalid("the level is a number from 0 to 100"),
    }
}
