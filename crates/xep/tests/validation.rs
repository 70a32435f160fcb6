//! Answers to forms, and what is wrong with them (XEP-0004, XEP-0122).
#![allow(clippy::unwrap_used)]

use balcony_machine::XmlLimits;
use balcony_xep::data_form::{DataForm, Field, FieldKind as K, FormKind};
use balcony_xep::validation::{Count, Method, Validation};
use balcony_xml::Element;
use proptest::prelude::*;

fn element(xml: &str) -> Element {
    Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap()
}

fn field(kind: K) -> Field<'static> {
    Field::new(kind, "f")
}

/// The text of what is wrong with these values of a field.
fn refused(field: &Field<'_>, values: &[&str]) -> Option<String> {
    field.refuse(values).map(|refusal| refusal.text)
}

// XEP-0004 2.13.2 §3.2 [DF10] [DF11], §3.3 [DF15] [DF17] [DF18] [DF19] [DF21], §4 [DF31]; XEP-0122 1.0.2 §4.4 [FV12]
#[test]
fn values_are_of_the_type_of_their_field() {
    let list = field(K::ListSingle).option("red", "Red").option("blue", "Blue");
    let several = Field { kind: Some(K::ListMulti), ..list.clone() };
    let hidden = Field::hidden("f", "own");
    let hidden_two = hidden.clone().valued("two");
    for (field, values, wrong) in [
        (&field(K::Boolean), &["1"][..], None),
        (&field(K::Boolean), &["false"], None),
        (&field(K::Boolean), &["yes"], Some("`yes` is neither yes nor no (true, false)")),
        (&field(K::TextSingle), &["a", "b"], Some("only one value can be given")),
        (&field(K::TextSingle), &["", ""], None),
        (&field(K::TextMulti), &["a", "b"], None),
        (&field(K::JidSingle), &["juliet@example.com"], None),
        (&field(K::JidSingle), &["juliet@@"], Some("`juliet@@` is no address")),
        (&field(K::JidMulti), &["a@b", "@"], Some("`@` is no address")),
        (&list, &["red"], None),
        (&list, &["green"], Some("`green` is none of: red, blue")),
        (&list, &["red", "blue"], Some("only one value can be given")),
        (&several, &["blue", "red"], None),
        (&several, &["blue", "green"], Some("`green` is none of: red, blue")),
        (&hidden, &["own"], None),
        (&hidden, &["other"], Some("it cannot be changed")),
        (&hidden, &["own", "own"], Some("it cannot be changed")),
        (&hidden, &["own", ""], Some("it cannot be changed")),
        (&hidden, &[""], Some("it cannot be changed")),
        (&hidden, &[], Some("it cannot be changed")),
        (&hidden.clone().required(), &[], Some("it cannot be changed")),
        (&hidden_two, &["own", "two"], None),
        (&hidden_two, &["own"], Some("it cannot be changed")),
        (&field(K::Hidden).required(), &[""], None),
        (&several, &["red", "blue", "red"], Some("`red` is chosen twice")),
        (&field(K::TextSingle).required(), &[""], Some("it has to be answered")),
        (&field(K::TextSingle).required(), &[], Some("it has to be answered")),
        (&field(K::TextSingle), &[], None),
    ] {
        assert_eq!(refused(field, values).as_deref(), wrong, "{field:?} {values:?}");
    }
    // What is long is cut off, and a password does not show.
    let long = refused(&field(K::JidSingle), &["@".repeat(1_000).as_str()]).unwrap();
    assert!(long.len() < 70 && long.contains('…'), "{long}");
    let secret = field(K::TextPrivate).validated(Validation::of("xs:integer"));
    assert_eq!(refused(&secret, &["sesame"]).unwrap(), "this is no whole number");
}

