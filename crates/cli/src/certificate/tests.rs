//! Certificates in data folders, over the years.

use std::os::unix::fs::PermissionsExt as _;

use balcony_tls::Authority;

use super::development::{AUTHORITY_KEY, KEY, RENEWAL};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn folder() -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data: Some(folder.path().into()), ..Settings::default() };
    (folder, settings)
}

fn domains(names: &[&str]) -> Vec<BareJid> {
    names.iter().map(|name| BareJid::parse(name).unwrap()).collect()
}

fn content(folder: &tempfile::TempDir) -> Vec<Vec<u8>> {
    let read = |name| std::fs::read(folder.path().join(name)).unwrap_or_default();
    [AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY].map(read).into()
}

#[test]
fn the_development_certificate_is_made_once_and_its_keys_are_private() {
    let (folder, settings) = folder();
    let (now, names) = (SystemTime::now(), domains(&["example.org", "localhost"]));
    let first = Certificate::of(&settings, &names, now).unwrap();
    assert_eq!((first.made, first.lacks(&names).len()), (Made::Authority, 0));
    assert_eq!(first.trust, Some(folder.path().join(AUTHORITY)));
    assert!(!first.is_self_signed() && days_left(&first.config, now).is_none());
    for (name, expected) in [(AUTHORITY, 0o644), (AUTHORITY_KEY, 0o600), (CERTIFICATE, 0o644), (KEY, 0o600)] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
    let before = content(&folder);
    let second = Certificate::of(&settings, &names[1..], now + 366 * DAY).unwrap();
    assert_eq!((second.made, content(&folder)), (Made::Nothing, before));
}

#[test]
fn it_is_renewed_before_it_ends_and_the_authority_stays() {
    let (folder, settings) = folder();
    let (now, names) = (SystemTime::now(), domains(&["example.org"]));
    Certificate::of(&settings, &names, now).unwrap();
    let before = content(&folder);
    assert!(Certificate::renewed(&settings, &names, now + 366 * DAY).unwrap().is_none());
    assert_eq!(content(&folder), before);

    let later = now + 368 * DAY;
    let renewed = Certificate::renewed(&settings, &names, later).unwrap().unwrap();
    assert_eq!((renewed.made, days_left(&renewed.config, later)), (Made::Certificate, None));
    let after = content(&folder);
    assert_ne!(after[2], before[2]);
    assert_eq!((&after[..2], &after[3]), (&before[..2], &before[3]), "keys and authority stay");

    // For a domain that has come, too.
    let more = domains(&["example.org", "example.net"]);
    let other = Certificate::of(&settings, &more, later).unwrap();
    assert_eq!((other.made, other.lacks(&more).len()), (Made::Certificate, 0));
    assert_eq!(content(&folder)[..2], before[..2]);
    // And where somebody has moved it away.
    std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
    std::fs::remove_file(folder.path().join(KEY)).unwrap();
    assert_eq!(Certificate::of(&settings, &names, now).unwrap().made, Made::Certificate);
    assert_eq!(content(&folder)[..2], before[..2]);
}

/// The dates of a certificate in the folder.
fn validity(folder: &tempfile::TempDir, name: &str) -> core::ops::Range<u64> {
    validity_of(&std::fs::read(folder.path().join(name)).unwrap())
}

/// Nobody who looks at the dates, which not all do of an authority, finds anything wrong.
fn is_good(folder: &tempfile::TempDir, now: SystemTime) -> bool {
    let [authority, own] = [AUTHORITY, CERTIFICATE].map(|name| validity(folder, name));
    authority.contains(&seconds(now)) && own.contains(&seconds(now)) && own.end <= authority.end
}

fn of_2026() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_700 * DAY
}

// RFC 5280 §6.1.3 (a)(2): all that stands between a trust anchor and a server has to be valid, and many look at the anchor, too.
#[test]
fn an_authority_does_not_outlive_itself() {
    let (names, made) = (domains(&["example.org"]), of_2026());
    for days in [3_700, 3_652, 3_623, 3_300] {
        let (folder, settings) = folder();
        Certificate::of(&settings, &names, made).unwrap();
        let (before, later) = (content(&folder), made + days * DAY);
        let renewed = match days {
            // It ends before what it would sign, and is not waited for.
            3_300 => Certificate::of(&settings, &names, later),
            _ => Certificate::again(&settings, &names, later),
        };
        let end = validity_of(&before[0]).end;
        let expected = if days > 3_651 { Outdated::Ended(end) } else { Outdated::EndsSoon(end) };
        assert_eq!(renewed.unwrap().made, Made::Renewed(expected));
        assert!(is_good(&folder, later));
        let after = content(&folder);
        assert_eq!((&after[1], &after[3]), (&before[1], &before[3]), "the keys stay");
        assert_eq!(Certificate::of(&settings, &names, later).unwrap().made, Made::Nothing);
    }
    // It ends soon, and what it has signed does not.
    let (folder, settings) = folder();
    Certificate::of(&settings, &names, made).unwrap();
    let authority = |file| std::fs::read_to_string(folder.path().join(file)).unwrap();
    let (pem, key) = (authority(AUTHORITY), authority(AUTHORITY_KEY));
    let later = made + 3_640 * DAY;
    let (leaf, key) = Authority::from_pem(&pem, &key).unwrap().issue(&["example.org"], None, later).unwrap();
    std::fs::write(folder.path().join(CERTIFICATE), leaf).unwrap();
    std::fs::write(folder.path().join(KEY), key.expose()).unwrap();
    let renewed = Certificate::renewed(&settings, &names, later).unwrap().unwrap();
    assert!(matches!(renewed.made, Made::Renewed(Outdated::EndsSoon(_))), "{:?}", renewed.made);
    assert!(is_good(&folder, later + RENEWAL));
}

