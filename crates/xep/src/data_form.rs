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
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature of those who understand forms in messages.
pub const NS: &str = "jabber:x:data";

/// Fields, values, options and lines of a form together. One that has more is not read at all: what is left of it would say something
/// else.
const ENTRIES: usize = 4_096;

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
        }
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

    /// The fields of `form` that have to be answered, and are not here.
    pub fn missing<'f>(&'f self, form: &'f DataForm<'_>) -> impl Iterator<Item = &'f str> {
        let wanted =
            form.fields.iter().filter(|field| field.is_required).filter_map(|field| field.var.as_deref());
        wanted.filter(|var| self.values(var).all(str::is_empty))
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
