//! What the values of a form may be: datatypes, ranges and patterns (XEP-0122).
//!
//! The form has it in its fields ([`Field::validated`](crate::data_form::Field::validated)), and
//! [`DataForm::refusals`](crate::data_form::DataForm::refusals) holds answers against it, on both sides: whoever asks does not rely on it
//! that it was done before.
//!
//! ```
//! # #[cfg(feature = "validation")] {
//! use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
//! use balcony_xep::validation::Validation;
//!
//! let degrees = Validation::of("xs:decimal").between("5", "30");
//! let form = DataForm::new(FormKind::Form)
//!     .with(Field::new(FieldKind::TextSingle, "degrees").labelled("Temperature").required().validated(degrees));
//! let refusals = |value| form.refusals(&form.answer().set("degrees", [value]));
//! assert!(refusals("21.5").is_empty());
//! assert_eq!(refusals("30.01")[0].to_string(), "Temperature: `30.01` is more than 30");
//! assert_eq!(refusals("warm")[0].to_string(), "Temperature: `warm` is no number");
//! # }
//! ```

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};

use balcony_xml::{Element, ElementRef, Name};

#[cfg(feature = "validation")]
use crate::{datatype::Datatype, pattern::Pattern};

/// The namespace, which is also the feature.
pub const NS: &str = "http://jabber.org/protocol/xdata-validate";

/// What the values of a field may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation<'a> {
    /// The datatype (section 3.1), such as `xs:integer`. One that is not known counts as `xs:string`.
    pub datatype: Cow<'a, str>,
    /// What else there is to it.
    pub method: Method<'a>,
    /// How many of a list may be chosen.
    pub count: Option<Count>,
}

/// How values are checked beyond their datatype (section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Method<'a> {
    /// The type of the field and the datatype are all.
    #[default]
    Basic,
    /// Other values than the options of a list as well.
    Open,
    /// From one value to another, both included.
    Range {
        /// The least.
        min: Option<Cow<'a, str>>,
        /// The greatest.
        max: Option<Cow<'a, str>>,
    },
    /// A regular expression, see `Pattern`.
    Regex(Cow<'a, str>),
}

/// How many options of a list may be chosen (section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// At least.
    pub min: Option<u32>,
    /// At most.
    pub max: Option<u32>,
}

impl<'a> Validation<'a> {
    /// Values of this datatype.
    #[must_use]
    pub fn of(datatype: impl Into<Cow<'a, str>>) -> Validation<'a> {
        Validation { datatype: datatype.into(), method: Method::Basic, count: None }
    }

    /// Other values than the options as well.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.method = Method::Open;
        self
    }

    /// No less than `min` and no more than `max`. It is for numbers, days and times (section 4.7), and says nothing of texts, addresses, and
    /// answers of yes or no. A value that can't be compared with a bound is not accepted, so none is where a bound is no value of the datatype,
    /// or the datatype is not known.
    #[must_use]
    pub fn between(mut self, min: impl Into<Cow<'a, str>>, max: impl Into<Cow<'a, str>>) -> Self {
        self.method = Method::Range { min: Some(min.into()), max: Some(max.into()) };
        self
    }

    /// Values of this pattern, which `Pattern` has to know: else no value is accepted.
    #[must_use]
    pub fn matching(mut self, pattern: impl Into<Cow<'a, str>>) -> Self {
        self.method = Method::Regex(pattern.into());
        self
    }

    /// So many of the options of a list.
    #[must_use]
    pub fn counted(mut self, min: u32, max: u32) -> Self {
        self.count = Some(Count { min: Some(min), max: Some(max) });
        self
    }

