//! Conversions from and to the `jid` package.
#![cfg(feature = "jid")]

use balcony_jid::{BareJid, FullJid, Jid, JidError, Reason};

#[test]
fn there_and_back() -> Result<(), Box<dyn core::error::Error>> {
    for text in ["example.com", "juliet@example.com", "juliet@example.com/Balcony"] {
        let ours = Jid::parse(text)?;
        let theirs = jid::Jid::try_from(&ours)?;
        assert_eq!(theirs.as_str(), text);
        assert_eq!(Jid::try_from(theirs)?, ours);
    }
    let ours = FullJid::parse("juliet@example.com/Balcony")?;
    let theirs = jid::FullJid::try_from(&ours)?;
    assert_eq!(FullJid::try_from(&theirs)?, ours);
    let (ours, theirs) = (ours.into_bare(), theirs.into_bare());
    assert_eq!(BareJid::try_from(&theirs)?, ours);
    assert_eq!(jid::BareJid::try_from(ours)?, theirs);
    Ok(())
}

// RFC 7622 Appendix A
#[test]
fn what_only_one_side_accepts() -> Result<(), Box<dyn core::error::Error>> {
    let only_theirs = jid::Jid::new("a_b.example")?;
    assert_eq!(Jid::try_from(only_theirs).map_err(|e: JidError| e.reason()), Err(Reason::Forbidden('_')));
    #[cfg(feature = "unicode")]
    assert!(jid::Jid::try_from(Jid::parse("room@example.com/\u{1F600}")?).is_err());
    Ok(())
}
