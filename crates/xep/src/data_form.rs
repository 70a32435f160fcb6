//! Forms: questions that a program asks, and what a person or another program answers (XEP-0004).
//!
//! ```
//! use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
//!
//! let form = DataForm::new(FormKind::Form)
//!     .titled("Who may come in?")
//!     .with(Field::hidden("FORM_TYPE", "urn:example:garden"))
//!     .with(Field::new(FieldKind::TextSingle, "name").labelled("Name").required())
//!     .with(Field::new(FieldKind::Boolean, "invited").valued("0"));
//! let element = form.to_element(); // and on the other side:
//! let form = DataForm::read(element.root()).unwrap();
//! assert_eq!(form.form_type(), Some("urn:example:garden"));
//! let answer = form.answer().set("name", ["Romeo"]).set("invited", ["true"]);
//! assert_eq!(answer.value("name"), Some("Romeo"));
//! assert!(answer.flag("invited"));
//! assert_eq!(answer.form_type(), Some("urn:example:garden"));
//! ```

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::Jid;
use balcony_xml::{Element, ElementRef, Name};

use crate::validation::{self, Refusal, Validation};

/// The namespace, which is also the feature of those who understand forms in messages.
pub const NS: &str = "jabber:x:data";

/// Fields, values, options and lines of a form together. One that has more is not read at all: what is left of it would say something
/// else.
const ENTRIES: usize = 4_096;

/// Options, and letters of a value, that are shown in the text of a refusal.
const SHOWN: usize = 8;
const SHOWN_LETTERS: usize = 40;

/// What a form is (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// Questions.
    Form,
    /// Answers.
    Submit,
    /// Nothing will be answered.
    Cancel,
    /// What has come of it: fields, or a table.
    Result,
}

/// What a field holds (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Yes or no.
    Boolean,
    /// Words for people between the fields.
    Fixed,
    /// A value that goes back as it is, and is not shown.
    Hidden,
    /// Addresses.
    JidMulti,
    /// An address.
    JidSingle,
    /// Some of the options.
    ListMulti,
    /// One of the options.
    ListSingle,
    /// Lines, a value each.
    TextMulti,
    /// A line that is not shown when it is typed.
    TextPrivate,
    /// A line.
    TextSingle,
}

const KINDS: [(FieldKind, &str); 10] = [
    (FieldKind::Boolean, "boolean"),
    (FieldKind::Fixed, "fixed"),
    (FieldKind::Hidden, "hidden"),
    (FieldKind::JidMulti, "jid-multi"),
    (FieldKind::JidSingle, "jid-single"),
    (FieldKind::ListMulti, "list-multi"),
    (FieldKind::ListSingle, "list-single"),
    (FieldKind::TextMulti, "text-multi"),
    (FieldKind::TextPrivate, "text-private"),
    (FieldKind::TextSingle, "text-single"),
];

/// One of several values that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// For people.
    pub label: Option<Cow<'a, str>>,
    /// The value.
    pub value: Cow<'a, str>,
}

/// A field (section 3.2). `Debug` shows no values, which may be passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name; only words between the fields have none.
    pub var: Option<Cow<'a, str>>,
    /// What it holds. In answers it is often missing; in a form that means a line.
    pub kind: Option<FieldKind>,
    /// What it is called, for people.
    pub label: Option<Cow<'a, str>>,
    /// What it is, for people.
    pub description: Option<Cow<'a, str>>,
    /// Whether it has to be answered.
    pub is_required: bool,
    /// Its values, in their order.
    pub values: Vec<Cow<'a, str>>,
    /// What its values can be, if it is a list.
    pub options: Vec<Choice<'a>>,
    /// What its values may be beyond that (XEP-0122).
    pub validation: Option<Validation<'a>>,
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataForm<'a> {
    /// What it is.
    pub kind: FormKind,
    /// Its title, for people.
    pub title: Option<Cow<'a, str>>,
    /// What to do with it, for people: paragraphs.
    pub instructions: Vec<Cow<'a, str>>,
    /// Its fields, in their order.
    pub fields: Vec<Field<'a>>,
    /// The columns of a table (section 3.4).
    pub reported: Vec<Field<'a>>,
    /// The rows of a table.
    pub items: Vec<Vec<Field<'a>>>,
}

impl FormKind {
    const ALL: [(FormKind, &'static str); 4] = [
        (FormKind::Form, "form"),
        (FormKind::Submit, "submit"),
        (FormKind::Cancel, "cancel"),
        (FormKind::Result, "result"),
    ];

    const fn name(self) -> &'static str {
        FormKind::ALL[self as usize].1
    }
}

