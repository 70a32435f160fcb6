//! Conversions from and to the `jid` package.
//!
//! All of them may fail, and may change the text: that package follows RFC 6122, which maps and allows other characters
//! than RFC 7622 does (RFC 7622 Appendix A). For ASCII addresses both agree.

use crate::{BareJid, FullJid, Jid, JidError};

macro_rules! convert {
    ($ours:ty, $theirs:ty) => {
        impl TryFrom<&$theirs> for $ours {
            type Error = JidError;

            fn try_from(jid: &$theirs) -> Result<Self, JidError> {
                Self::parse(jid.as_str())
            }
        }

        impl TryFrom<$theirs> for $ours {
            type Error = JidError;

            fn try_from(jid: $theirs) -> Result<Self, JidError> {
                Self::try_from(&jid)
            }
        }

        impl TryFrom<&$ours> for $theirs {
            type Error = ::jid::Error;

            fn try_from(jid: &$ours) -> Result<Self, ::jid::Error> {
                Self::new(jid.as_str())
            }
        }

        impl TryFrom<$ours> for $theirs {
            type Error = ::jid::Error;

            fn try_from(jid: $ours) -> Result<Self, ::jid::Error> {
                Self::try_from(&jid)
            }
        }
    };
}

convert!(Jid, ::jid::Jid);
convert!(BareJid, ::jid::BareJid);
convert!(FullJid, ::jid::FullJid);