// XEP-0122 1.0.2 §3.1 [FV2], §3.2.1 [FV5], §3.2.3 [FV7], §4.1 [FV11], §4.3 [FV15], §4.7 [FV8]
#[test]
fn datatypes_and_ranges() {
    for (datatype, right, wrong) in [
        ("xs:string", &["", "x y"][..], &[][..]),
        ("x:unknown", &["x y"], &[]),
        ("xs:boolean", &["0", "1", "true", "false"], &["TRUE", "yes"]),
        (
            "xs:integer",
            &["0", "-7", "+7", "00", "99999999999999999999999999999999999999999999"],
            &["1.0", "1e3", "-", "x", " 1", "1 "],
        ),
        ("xs:byte", &["-128", "127", "+5"], &["-129", "128"]),
        ("xs:int", &["-2147483648", "2147483647"], &["2147483648", "-2147483649"]),
        ("xs:long", &["-9223372036854775808"], &["9223372036854775808", "999999999999999999999999999999"]),
        ("xs:unsignedByte", &["0", "-0", "+7", "255"], &["-1", "256", "1.0"]),
        ("xs:unsignedShort", &["65535"], &["65536"]),
        ("xs:unsignedInt", &["4294967295"], &["4294967296"]),
        ("xs:unsignedLong", &["18446744073709551615"], &["18446744073709551616", "-9"]),
        ("xs:nonNegativeInteger", &["0", "99999999999999999999999999999999999999999999"], &["-1", "1.5"]),
        ("xs:positiveInteger", &["1"], &["0", "-1"]),
        ("xs:negativeInteger", &["-1"], &["0", "1"]),
        ("xs:nonPositiveInteger", &["0", "-1"], &["1"]),
        ("xs:float", &["1e3", "NaN"], &["nan"]),
        ("xs:decimal", &["1", "-1.5", ".5", "5.", "+0.0"], &[".", "1,5", "1e3", "", "1.2.3"]),
        ("xs:double", &["1e3", "-INF", "NaN", "1.5"], &["inf", "nan", "infinity", "e"]),
        (
            "xs:date",
            &["2002-09-10", "0001-01-01", "2000-02-29", "2002-09-10Z", "2002-09-10+02:00"],
            &["2002-9-10", "2001-02-29", "0000-01-01", "2002-09-10T", "10.9.2002"],
        ),
        (
            "xs:dateTime",
            &["2002-09-10T23:08:25Z", "1900-01-01T00:00:00", "2002-09-10T23:08:25.5-06:00"],
            &["2002-09-10", "2002-09-10T24:08:25Z", "2002-09-10 23:08:25"],
        ),
        ("xs:time", &["23:08:25", "00:00:00.1Z"], &["24:00:00", "23:08"]),
        ("xs:language", &["en", "pt-BR", "x-klingon"], &["", "e1", "en_US", "toolonglanguage"]),
        ("xs:anyURI", &["xmpp:romeo@example.net"], &["a b"]),
    ] {
        let field = field(K::TextSingle).validated(Validation::of(datatype));
        for value in right {
            assert_eq!(refused(&field, &[value]), None, "{datatype} {value}");
        }
        for value in wrong.iter().filter(|value| !value.is_empty()) {
            assert!(
                refused(&field, &[value]).unwrap().starts_with(&format!("`{value}` is no ")),
                "{datatype} {value}"
            );
        }
    }
    for (datatype, min, max, low, inside, high) in [
        ("xs:integer", "-5", "10", "-6", &["-5", "0", "010", "10"][..], "11"),
        ("xs:integer", "9", "100", "8", &["9", "99"], "99999999999999999999999999999999999999999999"),
        ("xs:decimal", "-0.5", "1.25", "-0.51", &["-.5", "1.2", "1.250", "0"], "1.2501"),
        ("xs:unsignedByte", "5", "30", "4", &["5", "30"], "200"),
        ("xs:positiveInteger", "5", "30", "4", &["5", "30"], "99999999999999999999999999999999999999999999"),
        ("xs:float", "5", "30", "-INF", &["5", "3e1"], "INF"),
        ("xs:double", "1e-3", "1e3", "0", &["1", "1000"], "1001"),
        ("xs:date", "1999-12-31", "2000-03-01", "1999-12-30", &["2000-02-29"], "2000-03-02"),
        (
            "xs:dateTime",
            "2002-09-10T23:00:00Z",
            "2002-09-10T23:30:00Z",
            "2002-09-10T22:59:59.999Z",
            &["2002-09-11T00:10:00+01:00"],
            "2002-09-10T23:30:00.001Z",
        ),
        ("xs:time", "08:00:00", "20:00:00", "07:59:59", &["08:00:00", "20:00:00"], "20:00:00.5"),
    ] {
        let field = field(K::TextSingle).validated(Validation::of(datatype).between(min, max));
        assert_eq!(refused(&field, &[low]), Some(format!("`{low}` is less than {min}")));
        let high = refused(&field, &[high]).unwrap();
        assert!(high.ends_with(&format!(" is more than {max}")), "{high}");
        for value in inside {
            assert_eq!(refused(&field, &[value]), None, "{datatype} {value}");
        }
    }
    // [FV7] without a bound there is none; [FV8] texts have no order.
    let open_end = Validation {
        method: Method::Range { min: Some("1".into()), max: None },
        ..Validation::of("xs:integer")
    };
    assert_eq!(refused(&field(K::TextSingle).validated(open_end), &["99999"]), None);
    for (datatype, value) in
        [("xs:string", "5"), ("xs:boolean", "1"), ("xs:language", "en"), ("xs:anyURI", "xmpp:a@b")]
    {
        let field = field(K::TextSingle).validated(Validation::of(datatype).between("x", "y"));
        assert_eq!(refused(&field, &[value]), None, "{datatype}");
    }
    // What can't be compared is not accepted.
    for (datatype, min, max, value) in [
        ("xs:double", "5", "30", "NaN"),
        ("xs:float", "5", "30", "NaN"),
        ("xs:double", "NaN", "30", "7"),
        ("xs:double", "5", "NaN", "7"),
        ("xs:integer", "x", "30", "7"),
        ("xs:integer", "5", "", "7"),
        ("xs:decimal", "5", "1e3", "7"),
        ("xs:date", "today", "2003-10-24", "2003-10-05"),
        ("xs:gYear", "2000", "2010", "2005"),
        ("x:unknown", "5", "30", "7"),
    ] {
        let field = field(K::TextSingle).validated(Validation::of(datatype).between(min, max));
        let refused = refused(&field, &[value]).expect(datatype);
        assert!(refused.contains("cannot be compared with"), "{datatype} {value}: {refused}");
    }
}

