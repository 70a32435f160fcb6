//! What a client tells, as JSON (RFC 8259): objects whose values are texts, numbers and truths.

use core::fmt::Write as _;

/// An object that is being written.
pub(crate) struct Object(String);

impl Object {
    /// With its first member, which says what it is.
    pub(crate) fn new(event: &str) -> Object {
        Object(String::from("{")).text("event", event)
    }

    /// A text.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Object {
        self.name(name);
        string(value, &mut self.0);
        self
    }

    /// A text, or `null`.
    pub(crate) fn optional(mut self, name: &str, value: Option<&str>) -> Object {
        if let Some(value) = value {
            return self.text(name, value);
        }
        self.name(name);
        self.0.push_str("null");
        self
    }

    /// A number, or `null`.
    pub(crate) fn number(mut self, name: &str, value: Option<i64>) -> Object {
        self.name(name);
        // Writing to a text can't fail.
        let _ = match value {
            Some(value) => write!(self.0, "{value}"),
            None => self.0.write_str("null"),
        };
        self
    }

    /// Whether it is so.
    pub(crate) fn truth(mut self, name: &str, value: bool) -> Object {
        self.name(name);
        self.0.push_str(if value { "true" } else { "false" });
        self
    }

    /// The whole object.
    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        string(name, &mut self.0);
        self.0.push(':');
    }
}

/// RFC 8259 section 7.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..'\u{20}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_json_is_escaped() {
        let object = Object::new("a\"b\\c\nd\u{1}é").optional("none", None).number("n", Some(-1));
        let expected = "{\"event\":\"a\\\"b\\\\c\\u000ad\\u0001é\",\"none\":null,\"n\":-1,\"is\":true}";
        assert_eq!(object.truth("is", true).finish(), expected);
    }
}
