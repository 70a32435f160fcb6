//! What holds for every address and every text.

extern crate alloc;

use alloc::borrow::Cow;

use core::hash::{BuildHasher, Hash};

use balcony_jid::{BareJid, FullJid, Jid, JidRef, domainpart, localpart, resourcepart};
use hashbrown::{DefaultHashBuilder, HashMap};
use proptest::prelude::*;

/// Characters that some rule is about, so that texts of them meet many rules.
const CHARS: &str = "ab..--@@//AZ09_ \"&':<>[]%~\\\u{0}\u{7F}\u{85}\u{A0}\u{AD}\u{B7}l\u{C9}\u{E9}\u{DF}\u{1E9E}\u{130}\
    \u{300}\u{301}\u{338}=\u{3A3}\u{3C2}\u{3C3}\u{375}\u{387}\u{5D0}\u{5F3}\u{627}\u{628}\u{64E}\u{660}\u{6F0}\u{915}\u{94D}\
    \u{1100}\u{1161}\u{1680}\u{13A0}\u{AB70}\u{200B}\u{200C}\u{200D}\u{212A}\u{212B}\u{2126}\u{2163}\u{265A}\u{3000}\u{3002}\
    \u{30A2}\u{30FB}\u{3099}\u{4E00}\u{FB01}\u{FE0F}\u{FF0E}\u{FF0F}\u{FF20}\u{FF21}\u{FF61}\u{FF65}\u{FF76}\u{FF9E}\u{378}\
    \u{E000}\u{10FFFF}\u{1F600}\u{10400}";

fn odd(len: core::ops::Range<usize>) -> impl Strategy<Value = String> {
    let chars: Vec<char> = CHARS.chars().collect();
    let one = prop_oneof![3 => "[a-z]", 3 => proptest::sample::select(chars).prop_map(String::from), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(one, len).prop_map(|parts| parts.concat())
}

/// Texts: any, near-addresses, and plain addresses, of which many share their bare address.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        odd(0..12),
        (odd(1..5), odd(1..5), odd(1..5)).prop_map(|(l, d, r)| format!("{l}@{d}/{r}")),
        "[ab]{1,2}(@[ab.-]{1,3})?(/[a-bA @/-]{1,2})?",
        "([a-zA-Z]{1,3}@)?(xn--)?[a-zA-Z0-9.-]{1,12}(/[ -~]{1,4})?",
    ]
}