// XEP-0122 1.0.2 §3.2 [FV3] [FV4], §3.2.2 [FV6], §3.2.4 [FV9], §3.3 [FV10]
#[test]
fn patterns_open_lists_and_counts() {
    let number = field(K::TextSingle)
        .validated(Validation::of("xs:string").matching("([0-9]{3})-([0-9]{2})-([0-9]{4})"));
    assert_eq!(refused(&number, &["123-45-6789"]), None);
    assert_eq!(
        refused(&number, &["12-45"]).unwrap(),
        "`12-45` does not match ([0-9]{3})-([0-9]{2})-([0-9]{4})"
    );
    let none = field(K::TextSingle).validated(Validation::of("xs:string").matching("("));
    assert!(
        refused(&none, &["x"]).unwrap().contains("no regular expression"),
        "what can't be checked is not accepted"
    );

    let list = |validation| field(K::ListSingle).option("1", "One").validated(validation);
    assert!(refused(&list(Validation::of("xs:integer")), &["2"]).unwrap().contains("is none of: 1"));
    assert_eq!(refused(&list(Validation::of("xs:integer").open()), &["2"]), None);
    assert!(refused(&list(Validation::of("xs:integer").open()), &["two"]).unwrap().contains("whole number"));
    assert!(
        refused(&list(Validation::of("xs:integer").between("0", "5")), &["6"])
            .unwrap()
            .contains("more than 5")
    );
    let lines = field(K::TextMulti).validated(Validation::of("xs:integer").open());
    assert_eq!(refused(&lines, &["1", "2"]), None);
    assert!(refused(&lines, &["1", "x"]).is_some(), "each line is checked");

    let counted =
        ["a", "b", "c"].into_iter().fold(field(K::ListMulti), |field, value| field.option(value, value));
    let counted = counted.validated(Validation::of("xs:string").counted(1, 2));
    assert_eq!(refused(&counted, &["a", "c"]), None);
    assert_eq!(refused(&counted, &["a", "b", "c"]).unwrap(), "3 chosen, and at most 2 can be");
    let two = Field { validation: Some(Validation::of("xs:string").counted(2, 2)), ..counted };
    assert_eq!(refused(&two, &["a"]).unwrap(), "1 chosen, and at least 2 have to be");
    for (values, wrong) in [
        (&[][..], "0 chosen, and at least 2 have to be"),
        (&["", ""], "0 chosen, and at least 2 have to be"),
        (&["a", "a"], "`a` is chosen twice"),
        (&["b", "a", "b"], "3 chosen, and at most 2 can be"),
    ] {
        assert_eq!(refused(&two, values).as_deref(), Some(wrong), "{values:?}");
    }
    let form = DataForm::new(FormKind::Form).with(two.clone());
    assert!(form.refusals(&form.answer())[0].is_missing, "what is not answered is none");
    let open = Field { validation: Some(Validation::of("xs:string").open().counted(2, 2)), ..two.clone() };
    assert!(refused(&open, &["x", ""]).unwrap().starts_with("1 chosen"));
    // Elsewhere it says nothing.
    assert_eq!(
        refused(&field(K::TextMulti).validated(Validation::of("xs:string").counted(2, 2)), &["a"]),
        None
    );
}