impl<'a> Field<'a> {
    /// An empty field of that name.
    #[must_use]
    pub fn new(kind: FieldKind, var: impl Into<Cow<'a, str>>) -> Field<'a> {
        Field { var: Some(var.into()), kind: Some(kind), ..Field::EMPTY }
    }

    const EMPTY: Field<'a> = Field {
        var: None,
        kind: None,
        label: None,
        description: None,
        is_required: false,
        values: Vec::new(),
        options: Vec::new(),
        validation: None,
    };

    /// A field that goes back as it is, such as `FORM_TYPE`, which says whose names the fields have (XEP-0068).
    #[must_use]
    pub fn hidden(var: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Field<'a> {
        Field::new(FieldKind::Hidden, var).valued(value)
    }

    /// Words between the fields.
    #[must_use]
    pub fn words(text: impl Into<Cow<'a, str>>) -> Field<'a> {
        Field { kind: Some(FieldKind::Fixed), ..Field::EMPTY }.valued(text)
    }

    /// Says what its values may be. Lists and texts can have it, and addresses with a method of [`Open`](validation::Method::Open).
    #[must_use]
    pub fn validated(mut self, validation: Validation<'a>) -> Self {
        self.validation = Some(validation);
        self
    }

    /// Says what it is, for people.
    #[must_use]
    pub fn described(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Says what it is called.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<Cow<'a, str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// It has to be answered.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Adds a value: what is answered if nobody changes it.
    #[must_use]
    pub fn valued(mut self, value: impl Into<Cow<'a, str>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds a value that can be chosen.
    #[must_use]
    pub fn option(mut self, value: impl Into<Cow<'a, str>>, label: impl Into<Cow<'a, str>>) -> Self {
        self.options.push(Choice { label: Some(label.into()), value: value.into() });
        self
    }

    /// The same, and nobody else's.
    #[must_use]
    pub fn into_owned(self) -> Field<'static> {
        Field {
            var: self.var.map(owned),
            kind: self.kind,
            label: self.label.map(owned),
            description: self.description.map(owned),
            is_required: self.is_required,
            values: self.values.into_iter().map(owned).collect(),
            options: self
                .options
                .into_iter()
                .map(|option| Choice { label: option.label.map(owned), value: owned(option.value) })
                .collect(),
            validation: self.validation.map(Validation::into_owned),
        }
    }

    /// Whether it holds several values (section 3.2).
    #[must_use]
    pub fn is_multi(&self) -> bool {
        use FieldKind::{Hidden, JidMulti, ListMulti, TextMulti};
        matches!(self.kind, Some(Hidden | JidMulti | ListMulti | TextMulti))
    }

    /// Whether it is one that people answer: neither words nor hidden.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.var.is_some() && !matches!(self.kind, Some(FieldKind::Fixed | FieldKind::Hidden))
    }

    /// What is wrong with these values as an answer to this field: that there are none and have to be, that they are too many, that they are
    /// none of the options or one of them twice, not of the type of the field, or not what the field says of them (XEP-0122). Hidden fields
    /// have to come back as they are. The text says it for people, with the value, unless that is a password.
    ///
    /// Without the feature `validation` datatypes, ranges and patterns are not looked at.
    #[must_use]
    pub fn refuse<T: AsRef<str>>(&self, values: &[T]) -> Option<Refusal> {
        let values = || values.iter().map(AsRef::as_ref);
        let is_missing = self.kind != Some(FieldKind::Hidden) && values().all(str::is_empty);
        let text = match self.kind {
            // What is hidden comes from this side, and goes back as it is.
            Some(FieldKind::Hidden) => {
                let own = || self.values.iter().map(AsRef::as_ref);
                let is_own = values().eq(own()) || values().chain(own()).all(str::is_empty);
                (!is_own).then(|| "it cannot be changed".to_string())
            }
            _ if is_missing && self.is_required => Some("it has to be answered".to_string()),
            _ if is_missing => self.refuse_count(0),
            _ => self.refuse_given(values),
        };
        let name = |text: &Option<Cow<'_, str>>| text.as_deref().map(String::from);
        let var = name(&self.var).unwrap_or_default();
        text.map(|text| Refusal { var, label: name(&self.label), is_missing, text })
    }

    /// Whether so many of the options may be chosen (XEP-0122 section 3.3).
    fn refuse_count(&self, count: usize) -> Option<String> {
        let bounds = self.validation.as_ref().and_then(|validation| validation.count);
        let bounds = bounds.filter(|_| self.kind == Some(FieldKind::ListMulti)).unwrap_or_default();
        let is = |bound: Option<u32>| bound.and_then(|bound| usize::try_from(bound).ok());
        if let Some(min) = is(bounds.min).filter(|min| count < *min) {
            return Some(format!("{count} chosen, and at least {min} have to be"));
        }
        is(bounds.max)
            .filter(|max| count > *max)
            .map(|max| format!("{count} chosen, and at most {max} can be"))
    }

    fn refuse_given<'v, I: Iterator<Item = &'v str>>(&self, values: impl Fn() -> I) -> Option<String> {
        if !self.is_multi() && values().count() > 1 {
            return Some("only one value can be given".into());
        }
        if self.kind == Some(FieldKind::ListMulti) {
            let mut chosen: Vec<&str> = values().filter(|value| !value.is_empty()).collect();
            if let Some(refused) = self.refuse_count(chosen.len()) {
                return Some(refused);
            }
            chosen.sort_unstable();
            if let Some(twice) = chosen.windows(2).find(|pair| pair[0] == pair[1]) {
                return Some(format!("{} is chosen twice", quoted(twice[0])));
            }
        }
        values().find_map(|value| self.refuse_value(value))
    }

    fn refuse_value(&self, value: &str) -> Option<String> {
        let shown = match self.kind {
            Some(FieldKind::TextPrivate) => "this".to_string(),
            _ => quoted(value),
        };
        let is_option = || self.options.iter().any(|option| option.value == value);
        let is_open = self.validation.as_ref().is_some_and(Validation::is_open);
        match self.kind {
            Some(FieldKind::Boolean) if !matches!(value, "0" | "1" | "false" | "true") => {
                return Some(format!("{shown} is neither yes nor no (true, false)"));
            }
            Some(FieldKind::JidMulti | FieldKind::JidSingle) if Jid::parse(value).is_err() => {
                return Some(format!("{shown} is no address"));
            }
            Some(FieldKind::ListMulti | FieldKind::ListSingle) if is_option() => return None,
            Some(FieldKind::ListMulti | FieldKind::ListSingle) if !is_open => {
                let options = self.options.iter().take(SHOWN).map(|option| &*option.value);
                let options = options.collect::<Vec<_>>().join(", ");
                let more = if self.options.len() > SHOWN { ", …" } else { "" };
                return Some(format!("{shown} is none of: {options}{more}"));
            }
            _ => {}
        }
        self.validation.as_ref().and_then(|validation| validation.refuse(value, &shown))
    }

    fn read(element: ElementRef<'a>, entries: &mut usize) -> Field<'a> {
        let kind = element.attr("type").and_then(|name| KINDS.iter().find(|(_, known)| *known == name));
        let children = || element.children().filter(|child| child.namespace() == NS);
        *entries += 1 + children().count();
        let option = |option: ElementRef<'a>| {
            let value = option.child("value", NS)?.text();
            Some(Choice { label: option.attr("label").map(Cow::Borrowed), value })
        };
        Field {
            var: element.attr("var").map(Cow::Borrowed),
            kind: kind.map(|(kind, _)| *kind),
            label: element.attr("label").map(Cow::Borrowed),
            description: element.child("desc", NS).map(|text| text.text()),
            is_required: element.child("required", NS).is_some(),
            values: children().filter(|child| child.name() == "value").map(|value| value.text()).collect(),
            options: children().filter(|child| child.name() == "option").filter_map(option).collect(),
            validation: element.child("validate", validation::NS).and_then(Validation::read),
        }
    }

    fn to_element(&self) -> Element {
        const FIELD: Name = Name::from_static("field");
        const VAR: Name = Name::from_static("var");
        const OPTION: Name = Name::from_static("option");
        const REQUIRED: Name = Name::from_static("required");
        let mut field = Element::new(FIELD, NS);
        if let Some(var) = &self.var {
            field.push_attr(VAR, var);
        }
        if let Some(kind) = self.kind {
            field.push_attr(TYPE, KINDS[kind as usize].1);
        }
        if let Some(label) = &self.label {
            field.push_attr(LABEL, label);
        }
        if let Some(text) = &self.description {
            field.push_child(line("desc", text).root());
        }
        if self.is_required {
            field.push_child(Element::new(REQUIRED, NS).root());
        }
        for value in &self.values {
            field.push_child(line("value", value).root());
        }
        for choice in &self.options {
            let mut option = Element::new(OPTION, NS);
            if let Some(label) = &choice.label {
                option.push_attr(LABEL, label);
            }
            field.push_child(option.child(line("value", &choice.value)).root());
        }
        if let Some(validation) = &self.validation {
            field.push_child(validation.to_element().root());
        }
        field
    }
}

impl<'a> DataForm<'a> {
    /// An empty form.
    #[must_use]
    pub const fn new(kind: FormKind) -> DataForm<'a> {
        DataForm {
            kind,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Gives it a title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<Cow<'a, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Says what to do with it.
    #[must_use]
    pub fn instructed(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.instructions.push(text.into());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: Field<'a>) -> Self {
        self.fields.push(field);
        self
    }

    /// Makes it a table with these columns, a name and a label for people each (section 3.4).
    #[must_use]
    pub fn columns<V: Into<Cow<'a, str>>, L: Into<Cow<'a, str>>>(
        mut self,
        columns: impl IntoIterator<Item = (V, L)>,
    ) -> Self {
        let column = |(var, label)| Field::new(FieldKind::TextSingle, var).labelled(label);
        self.reported = columns.into_iter().map(column).collect();
        self
    }

    /// Adds a row to a table: a value for each column, in their order. What is too much is left out, and what is missing is empty.
    #[must_use]
    pub fn row<T: Into<Cow<'a, str>>>(mut self, values: impl IntoIterator<Item = T>) -> Self {
        let mut values = values.into_iter().map(Into::into);
        let cell = |column: &Field<'a>| {
            Field { var: column.var.clone(), ..Field::EMPTY }.valued(values.next().unwrap_or_default())
        };
        let row = self.reported.iter().map(cell).collect();
        self.items.push(row);
        self
    }

