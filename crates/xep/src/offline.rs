//! Offline messages (XEP-0160): the feature, and what a message says about being kept.

use balcony_xml::ElementRef;

use crate::chat_states;
use crate::hints::Hints;

/// The feature of a server that keeps messages for accounts that are not there (section 5); it is no namespace.
pub const FEATURE: &str = "msgoffline";

/// Whether a message is kept for an account that is not there. The type of the message decides, too (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is.
    Yes,
    /// Its sender does not want it kept, not even until the recipient is there (XEP-0334 section 4.2).
    Unwanted,
    /// It says nothing that matters later: only what its sender is doing (section 3).
    Needless,
}

impl Keep {
    /// Reads the parsed content of a message.
    #[must_use]
    pub fn read(content: ElementRef<'_>) -> Keep {
        let hints = Hints::read(content);
        if hints.no_store {
            Keep::Unwanted
        } else if !hints.store && chat_states::is_only_state(content) {
            Keep::Needless
        } else {
            Keep::Yes
        }
    }
}
