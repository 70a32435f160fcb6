//! Tricky documents, and what this crate and `rxml` say of each, as lines `name TAB hex TAB ours TAB rxml`.
//!
//! `cargo xtask parsers` puts beside it what expat and libxml2 say. A document is a whole stream here: a header, what is
//! in question, and the closing tag.

use core::fmt::Write as _;

use balcony_machine::XmlLimits;
use balcony_xml::{Reader, Token};
use rxml::Parse as _;

/// The stream that the documents are in, unless they are streams themselves.
const OPEN: &str = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
const CLOSE: &str = "</s:stream>";

fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let mut documents = Vec::new();
    let inside: &[(&str, &str)] = &[
        ("an empty stanza", "<message/>"),
        ("text and a child", "<message><body>hi</body></message>"),
        ("white space between stanzas", " \n\t<message/>\r\n"),
        ("the five predefined entities", "<a>&lt;&gt;&amp;&quot;&apos;</a>"),
        ("a decimal character reference", "<a>&#9786;</a>"),
        ("a hexadecimal character reference", "<a>&#x263A;</a>"),
        ("a reference to U+0000", "<a>&#0;</a>"),
        ("a reference to U+0001", "<a>&#1;</a>"),
        ("a reference to a surrogate", "<a>&#xD800;</a>"),
        ("a reference to U+FFFE", "<a>&#xFFFE;</a>"),
        ("a reference past U+10FFFF", "<a>&#x110000;</a>"),
        ("an entity that nobody declared", "<a>&nbsp;</a>"),
        ("an ampersand alone", "<a>fish & chips</a>"),
        ("a comment", "<a><!-- psst --></a>"),
        ("a comment between stanzas", "<!-- psst -->"),
        ("a processing instruction", "<a><?php echo 1 ?></a>"),
        ("a CDATA section", "<a><![CDATA[<b>&amp;]]></a>"),
        ("an empty CDATA section", "<a><![CDATA[]]></a>"),
        ("a CDATA section between stanzas", "<![CDATA[x]]>"),
        ("]]> in text", "<a>]]></a>"),
        ("> in text", "<a>1 > 0</a>"),
        ("< in an attribute value", "<a b='<'/>"),
        ("> in an attribute value", "<a b='>'/>"),
        ("a line feed in an attribute value", "<a b='1\n2'/>"),
        ("a carriage return in an attribute value", "<a b='1\r2'/>"),
        ("an attribute twice", "<a b='1' b='2'/>"),
        ("an attribute twice by two prefixes", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>"),
        ("an attribute without quotes", "<a b=1/>"),
        ("an attribute without value", "<a b/>"),
        ("no space between attributes", "<a b='1'c='2'/>"),
        ("the default namespace twice", "<a xmlns='u' xmlns='v'/>"),
        ("a prefix declared twice", "<a xmlns:p='u' xmlns:p='v'/>"),
        ("a prefix that is not declared", "<p:a/>"),
        ("an attribute prefix that is not declared", "<a p:b='1'/>"),
        ("a prefix declared for nothing", "<a xmlns:p=''/>"),
        ("the prefix xml declared for another namespace", "<a xmlns:xml='u'/>"),
        (
            "the prefix xml declared for its own namespace",
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        ),
        ("another prefix for the namespace of xml", "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>"),
        ("the prefix xmlns declared", "<a xmlns:xmlns='u'/>"),
        ("a prefix for the namespace of xmlns", "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>"),
        ("xml:lang", "<a xml:lang='cs'/>"),
        ("two colons in a name", "<a:b:c xmlns:a='u'/>"),
        ("a name that begins with a colon", "<:a/>"),
        ("a name that begins with a digit", "<1a/>"),
        ("a name outside of ASCII", "<pokoj-\u{17e}/>"),
        ("an end tag with white space", "<a></a >"),
        ("an end tag with an attribute", "<a></a b='1'>"),
        ("the wrong end tag", "<a></b>"),
        ("the right end tag by another prefix", "<p:a xmlns:p='u' xmlns:q='u'></q:a>"),
        ("space before a name", "< a/>"),
        ("text between stanzas", "hello"),
        ("U+FEFF in text", "<a>\u{feff}</a>"),
        ("U+FFFF in text", "<a>\u{ffff}</a>"),
        ("U+0001 in text", "<a>\u{1}</a>"),
        ("U+0085 in text", "<a>\u{85}</a>"),
        ("an XML declaration in the middle", "<?xml version='1.0'?><a/>"),
    ];
    for (name, text) in inside {
        documents.push((*name, format!("{OPEN}{text}{CLOSE}").into_bytes()));
    }
    let whole: &[(&str, &[u8])] = &[
        ("an XML declaration", b"<?xml version='1.0'?><s xmlns='u'/>"),
        ("standalone='yes'", b"<?xml version='1.0' standalone='yes'?><s xmlns='u'/>"),
        ("encoding='UTF-8'", b"<?xml version='1.0' encoding='UTF-8'?><s xmlns='u'/>"),
        ("encoding='ISO-8859-1'", b"<?xml version='1.0' encoding='ISO-8859-1'?><s xmlns='u'/>"),
        ("XML 1.1", b"<?xml version='1.1'?><s xmlns='u'/>"),
        ("white space before the declaration", b" <?xml version='1.0'?><s xmlns='u'/>"),
        ("a byte-order mark", b"\xef\xbb\xbf<s xmlns='u'/>"),
        ("a document type declaration", b"<!DOCTYPE s><s xmlns='u'/>"),
        ("entities that grow", b"<!DOCTYPE s [<!ENTITY a 'xx'><!ENTITY b '&a;&a;'>]><s xmlns='u'>&b;</s>"),
        ("UTF-16", b"\xff\xfe<\0s\0/\0>\0"),
        ("bytes that are no UTF-8", b"<s xmlns='u'>\xff\xfe</s>"),
        ("an overlong form in UTF-8", b"<s xmlns='u'>\xc0\xaf</s>"),
        ("a surrogate in UTF-8", b"<s xmlns='u'>\xed\xa0\x80</s>"),
        ("two roots", b"<s xmlns='u'/><s xmlns='u'/>"),
    ];
    documents.extend(whole.iter().map(|(name, bytes)| (*name, bytes.to_vec())));
    documents
}

fn ours(document: &[u8]) -> String {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut input = document;
    loop {
        match reader.read(&mut input) {
            Ok(Some(Token::End)) if input.is_empty() => return "accepts".into(),
            // What follows the closing tag is taken and ignored (RFC 6120 section 4.4).
            Ok(Some(Token::End)) => return "accepts, and ignores the rest".into(),
            Ok(Some(_)) => {}
            Ok(None) => return "wants more".into(),
            Err(error) => return format!("refuses: {error}"),
        }
    }
}

fn rxml(document: &[u8]) -> String {
    let mut parser = rxml::Parser::default();
    let mut input = document;
    loop {
        match parser.parse(&mut input, true) {
            Ok(Some(_)) => {}
            Ok(None) => return "accepts".into(),
            Err(rxml::error::EndOrError::NeedMoreData) => return "wants more".into(),
            Err(rxml::error::EndOrError::Error(error)) => return format!("refuses: {error}"),
        }
    }
}

fn main() {
    for (name, document) in documents() {
        let hex = document.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        println!("{name}\t{hex}\t{}\t{}", ours(&document), rxml(&document));
    }
}