    /// The answer to it, as it is before anybody has answered anything: what is hidden goes back, and so do the values that it has
    /// already.
    #[must_use]
    pub fn answer(&self) -> DataForm<'static> {
        let goes_back = |field: &&Field<'a>| {
            field.var.is_some() && field.kind != Some(FieldKind::Fixed) && !field.values.is_empty()
        };
        let field = |field: &Field<'a>| {
            let kind = field.kind.filter(|kind| *kind == FieldKind::Hidden);
            Field {
                kind,
                label: None,
                description: None,
                is_required: false,
                options: Vec::new(),
                validation: None,
                ..field.clone()
            }
            .into_owned()
        };
        let fields = self.fields.iter().filter(goes_back).map(field).collect();
        DataForm { fields, ..DataForm::new(FormKind::Submit) }
    }

    /// Gives a field these values, whatever it had before; none at all clears it.
    #[must_use]
    pub fn set<T: Into<Cow<'a, str>>>(mut self, var: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        match self.fields.iter_mut().find(|field| field.var.as_deref() == Some(var)) {
            Some(field) => field.values = values,
            None => {
                let var = Some(Cow::Owned(String::from(var)));
                self.fields.push(Field { var, values, ..Field::EMPTY });
            }
        }
        self
    }

    /// The field of that name: the first.
    #[must_use]
    pub fn field(&self, var: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.var.as_deref() == Some(var))
    }

    /// The value of a field: its first.
    #[must_use]
    pub fn value(&self, var: &str) -> Option<&str> {
        Some(self.field(var)?.values.first()?.as_ref())
    }

    /// The values of a field, none if there is no such field.
    pub fn values(&self, var: &str) -> impl Iterator<Item = &str> {
        self.field(var).into_iter().flat_map(|field| &field.values).map(AsRef::as_ref)
    }

    /// Whether a field says yes; a field that is not there says no.
    #[must_use]
    pub fn flag(&self, var: &str) -> bool {
        matches!(self.value(var), Some("1" | "true"))
    }

    /// Whose names the fields have (XEP-0068): the value of `FORM_TYPE`, which has to be hidden except in answers.
    #[must_use]
    pub fn form_type(&self) -> Option<&str> {
        let field = self.field("FORM_TYPE")?;
        let counts =
            matches!((self.kind, field.kind), (_, Some(FieldKind::Hidden)) | (FormKind::Submit, None));
        field.values.first().filter(|_| counts).map(AsRef::as_ref)
    }

    /// What is wrong with an answer to these questions, a [`Refusal`] for each field that is. What is not answered counts as the value that
    /// it has already (section 3.5); what was not asked is passed over.
    #[must_use]
    pub fn refusals(&self, answer: &DataForm<'_>) -> Vec<Refusal> {
        let asked = self.fields.iter().filter(|field| field.kind != Some(FieldKind::Fixed));
        let refuse = |field: &Field<'a>| {
            let given = answer.field(field.var.as_deref()?);
            field.refuse(given.map_or(&field.values, |given| &given.values))
        };
        asked.filter_map(refuse).collect()
    }

    /// The whole answer to these questions: what was answered, and of what was not the value that it has already (section 3.5), in the
    /// order of the questions. What was not asked is left out, and so are addresses that come twice.
    #[must_use]
    pub fn filled(&self, answer: &DataForm<'_>) -> DataForm<'static> {
        let asked =
            self.fields.iter().filter(|field| field.var.is_some() && field.kind != Some(FieldKind::Fixed));
        let field = |field: &Field<'a>| {
            let given = field.var.as_deref().and_then(|var| answer.field(var));
            let values = given.map_or(&field.values, |given| &given.values).iter();
            let mut known = BTreeSet::new();
            // What is no address is not there twice.
            let values = values.filter(|value| {
                field.kind != Some(FieldKind::JidMulti)
                    || Jid::parse(value).map_or(true, |address| known.insert(address))
            });
            let values = values.map(|value| Cow::Owned(String::from(&**value))).collect();
            let kind = field.kind.filter(|kind| *kind == FieldKind::Hidden);
            Field { var: field.var.clone().map(owned), kind, values, ..Field::EMPTY }
        };
        DataForm { fields: asked.map(field).collect(), ..DataForm::new(FormKind::Submit) }
    }

    /// The same questions with these answers as the values that they have already, but for those to passwords.
    #[must_use]
    pub fn with_answers(mut self, answer: &DataForm<'_>) -> Self {
        for field in self.fields.iter_mut().filter(|field| field.is_question()) {
            let given = field.var.as_deref().and_then(|var| answer.field(var));
            if let Some(given) = given.filter(|_| field.kind != Some(FieldKind::TextPrivate)) {
                field.values = given.values.iter().map(|value| Cow::Owned(String::from(&**value))).collect();
            }
        }
        self
    }

    /// The same, and nobody else's.
    #[must_use]
    pub fn into_owned(self) -> DataForm<'static> {
        let fields = |fields: Vec<Field<'a>>| fields.into_iter().map(Field::into_owned).collect();
        DataForm {
            kind: self.kind,
            title: self.title.map(owned),
            instructions: self.instructions.into_iter().map(owned).collect(),
            fields: fields(self.fields),
            reported: fields(self.reported),
            items: self.items.into_iter().map(fields).collect(),
        }
    }

    /// Reads it; `None` if the element is something else, does not say what it is, or has more than 4,096 fields, values and lines.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<DataForm<'a>> {
        if !element.is("x", NS) {
            return None;
        }
        let name = element.attr("type")?;
        let (kind, _) = FormKind::ALL.into_iter().find(|(_, known)| *known == name)?;
        let (mut form, mut entries) = (DataForm::new(kind), 0);
        let fields = |row: ElementRef<'a>, entries: &mut usize| -> Vec<Field<'a>> {
            let fields = row.children().filter(|child| child.is("field", NS));
            fields.map(|field| Field::read(field, entries)).collect()
        };
        for child in element.children().filter(|child| child.namespace() == NS) {
            entries += 1;
            match child.name() {
                "title" => form.title = form.title.or(Some(child.text())),
                "instructions" => form.instructions.push(child.text()),
                "field" => form.fields.push(Field::read(child, &mut entries)),
                "reported" => form.reported.extend(fields(child, &mut entries)),
                "item" => form.items.push(fields(child, &mut entries)),
                _ => {}
            }
            if entries > ENTRIES {
                return None;
            }
        }
        Some(form)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const X: Name = Name::from_static("x");
        const REPORTED: Name = Name::from_static("reported");
        const ITEM: Name = Name::from_static("item");
        let mut form = Element::new(X, NS).attr(TYPE, self.kind.name());
        if let Some(title) = &self.title {
            form.push_child(line("title", title).root());
        }
        for text in &self.instructions {
            form.push_child(line("instructions", text).root());
        }
        let row = |name, fields: &[Field<'_>]| {
            fields.iter().fold(Element::new(name, NS), |row, field| row.child(field.to_element()))
        };
        if !self.reported.is_empty() {
            form.push_child(row(REPORTED, &self.reported).root());
        }
        for item in &self.items {
            form.push_child(row(ITEM, item).root());
        }
        self.fields.iter().fold(form, |form, field| form.child(field.to_element()))
    }
}

const TYPE: Name = Name::from_static("type");
const LABEL: Name = Name::from_static("label");

fn line(name: &'static str, text: &str) -> Element {
    Element::new(Name::from_static(name), NS).text(text)
}

/// A value in a sentence, cut off where it is long.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_LETTERS) {
        Some((end, _)) => format!("`{}…`", &value[..end]),
        None => format!("`{value}`"),
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("var", &self.var)
            .field("kind", &self.kind)
            .field("values", &self.values.len())
            .finish_non_exhaustive()
    }
}