// XEP-0122 1.0.2 §3 [FV1], §3.2 [FV3], §4.1 [FV11], §4.2 [FV13]: it stands in a field, and what is not understood counts as the least
#[test]
fn it_is_read_as_it_is_written() {
    let form = |inner: &str| {
        let xml = format!(
            "<x xmlns='jabber:x:data' type='form' xmlns:xdv='http://jabber.org/protocol/xdata-validate'><field var='f' type='list-multi'>{inner}</field></x>"
        );
        DataForm::read(element(&xml).root()).unwrap().into_owned().fields.remove(0).validation
    };
    let range = form(
        "<validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:date'><range min='2003-10-05' max='2003-10-24'/></validate>",
    );
    assert_eq!(range, Some(Validation::of("xs:date").between("2003-10-05", "2003-10-24")));
    let count = form(
        "<xdv:validate datatype='xs:string'><xdv:basic/><xdv:list-range min='2' max='3'/></xdv:validate>",
    );
    assert_eq!(count, Some(Validation::of("xs:string").counted(2, 3)));
    for least in ["", "<xdv:dance/>", "<xdv:open/><xdv:regex>a</xdv:regex>", "<regex>a</regex>"] {
        assert_eq!(
            form(&format!("<xdv:validate>{least}</xdv:validate>")),
            Some(Validation::of("xs:string")),
            "{least}"
        );
    }
    let odd = form("<xdv:validate><xdv:list-range min='-1' max='x'/></xdv:validate>").unwrap();
    assert_eq!(odd.count, Some(Count::default()));
    assert_eq!(form("<validate datatype='xs:date'/>"), None, "it is in another namespace");
    // Outside of a field it is nothing.
    let outside = "<x xmlns='jabber:x:data' type='form'><validate xmlns='http://jabber.org/protocol/xdata-validate'/><field var='f'/></x>";
    assert_eq!(DataForm::read(element(outside).root()).unwrap().fields[0].validation, None);
}

fn questions() -> DataForm<'static> {
    DataForm::new(FormKind::Form)
        .with(Field::hidden("FORM_TYPE", "urn:example:garden"))
        .with(Field::words("Who may come in?"))
        .with(Field::new(K::TextSingle, "name").labelled("Name").required())
        .with(Field::new(K::TextPrivate, "password"))
        .with(Field::new(K::JidMulti, "guests"))
        .with(Field::new(K::Boolean, "invited").valued("1"))
}

// XEP-0004 2.13.2 §3.1 [DF3] [DF4], §3.2 [DF23] [DF24], §3.3 [DF16] [DF19] [DF22], §3.5 [DF29], §3.6 [DF30]
#[test]
fn an_answer_is_filled() {
    let form = questions();
    let answer = DataForm::new(FormKind::Submit)
        .set("unknown", ["x"])
        .set("name", ["Romeo"])
        .set("guests", ["Juliet@example.com", "juliet@example.com", "nurse@example.com"]);
    assert!(form.refusals(&answer).is_empty(), "what is not known is passed over");
    let filled = form.filled(&answer);
    let vars: Vec<_> = filled.fields.iter().map(|field| field.var.as_deref().unwrap()).collect();
    assert_eq!(vars, ["FORM_TYPE", "name", "password", "guests", "invited"]);
    assert_eq!(filled.form_type(), Some("urn:example:garden"));
    assert_eq!(filled.values("guests").count(), 2, "an address twice is once");
    assert!(filled.flag("invited"), "what is not answered stays as it is");
    let cleared = form.filled(&answer.clone().set("invited", [""; 0]));
    assert!(!cleared.flag("invited"), "and what is cleared is cleared");

    let refusals = form.refusals(&DataForm::new(FormKind::Submit).set("guests", ["@"]));
    let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["Name: it has to be answered", "guests: `@` is no address"]);
    assert!(refusals[0].is_missing && !refusals[1].is_missing);

    // Asked again, it begins with what was answered, but not with the password.
    let again = form.with_answers(&answer.set("password", ["sesame"]).set("FORM_TYPE", ["urn:x"]));
    assert_eq!((again.value("name"), again.value("password")), (Some("Romeo"), None));
    assert_eq!(again.form_type(), Some("urn:example:garden"));
}

