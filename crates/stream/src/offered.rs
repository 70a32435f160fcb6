//! What a server has announced (RFC 6120 section 4.3.2), for those who only look at it: a stream that
//! [looks](crate::client::ClientStreamConfig::look) gets as far as the features under TLS, and no further.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::ns;
use balcony_xml::ElementRef;

use crate::common::Common;
use crate::feature::{external, sasl, sasl2, starttls};

/// Names that are kept of one list; a server may send more.
const MOST: usize = 64;

/// The features that a server has announced last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// They came under the protection of TLS.
    pub under_tls: bool,
    /// STARTTLS (section 5.4.1).
    pub starttls: bool,
    /// The mechanisms of SASL in the profile of RFC 6120, in their order: 64 at most, here and below.
    pub mechanisms: Vec<String>,
    /// Those of SASL2 (XEP-0388).
    pub sasl2: Vec<String>,
    /// The types of channel binding (XEP-0440).
    pub channel_bindings: Vec<String>,
    /// SASL EXTERNAL, which a server offers when it believes the certificate that it was shown (XEP-0178).
    pub external: bool,
    /// Dialback (XEP-0220 section 2.3). Servers speak it without saying so, too.
    pub dialback: bool,
    /// Streams for both ways (XEP-0288).
    pub bidi: bool,
    /// Registration of accounts (XEP-0077).
    pub registration: bool,
}

impl Offered {
    /// The features that have just come.
    pub(crate) fn read(common: &Common) -> Offered {
        let features = common.reader.element();
        let names = |offer: Option<ElementRef<'_>>| -> Vec<String> {
            let names = offer.into_iter().flat_map(sasl::mechanisms);
            names.take(MOST).map(Cow::into_owned).collect()
        };
        let bindings = features.child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING);
        let bindings = bindings.into_iter().flat_map(|list| list.children());
        Offered {
            under_tls: common.is_secured,
            starttls: starttls::is_offered(features),
            mechanisms: names(sasl::offer(features)),
            sasl2: names(sasl2::offer(features)),
            channel_bindings: bindings
                .filter_map(|binding| binding.attr("type").map(String::from))
                .take(MOST)
                .collect(),
            external: sasl::offer(features).is_some_and(external::is_offered),
            dialback: features.child("dialback", ns::DIALBACK_FEATURE).is_some(),
            bidi: features.child("bidi", ns::BIDI_FEATURE).is_some(),
            registration: features.child("register", balcony_xep::register::FEATURE).is_some(),
        }
    }
}