    /// The same, and nobody else's.
    #[must_use]
    pub fn into_owned(self) -> Validation<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        let method = match self.method {
            Method::Basic => Method::Basic,
            Method::Open => Method::Open,
            Method::Range { min, max } => Method::Range { min: min.map(owned), max: max.map(owned) },
            Method::Regex(pattern) => Method::Regex(owned(pattern)),
        };
        Validation { datatype: owned(self.datatype), method, count: self.count }
    }

    /// Reads it; `None` if the element is something else. A method that is not known counts as `basic` (section 4.1), and so do several.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Validation<'a>> {
        if !element.is("validate", NS) {
            return None;
        }
        let range = |range: ElementRef<'a>| Method::Range {
            min: range.attr("min").map(Cow::Borrowed),
            max: range.attr("max").map(Cow::Borrowed),
        };
        let mut methods = element.children().filter(|child| child.namespace() == NS).filter_map(|child| {
            Some(match child.name() {
                "basic" => Method::Basic,
                "open" => Method::Open,
                "range" => range(child),
                "regex" => Method::Regex(child.text()),
                _ => return None,
            })
        });
        let method = methods.next().filter(|_| methods.next().is_none()).unwrap_or_default();
        let count = |count: ElementRef<'a>| {
            let number = |name| count.attr(name).and_then(|number| number.parse().ok());
            Count { min: number("min"), max: number("max") }
        };
        Some(Validation {
            datatype: Cow::Borrowed(element.attr("datatype").unwrap_or("xs:string")),
            method,
            count: element.child("list-range", NS).map(count),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const VALIDATE: Name = Name::from_static("validate");
        const DATATYPE: Name = Name::from_static("datatype");
        const MIN: Name = Name::from_static("min");
        const MAX: Name = Name::from_static("max");
        let named = |name| Element::new(Name::from_static(name), NS);
        let between = |mut element: Element, min: Option<&str>, max: Option<&str>| {
            for (name, bound) in [(MIN, min), (MAX, max)] {
                bound.into_iter().for_each(|bound| element.push_attr(name.clone(), bound));
            }
            element
        };
        let method = match &self.method {
            Method::Basic => named("basic"),
            Method::Open => named("open"),
            Method::Range { min, max } => between(named("range"), min.as_deref(), max.as_deref()),
            Method::Regex(pattern) => named("regex").text(pattern),
        };
        let validate = Element::new(VALIDATE, NS).attr(DATATYPE, &self.datatype).child(method);
        match self.count {
            None => validate,
            Some(count) => {
                let [min, max] = [count.min, count.max].map(|number| number.map(|number| number.to_string()));
                validate.child(between(named("list-range"), min.as_deref(), max.as_deref()))
            }
        }
    }

    /// Whether values beyond the options of a list are accepted (section 3.2).
    pub(crate) fn is_open(&self) -> bool {
        self.method != Method::Basic
    }

    /// What is wrong with this value, in words that stand behind it or after its name.
    #[cfg(feature = "validation")]
    pub(crate) fn refuse(&self, value: &str, shown: &str) -> Option<String> {
        use alloc::format;
        use core::cmp::Ordering;

        let datatype = Datatype::named(&self.datatype);
        if !datatype.has(value) {
            return Some(format!("{shown} is no {}", datatype.words()));
        }
        match &self.method {
            // What can't be compared is not accepted, whether that is due to the value or to the bound.
            Method::Range { .. } if datatype.is_unknown() => {
                Some(format!("{shown} cannot be compared with others of the type {}", self.datatype))
            }
            Method::Range { min, max } if datatype.has_order() => {
                let refuse = |bound: &str, out: Ordering, words: &str| match datatype.compare(value, bound) {
                    None => Some(format!("{shown} cannot be compared with {bound}")),
                    Some(ordering) => (ordering == out).then(|| format!("{shown} is {words} than {bound}")),
                };
                let low = min.as_deref().and_then(|min| refuse(min, Ordering::Less, "less"));
                low.or_else(|| max.as_deref().and_then(|max| refuse(max, Ordering::Greater, "more")))
            }
            Method::Regex(pattern) => match Pattern::new(pattern) {
                Ok(known) if known.matches(value) => None,
                Ok(_) => Some(format!("{shown} does not match {pattern}")),
                Err(error) => Some(format!("{shown} cannot be compared with {pattern}: {error}")),
            },
            Method::Range { .. } | Method::Basic | Method::Open => None,
        }
    }

    #[cfg(not(feature = "validation"))]
    pub(crate) fn refuse(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// Why answers to a form are refused: which field, and in words what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The name of the field.
    pub var: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Whether it has to be answered, and was not.
    pub is_missing: bool,
    /// What is wrong, for people.
    pub text: String,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.label.as_deref().unwrap_or(&self.var), self.text)
    }
}

impl core::error::Error for Refusal {}