fn hash<T: Hash + ?Sized>(builder: &DefaultHashBuilder, value: &T) -> u64 {
    builder.hash_one(value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // RFC 7622 §3.2 [JD9], §3.5 [JL8]: the normal form is its own normal form
    #[test]
    fn normal_form_is_stable(text in text()) {
        let Ok(jid) = Jid::parse(&text) else { return Ok(()) };
        prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()));
        prop_assert_eq!(Jid::parse(&jid.to_string()), Ok(jid.clone()));
        prop_assert_eq!(Jid::parse_strict(jid.as_str()), Ok(jid.clone()));
        let parts = (jid.localpart(), jid.domainpart(), jid.resourcepart());
        prop_assert_eq!(Jid::from_parts(parts.0, parts.1, parts.2), Ok(jid.clone()));
        for part in [parts.0.map(localpart), Some(domainpart(parts.1)), parts.2.map(resourcepart)].into_iter().flatten() {
            prop_assert!(matches!(part, Ok(Cow::Borrowed(_))));
        }
    }

    // RFC 7622 §3.1 [J7]
    #[test]
    fn parts_keep_their_lengths(text in text()) {
        let Ok(jid) = Jid::parse(&text) else { return Ok(()) };
        for part in [jid.localpart(), Some(jid.domainpart()), jid.resourcepart()].into_iter().flatten() {
            prop_assert!((1..=1023).contains(&part.len()));
        }
        let (local, resource) = (jid.localpart().map(|l| format!("{l}@")), jid.resourcepart().map(|r| format!("/{r}")));
        let joined = [local.as_deref().unwrap_or(""), jid.domainpart(), resource.as_deref().unwrap_or("")].concat();
        prop_assert_eq!(jid.as_str(), joined);
    }

    #[test]
    fn borrowed_and_owned_agree(text in text()) {
        match (JidRef::parse(&text), Jid::parse(&text)) {
            (Ok(Some(borrowed)), Ok(owned)) => {
                prop_assert_eq!(borrowed, owned.as_ref());
                prop_assert_eq!(borrowed.as_str(), text.as_str());
                prop_assert_eq!(borrowed.to_owned(), owned.clone());
                prop_assert_eq!(
                    (borrowed.localpart(), borrowed.domainpart(), borrowed.resourcepart(), borrowed.bare_str()),
                    (owned.localpart(), owned.domainpart(), owned.resourcepart(), owned.bare_str())
                );
            }
            (Ok(None), Ok(owned)) => prop_assert_ne!(owned.as_str(), text),
            (Err(borrowed), Err(owned)) => prop_assert_eq!(borrowed, owned),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn bare_and_full_agree_with_jid(text in text(), resource in odd(0..4)) {
        let jid = Jid::parse(&text);
        let is = |full| jid.as_ref().is_ok_and(|jid| jid.is_full() == full);
        prop_assert_eq!(BareJid::parse(&text).is_ok(), is(false));
        prop_assert_eq!(FullJid::parse(&text).is_ok(), is(true));
        let Ok(jid) = jid else { return Ok(()) };
        let bare = jid.to_bare();
        prop_assert_eq!(BareJid::parse(jid.bare_str()), Ok(bare.clone()));
        prop_assert!(jid.same_bare(&bare.to_jid()));
        let full = bare.with_resource(&resource).map_err(|e| e.reason());
        prop_assert_eq!(&full, &FullJid::parse(&format!("{bare}/{resource}")).map_err(|e| e.reason()));
        let Ok(full) = full else { return Ok(()) };
        prop_assert_eq!(full.to_bare(), bare);
        prop_assert_eq!(full.to_jid().to_full(), Some(full.clone()));
        let jid = full.to_jid();
        prop_assert_eq!(Some(full.resourcepart()), jid.resourcepart());
    }

    #[test]
    fn equality_hash_and_order_agree(a in text(), b in text()) {
        let (Ok(a), Ok(b)) = (Jid::parse(&a), Jid::parse(&b)) else { return Ok(()) };
        let builder = DefaultHashBuilder::default();
        for (a, b) in [(&a, &b), (&a, &a.clone()), (&a.to_bare().to_jid(), &Jid::parse(a.bare_str())?)] {
            prop_assert_eq!(a == b, a.as_str() == b.as_str());
            prop_assert_eq!(a == b, a.cmp(b).is_eq());
            prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
            prop_assert_eq!(a == b, hash(&builder, a) == hash(&builder, b));
            prop_assert_eq!(hash(&builder, a), hash(&builder, &a.as_ref()));
        }
        // What `Borrow<str>` promises.
        let (a, b) = (a.to_bare(), b.to_bare());
        prop_assert_eq!(a == b, a.as_str() == b.as_str());
        prop_assert_eq!(a.cmp(&b), a.as_str().cmp(b.as_str()));
        prop_assert_eq!(hash(&builder, &a), hash(&builder, a.as_str()));
    }

    #[test]
    fn order_keeps_resources_beside_their_bare_address(texts in prop::collection::vec(text(), 0..24)) {
        let mut jids: Vec<Jid> = texts.iter().filter_map(|text| Jid::parse(text).ok()).collect();
        let all = jids.iter().flat_map(|jid| [jid.to_bare().to_jid(), jid.clone()]).collect::<Vec<_>>();
        jids.extend(all);
        jids.sort();
        let mut seen = Vec::new();
        for group in jids.chunk_by(Jid::same_bare) {
            prop_assert!(group[0].is_bare());
            prop_assert!(!seen.contains(&group[0].bare_str()), "{:?} is in two places", group[0].bare_str());
            seen.push(group[0].bare_str());
        }
    }

    #[test]
    fn maps_of_bare_addresses_take_text(texts in prop::collection::vec(text(), 0..8)) {
        let jids: Vec<Jid> = texts.iter().filter_map(|text| Jid::parse(text).ok()).collect();
        let map: HashMap<BareJid, usize> = jids.iter().enumerate().map(|(i, jid)| (jid.to_bare(), i)).collect();
        for jid in &jids {
            prop_assert!(map.get(jid.bare_str()).is_some_and(|&i| jids[i].same_bare(jid)));
        }
    }
}

// A string order would put `a@b-c` between `a@b` and `a@b/r`.
#[test]
fn order_is_not_that_of_the_text() {
    let mut jids = ["a@b/r", "a@b.c", "a@b-c", "a@b"].map(|text| Jid::parse(text).expect(text));
    jids.sort();
    assert_eq!(jids.map(|jid| jid.to_string()), ["a@b", "a@b/r", "a@b-c", "a@b.c"]);
}

// Every character alone in each part: no panic, a stable normal form.
#[test]
fn every_character() {
    type Enforce = fn(&str) -> Result<Cow<'_, str>, balcony_jid::JidError>;
    let mut buffer = [0; 4];
    for c in '\0'..=char::MAX {
        for enforce in [localpart as Enforce, domainpart, resourcepart] {
            let Ok(normal) = enforce(c.encode_utf8(&mut buffer)) else { continue };
            assert_eq!(enforce(&normal).as_ref(), Ok(&normal), "{c:?}");
        }
    }
}
