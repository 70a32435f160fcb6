//! The datatypes of values in forms (XEP-0122 section 3.1): which texts are one, and which of two is less.

use core::cmp::Ordering;

use crate::datetime;

/// The datatypes that are known, of those that the registrar of the XSF keeps.
#[derive(Clone, Copy)]
pub(crate) enum Datatype {
    Text,
    /// It counts as text, but of what comes before what in it nothing is known.
    Unknown,
    Boolean,
    /// A whole number, without bounds or so many bits large.
    Integer(u32),
    /// A whole number that is not negative, so many bits large.
    Unsigned(u32),
    /// A whole number on one side of zero, which counts or does not.
    Sided {
        is_negative: bool,
        has_zero: bool,
    },
    Decimal,
    Double,
    Day,
    Moment,
    Time,
    Language,
    Uri,
}

impl Datatype {
    pub(crate) fn named(name: &str) -> Datatype {
        match name {
            "xs:boolean" => Datatype::Boolean,
            "xs:byte" => Datatype::Integer(8),
            "xs:short" => Datatype::Integer(16),
            "xs:int" => Datatype::Integer(32),
            "xs:long" => Datatype::Integer(64),
            "xs:integer" => Datatype::Integer(0),
            "xs:unsignedByte" => Datatype::Unsigned(8),
            "xs:unsignedShort" => Datatype::Unsigned(16),
            "xs:unsignedInt" => Datatype::Unsigned(32),
            "xs:unsignedLong" => Datatype::Unsigned(64),
            "xs:nonNegativeInteger" => Datatype::Sided { is_negative: false, has_zero: true },
            "xs:positiveInteger" => Datatype::Sided { is_negative: false, has_zero: false },
            "xs:negativeInteger" => Datatype::Sided { is_negative: true, has_zero: false },
            "xs:nonPositiveInteger" => Datatype::Sided { is_negative: true, has_zero: true },
            "xs:decimal" => Datatype::Decimal,
            "xs:double" | "xs:float" => Datatype::Double,
            "xs:date" => Datatype::Day,
            "xs:dateTime" => Datatype::Moment,
            "xs:time" => Datatype::Time,
            "xs:language" => Datatype::Language,
            "xs:anyURI" => Datatype::Uri,
            "xs:string" | "xs:normalizedString" | "xs:token" => Datatype::Text,
            _ => Datatype::Unknown,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Datatype::Text | Datatype::Unknown => "text",
            Datatype::Boolean => "answer to a question of yes or no (true, false)",
            Datatype::Integer(0) => "whole number",
            Datatype::Integer(8) => "whole number from -128 to 127",
            Datatype::Integer(16) => "whole number from -32768 to 32767",
            Datatype::Integer(32) => "whole number from -2147483648 to 2147483647",
            Datatype::Integer(_) => "whole number from -9223372036854775808 to 9223372036854775807",
            Datatype::Unsigned(8) => "whole number from 0 to 255",
            Datatype::Unsigned(16) => "whole number from 0 to 65535",
            Datatype::Unsigned(32) => "whole number from 0 to 4294967295",
            Datatype::Unsigned(_) => "whole number from 0 to 18446744073709551615",
            Datatype::Sided { is_negative: false, has_zero: false } => "whole number from 1",
            Datatype::Sided { is_negative: false, has_zero: true } => "whole number from 0",
            Datatype::Sided { is_negative: true, has_zero: false } => "whole number up to -1",
            Datatype::Sided { is_negative: true, has_zero: true } => "whole number up to 0",
            Datatype::Decimal | Datatype::Double => "number",
            Datatype::Day => "day (2002-09-10)",
            Datatype::Moment => "day with a time (2002-09-10T23:08:25Z)",
            Datatype::Time => "time (23:08:25)",
            Datatype::Language => "language (en, pt-BR)",
            Datatype::Uri => "address of the web (a URI)",
        }
    }