// XEP-0004 2.13.2 §3.2 [DF9] [DF12], §3.4 [DF25] [DF26] [DF27] [DF28]
#[test]
fn tables() {
    let table = DataForm::new(FormKind::Result)
        .columns([("at", "When"), ("degrees", "Temperature")])
        .row(["08:00", "19.5"])
        .row(["09:00"]);
    let written = table.to_element().to_xml();
    let inner = "<reported><field var='at' type='text-single' label='When'/><field var='degrees' type='text-single' label='Temperature'/></reported>\
                 <item><field var='at'><value>08:00</value></field><field var='degrees'><value>19.5</value></field></item>\
                 <item><field var='at'><value>09:00</value></field><field var='degrees'><value/></field></item>";
    assert_eq!(written, format!("<x xmlns='jabber:x:data' type='result'>{inner}</x>"));
    // Others write it in other orders, with other things beside it.
    let (reported, items) = inner.split_at(inner.find("<item>").unwrap());
    let other = format!(
        "<x xmlns='jabber:x:data' type='result'>{items}<title>T</title><field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>{reported}</x>"
    );
    let other = element(&other);
    let read = DataForm::read(other.root()).unwrap();
    assert_eq!((read.title.as_deref(), read.form_type()), (Some("T"), Some("urn:x")));
    assert_eq!((read.reported, read.items), (table.reported, table.items));

    let required = questions().to_element().to_xml();
    assert!(required.contains("<required/>"));
    let questions = questions();
    assert!(questions.fields.iter().all(|field| field.var.is_some() != (field.kind == Some(K::Fixed))));
}

fn any_kind() -> impl Strategy<Value = Option<K>> {
    let kinds = [
        K::Boolean,
        K::Fixed,
        K::Hidden,
        K::JidMulti,
        K::JidSingle,
        K::ListMulti,
        K::ListSingle,
        K::TextMulti,
        K::TextPrivate,
        K::TextSingle,
    ];
    proptest::option::of(proptest::sample::select(kinds.to_vec()))
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[-+0-9.:TZeE]{0,24}",
        "[a-z@/.]{0,8}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T?[0-9:]{0,8}Z?"
    ]
}

proptest! {
    // XEP-0122 1.0.2 §4.4 [FV12], §3.2.4 [FV9]: whatever others ask and answer
    #[test]
    fn any_answer_is_taken_or_refused(
        kind in any_kind(), required: bool, datatype in "xs:(integer|byte|decimal|double|date|dateTime|time|language|string)",
        method in 0..4, bounds in (any_value(), any_value()), values in prop::collection::vec(any_value(), 0..4),
    ) {
        let validation = Validation::of(datatype.as_str());
        let validation = match method {
            0 => validation,
            1 => validation.open(),
            2 => validation.between(bounds.0, bounds.1),
            _ => validation.matching(bounds.0),
        };
        let field = Field { kind, is_required: required, validation: Some(validation), ..Field::new(K::TextSingle, "f").option("a", "A") };
        let form = DataForm::new(FormKind::Form).with(field);
        let answer = DataForm::new(FormKind::Submit).set("f", values.clone());
        for refusal in form.refusals(&answer) {
            prop_assert!(!refusal.text.is_empty() && refusal.text.len() < 1_000);
        }
        // What was taken is taken again.
        prop_assert_eq!(form.refusals(&form.filled(&answer)).is_empty(), form.refusals(&answer).is_empty());
    }

    // XEP-0122 1.0.2 §3.2.3 [FV7]: numbers are compared as what they are, however long
    #[test]
    fn numbers_have_an_order(left: i64, right: i64, scale in 1..1_000_i64) {
        let decimal = |number: i64| format!("{}.{:03}", number / 1000, (number % 1000).abs());
        let (left, right) = (left / scale, right / scale);
        let field = |max: String| field(K::TextSingle).validated(Validation { method: Method::Range { min: None, max: Some(max.into()) }, ..Validation::of("xs:decimal") });
        prop_assert_eq!(field(right.to_string()).refuse(&[left.to_string()]).is_none(), left <= right);
        // Without the sign of what is between -1 and 0, which this does not write.
        if left.abs() >= 1000 && right.abs() >= 1000 {
            prop_assert_eq!(field(decimal(right)).refuse(&[decimal(left)]).is_none(), left <= right);
        }
    }
}

// XEP-0004 section 3.3: a list of addresses has each of them once. What a stranger has put into a form takes no time that grows by its square.
#[test]
fn many_addresses_that_come_twice_are_left_out() {
    let local = "\u{e9}".repeat(500);
    let addresses = (0..2_000).flat_map(|number| {
        [format!("{local}{number}@a.example"), format!("{local}{number}@A.example"), "@".into()]
    });
    let field = addresses.take(4_000).fold(Field::new(K::JidMulti, "who"), Field::valued);
    let form = DataForm::new(FormKind::Form).with(field);
    let filled = form.filled(&form.answer());
    let (addresses, others): (Vec<_>, Vec<_>) = filled.values("who").partition(|value| *value != "@");
    assert_eq!((addresses.len(), others.len()), (1_334, 1_333));
    assert_eq!(addresses[1], format!("{local}1@a.example"));
}
