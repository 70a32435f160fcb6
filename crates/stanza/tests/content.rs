//! What messages say, as it is written and as others write it.

#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::Seed;
use balcony_stanza::{Content, MessageType, Stanza, Texts, Thread};
use common::{valid, wire};
use proptest::prelude::*;

fn read(attrs: &str, content: &str) -> Content {
    Content::read(&valid(&format!("<message{attrs}>{content}</message>")))
}

fn list(texts: &Texts) -> Vec<(&str, &str)> {
    texts.iter().collect()
}

// RFC 6121 §5.2.3, §5.2.4 [M5] message-body message-subject
#[test]
fn of_each_language_the_first_counts() {
    for name in ["body", "subject"] {
        let content = read(
            " xml:lang='en'",
            &format!(
                "<{name} xmlns='urn:a'>not this</{name}><{name}>one</{name}><{name} xml:lang='EN'>two</{name}>\
                 <{name} xml:lang='de' a='b'>eins<b xmlns='urn:b'>fett</b>!</{name}><{name} xml:lang=''>?</{name}>"
            ),
        );
        let (texts, others) = match name {
            "body" => (&content.bodies, &content.subjects),
            _ => (&content.subjects, &content.bodies),
        };
        assert_eq!(list(texts), [("en", "one"), ("de", "eins!"), ("", "?")]);
        assert_eq!(list(others), []);
    }
}

// RFC 6121 §5.2.5 [M6] message-thread
#[test]
fn there_is_one_thread_and_it_is_not_its_own_parent() {
    let thread = |xml| read("", xml).thread;
    assert_eq!(thread("<thread> A b</thread><thread>2</thread>"), Thread::new(" A b"));
    assert_ne!(thread("<thread>A</thread>"), thread("<thread>a</thread>"));
    assert_eq!(thread("<thread parent='a'>a</thread>"), Thread::new("a"));
    assert_eq!(thread("<thread parent='b'>a</thread>").unwrap().parent(), Some("b"));
    assert_eq!(thread("<thread/>"), None);
    assert_eq!(Thread::new("a").unwrap().with_parent("a").parent(), None);
    let (mut one, mut two) = (Seed::from_u64(1).random(), Seed::from_u64(2).random());
    let threads = [Thread::random(&mut one), Thread::random(&mut one), Thread::random(&mut two)];
    assert!(threads[0] != threads[1] && threads[0] != threads[2] && threads[0].id().len() >= 22);
}

#[test]
fn the_best_language_is_the_nearest() {
    let mut texts = Texts::default();
    assert_eq!(texts.best("de"), None);
    for lang in ["fr", "de-CH", "de", "pt-BR"] {
        texts.set(lang, lang);
    }
    for (wanted, best) in [
        ("de-ch", "de-CH"),
        ("de-CH-1996", "de-CH"),
        ("de-AT", "de"),
        ("pt", "pt-BR"),
        ("p", "fr"),
        ("ja", "fr"),
        ("", "fr"),
    ] {
        assert_eq!(texts.best(wanted), Some(best), "{wanted}");
    }
    texts.set("", "any");
    assert_eq!(texts.best("ja"), Some("any"));
    texts.set("DE", "new");
    assert_eq!((texts.get("de"), texts.iter().len()), (Some("new"), 5));
}

#[test]
fn content_is_bounded_and_shown_to_nobody() {
    let mut texts = Texts::default();
    (0..1000).for_each(|number| texts.set(&format!("x-{number}"), "my secret"));
    assert_eq!(texts.iter().len(), 64);
    assert!(!format!("{texts:?}").contains("secret"));
}

fn texts() -> impl Strategy<Value = Texts> {
    let text = "[a-z<>&'\" \t\n\r\u{e9}\u{1f600}]{0,8}";
    prop::collection::vec(("|de|DE|de-CH|en", text), 0..5).prop_map(|all| {
        let mut texts = Texts::default();
        all.iter().for_each(|(lang, text)| texts.set(lang, text));
        texts
    })
}

prop_compose! {
    fn content()(
        bodies in texts(),
        subjects in texts(),
        thread in prop::option::of(("[a-b<&'\n]{1,2}", "[a-b<&'\n]{0,2}")),
    ) -> Content {
        let thread = thread.map(|(id, parent)| Thread::new(&id).unwrap().with_parent(&parent));
        Content { bodies, subjects, thread }
    }
}

proptest! {
    // RFC 6121 §5.2.3, §5.2.4, §5.2.5 [M5] [M6]: what is written is in order, and is read as it was.
    #[test]
    fn content_is_read_as_it_was_written(content in content(), lang in "|de|fr") {
        let mut stanza = Stanza::message(MessageType::Chat).with_payload(content.to_payload());
        prop_assert_eq!(Content::read(&stanza), content.clone());
        prop_assert_eq!(Content::read(&valid(&wire(&stanza))), content.clone());
        // Under whatever language a server puts it, no two texts are of the same one.
        stanza.head.lang = Some(lang.into());
        let read = Content::read(&stanza);
        prop_assert_eq!(read.bodies.iter().len(), content.bodies.iter().len());
        prop_assert_eq!(read.subjects.iter().len(), content.subjects.iter().len());
        prop_assert_eq!(read.thread, content.thread.clone());
        prop_assert!(content.thread.is_none_or(|thread| thread.parent() != Some(thread.id())));
    }
}