    pub(crate) fn has(self, value: &str) -> bool {
        match self {
            Datatype::Text | Datatype::Unknown => true,
            Datatype::Boolean => matches!(value, "0" | "1" | "false" | "true"),
            Datatype::Integer(bits) => Decimal::read(value).is_some_and(|number| {
                let fits = |bits: u32| {
                    value
                        .parse::<i128>()
                        .is_ok_and(|number| (number >> (bits - 1)).unsigned_abs() <= u128::from(number < 0))
                };
                number.is_written_whole && (bits == 0 || fits(bits))
            }),
            Datatype::Unsigned(bits) => Decimal::read(value).is_some_and(|number| {
                let fits = value.parse::<u128>().is_ok_and(|number| number >> bits == 0);
                number.is_written_whole && (number.is_zero() || fits)
            }),
            Datatype::Sided { is_negative, has_zero } => Decimal::read(value).is_some_and(|number| {
                let fits = if number.is_zero() { has_zero } else { number.is_negative == is_negative };
                number.is_written_whole && fits
            }),
            Datatype::Decimal => Decimal::read(value).is_some(),
            Datatype::Double => double(value).is_some(),
            Datatype::Day => datetime::read_day(value).is_some(),
            Datatype::Moment => datetime::read_moment(value).is_some(),
            Datatype::Time => datetime::read_time(value).is_some(),
            Datatype::Language => {
                let mut parts = value.split('-');
                let is_part = |part: &str| {
                    (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
                };
                value.split('-').all(is_part)
                    && parts.next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_alphabetic()))
            }
            Datatype::Uri => {
                !value.chars().any(|character| character.is_whitespace() || character.is_control())
            }
        }
    }

    pub(crate) fn is_unknown(self) -> bool {
        matches!(self, Datatype::Unknown)
    }

    /// Whether of two values one is less.
    pub(crate) fn has_order(self) -> bool {
        !matches!(
            self,
            Datatype::Text | Datatype::Unknown | Datatype::Boolean | Datatype::Language | Datatype::Uri
        )
    }

    /// `None`: one of them is none, or there is no order.
    pub(crate) fn compare(self, value: &str, bound: &str) -> Option<Ordering> {
        match self {
            Datatype::Text | Datatype::Unknown | Datatype::Boolean | Datatype::Language | Datatype::Uri => {
                None
            }
            Datatype::Integer(_) | Datatype::Unsigned(_) | Datatype::Sided { .. } | Datatype::Decimal => {
                Some(Decimal::read(value)?.compare(&Decimal::read(bound)?))
            }
            Datatype::Double => double(value)?.partial_cmp(&double(bound)?),
            Datatype::Day => Some(datetime::read_day(value)?.cmp(&datetime::read_day(bound)?)),
            Datatype::Moment => Some(datetime::read_moment(value)?.cmp(&datetime::read_moment(bound)?)),
            Datatype::Time => Some(datetime::read_time(value)?.cmp(&datetime::read_time(bound)?)),
        }
    }
}

/// A number of `xs:decimal`, as large as its digits say.
struct Decimal<'a> {
    is_negative: bool,
    /// Without the zeros before the first, and after the last digit that count.
    whole: &'a str,
    fraction: &'a str,
    is_written_whole: bool,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Option<Decimal<'a>> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let is_written_whole = !digits.contains('.');
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Decimal { is_negative: text.starts_with('-') && !is_zero, whole, fraction, is_written_whole })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let size = |left: &Decimal<'_>, right: &Decimal<'_>| {
            let whole = left.whole.len().cmp(&right.whole.len()).then_with(|| left.whole.cmp(right.whole));
            whole.then_with(|| left.fraction.cmp(right.fraction))
        };
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}

fn double(text: &str) -> Option<f64> {
    match text {
        "INF" => Some(f64::INFINITY),
        "-INF" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // What Rust writes for these is no number there.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}