fn validity_of(pem: &[u8]) -> core::ops::Range<u64> {
    balcony_tls::CertificateDetails::read_pem(pem).unwrap().validity
}

#[test]
fn what_a_clock_that_was_ahead_has_made_is_made_anew() {
    let (names, now) = (domains(&["example.org"]), of_2026());
    for ahead in [10, 300, 3_650] {
        // The server itself, or the authority as well.
        for both in [false, true] {
            let (folder, settings) = folder();
            if !both {
                Certificate::of(&settings, &names, now).unwrap();
                std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
                std::fs::remove_file(folder.path().join(KEY)).unwrap();
            }
            Certificate::of(&settings, &names, now + ahead * DAY).unwrap();
            assert!(!is_good(&folder, now));
            let before = content(&folder);
            let made = Certificate::renewed(&settings, &names, now).unwrap().unwrap().made;
            assert!(is_good(&folder, now));
            let is_authority = matches!(made, Made::Renewed(Outdated::NotYetValid(_)));
            assert_eq!(is_authority, both || ahead == 3_650, "{made:?}");
            assert_eq!([&content(&folder)[1], &content(&folder)[3]], [&before[1], &before[3]]);
        }
    }
    // A day is nothing.
    let (_folder, settings) = folder();
    Certificate::of(&settings, &names, now).unwrap();
    assert!(Certificate::renewed(&settings, &names, now - DAY / 2).unwrap().is_none());
}

#[test]
fn a_clock_that_is_not_set_makes_what_is_missing_and_nothing_anew() {
    let (names, now) = (domains(&["example.org"]), of_2026());
    let unset =
        [SystemTime::UNIX_EPOCH - 400 * DAY, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + 40 * DAY];
    for unset in unset {
        let (folder, settings) = folder();
        let first = Certificate::of(&settings, &names, unset).unwrap();
        assert_eq!(first.made, Made::Authority);
        assert!(is_good(&folder, unset.max(SystemTime::UNIX_EPOCH)));
        assert!(Certificate::renewed(&settings, &names, unset).unwrap().is_none());
        // It is set while the server runs, or is told to read all again.
        let made = Certificate::again(&settings, &names, now).unwrap().made;
        assert!(matches!(made, Made::Renewed(Outdated::Ended(_))), "{made:?}");
        assert!(is_good(&folder, now));
        // The next start of the machine is in 1970 again: what there is has been given to clients, and is good for those that know the time.
        let before = content(&folder);
        assert_eq!(Certificate::of(&settings, &names, unset).unwrap().made, Made::Nothing);
        assert_eq!(content(&folder), before);
    }
}

// Whoever has put their own authority there renews it.
#[test]
fn an_authority_that_was_not_made_here_stays() {
    let (folder, settings) = folder();
    let (names, now) = (domains(&["example.org"]), of_2026());
    let mut params = rcgen::CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = (now + 100 * DAY).into();
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.path().join(AUTHORITY), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.path().join(AUTHORITY_KEY), key.serialize_pem()).unwrap();
    for days in [0, 99] {
        assert!(Certificate::of(&settings, &names, now + days * DAY).is_ok());
        let before = content(&folder);
        assert_eq!(Certificate::of(&settings, &names, now + days * DAY).unwrap().made, Made::Nothing);
        assert_eq!(content(&folder), before);
    }
}

#[test]
fn one_that_is_its_own_authority_is_kept_until_it_ends() {
    let (folder, settings) = folder();
    let (now, names) = (SystemTime::now(), domains(&["example.org"]));
    let (certificate, key) = balcony_tls::self_signed(&["example.org"]).unwrap();
    std::fs::write(folder.path().join(CERTIFICATE), &certificate).unwrap();
    std::fs::write(folder.path().join(KEY), key.expose()).unwrap();
    let before = content(&folder);
    let kept = Certificate::of(&settings, &domains(&["example.net"]), now).unwrap();
    assert_eq!((kept.made, kept.lacks(&names).len()), (Made::Nothing, 0));
    assert!(kept.is_self_signed());
    assert_eq!(kept.trust, Some(folder.path().join(CERTIFICATE)));
    assert!(Certificate::renewed(&settings, &names, now + 3_640 * DAY).unwrap().is_none());
    assert_eq!(content(&folder), before);

    let replaced = Certificate::of(&settings, &names, now + 3_653 * DAY).unwrap();
    assert_eq!((replaced.made, replaced.is_self_signed()), (Made::Authority, false));
    assert_eq!(replaced.trust, Some(folder.path().join(AUTHORITY)));
}

#[test]
fn what_others_have_signed_stays() {
    let (folder, settings) = folder();
    let (now, names) = (SystemTime::now(), domains(&["example.org"]));
    Certificate::of(&settings, &names, now).unwrap();
    let (certificate, key) = Authority::new(now).unwrap().issue(&["example.org"], None, now).unwrap();
    std::fs::write(folder.path().join(CERTIFICATE), &certificate).unwrap();
    std::fs::write(folder.path().join(KEY), key.expose()).unwrap();
    let before = content(&folder);
    let later = now + 500 * DAY;
    let kept = Certificate::of(&settings, &domains(&["example.net"]), later).unwrap();
    assert_eq!(
        (kept.made, kept.trust.clone(), days_left(&kept.config, later)),
        (Made::Nothing, None, Some(0))
    );
    assert!(Certificate::renewed(&settings, &names, later).unwrap().is_none());
    assert_eq!(content(&folder), before);
}

#[test]
fn without_the_key_of_the_authority_the_certificate_is_used_and_not_renewed() {
    let (folder, settings) = folder();
    let (now, names) = (SystemTime::now(), domains(&["example.org"]));
    Certificate::of(&settings, &names, now).unwrap();
    std::fs::remove_file(folder.path().join(AUTHORITY_KEY)).unwrap();
    let kept = Certificate::of(&settings, &names, now + 390 * DAY).unwrap();
    assert_eq!((kept.made, days_left(&kept.config, now + 390 * DAY)), (Made::Nothing, Some(6)));
    assert_eq!(days_left(&kept.config, now + 380 * DAY), None);
    std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
    std::fs::remove_file(folder.path().join(KEY)).unwrap();
    let failure = Certificate::of(&settings, &names, now).err().unwrap();
    assert!(failure.message().contains("ca.pem away, too, and the next start makes a new"), "{failure}");
}

#[test]
fn half_a_pair_is_not_overwritten() {
    let (folder, settings) = folder();
    std::fs::write(folder.path().join(KEY), "mine").unwrap();
    let failure = Certificate::of(&settings, &[], SystemTime::now()).err().unwrap();
    assert!(failure.message().starts_with("cannot read the certificate "), "{failure}");
    assert!(
        failure.message().contains("key.pem away, too, and the next start makes a new pair"),
        "{failure}"
    );
    assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"mine");
}

// That the certificate itself has ended is said elsewhere; that one between it and its authority has would be said by nobody.
#[test]
fn one_that_is_sent_with_it_and_has_ended_is_a_reason() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    let authority = |name: &str, end: i32| {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_after = date_time_ymd(end, 1, 1);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("the root", 4000), key()).unwrap();
    let trust = TlsTrust::builder().roots_pem(root.as_ref().pem().as_bytes()).unwrap().build().unwrap();
    let (folder, names) = (tempfile::tempdir().unwrap(), domains(&["example.org"]));
    let (cert, path) = (folder.path().join("full.pem"), folder.path().join("own.pem"));
    let settings = Settings { cert: Some(cert.clone()), key: Some(path.clone()), ..Settings::default() };
    for (of_between, of_own, is_said) in [(2020, 4000, true), (4000, 4000, false), (4000, 2020, false)] {
        let between = CertifiedIssuer::signed_by(authority("one between", of_between), key(), &root).unwrap();
        let mut params = CertificateParams::new(["example.org".to_owned()]).unwrap();
        params.not_after = date_time_ymd(of_own, 1, 1);
        let own = key();
        let signed = params.signed_by(&own, &between).unwrap();
        std::fs::write(&cert, signed.pem() + &between.as_ref().pem()).unwrap();
        std::fs::write(&path, own.serialize_pem()).unwrap();
        let certificate = Certificate::of(&settings, &names, SystemTime::now()).unwrap();
        let refused = certificate.refusals(&names, &trust);
        assert_eq!(refused.len(), usize::from(is_said), "{of_between} {of_own}");
        if let [Refused { refusal, fault, .. }] = &refused[..] {
            assert_eq!(*refusal, Refusal::Expired);
            assert!(fault.says.contains("sent with it"), "{}", fault.says);
        }
    }
}
