//! Inputs that parsers disagree about, each with its verdict. Every one is read whole and byte by byte.

use balcony_machine::XmlLimits;
use balcony_xml::ReadError::{BadNamespace, Encoding, NotWellFormed, Restricted, StrayText};
use balcony_xml::{Element, ReadError, Reader, Token};

const HEADER: &str =
    "<?xml version='1.0'?><s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>";

/// Everything that a reader says about an input.
fn read(input: &[u8], chunk: usize) -> Result<Vec<Token>, ReadError> {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut tokens = Vec::new();
    for mut chunk in input.chunks(chunk) {
        while let Some(token) = reader.read(&mut chunk)? {
            tokens.push(token);
        }
        assert!(chunk.is_empty());
    }
    Ok(tokens)
}

/// The verdict, the same for every chunk size; `Ok(true)` if the input ends with a complete token.
fn verdict(input: &[u8]) -> Result<Vec<Token>, ReadError> {
    let whole = read(input, usize::MAX);
    for chunk in 1..8 {
        assert_eq!(read(input, chunk), whole, "in chunks of {chunk}: {}", String::from_utf8_lossy(input));
    }
    whole
}

fn kind(error: ReadError) -> &'static str {
    match error {
        NotWellFormed(_) => "not-well-formed",
        Restricted(_) => "restricted",
        Encoding => "encoding",
        BadNamespace(_) => "namespace",
        StrayText => "stray",
        ReadError::TooLong => "long",
        ReadError::TooDeep => "deep",
        ReadError::TooManyAttributes => "attributes",
        ReadError::TooManyNodes => "nodes",
        ReadError::NoMemory => "memory",
    }
}

fn check(what: &str, prefix: &str, table: &[(&[u8], &str)]) {
    for (input, expected) in table {
        let input = [prefix.as_bytes(), input].concat();
        let verdict = verdict(&input);
        let text = String::from_utf8_lossy(&input);
        match verdict {
            Ok(tokens) => assert_eq!(
                format!("{:?}", tokens.last()),
                format!("Some({expected})"),
                "{what}: {text}: tokens {tokens:?}"
            ),
            Err(error) => assert_eq!(kind(error), *expected, "{what}: {text}: {error}"),
        }
    }
}

// RFC 6120 §11.1, §11.3-11.6 rfc6120.md [X1] [X3] [X5] [X6] [X7] [X9]; §4.4 §4.6
#[test]
fn before_and_at_the_header() {
    check(
        "header",
        "",
        &[
            (b"<s>", "Header"),
            (b"  \r\n\t<s>", "Header"),
            (b"<?xml version='1.0'?><s>", "Header"),
            (b"<?xml version=\"1.0\" ?>\r\n<s>", "Header"),
            (b"<?xml version='1.0' encoding='UTF-8'?><s>", "Header"),
            (b"<?xml version='1.0' encoding='utf-8'?> <s>", "Header"),
            (b"<?xml version='1.0' encoding='utf-8' standalone='yes'?><s>", "Header"),
            (b"<s/>", "End"),
            (b"<s></s>", "End"),
            (b"<s></s>anything <!-- at all --> \xff", "End"),
            (b"<s:s xmlns:s='u' xmlns=''>", "Header"),
            (b"<?xml version='1.0' encoding='utf-8' standalone='no'?><s>", "restricted"),
            (b"<?xml version='1.1'?><s>", "restricted"),
            (b"<?xml version='1.0' encoding='UTF-16'?><s>", "encoding"),
            (b"<?xml version='1.0' encoding='ISO-8859-1'?><s>", "encoding"),
            (b"\xff\xfe<\0s\0>\0", "encoding"),
            (b"\xfe\xff\0<\0s\0>", "encoding"),
            (b"<\0s\0>\0", "encoding"),
            (b"\0<\0s\0>", "encoding"),
            (b" <?xml version='1.0'?><s>", "not-well-formed"),
            (b"\r\n<?xml version='1.0'?><s>", "not-well-formed"),
            (b"\xef\xbb\xbf<s>", "not-well-formed"),
            (b"<?xml?><s>", "not-well-formed"),
            (b"<?xml version='1.0' standalone='yes'?><s>", "restricted"),
            (b"<?xml encoding='UTF-8'?><s>", "not-well-formed"),
            (b"<?xml version='1.0' encoding='utf-8' standalone='YES'?><s>", "restricted"),
            (b"<?xml version='1.0' encoding='utf-8' standalone='yes' x='y'?><s>", "not-well-formed"),
            (b"<?xml version='1&#46;0'?><s>", "not-well-formed"),
            (b"<?xml version='1.0'encoding='utf-8'?><s>", "not-well-formed"),
            (b"<?xml version='1.0' ? ><s>", "not-well-formed"),
            (b"<?xml version = '1.0'\n?><s>", "Header"),
            (b"<?xml version='1.0'?><?xml version='1.0'?><s>", "restricted"),
            (b"<?php echo ?><s>", "restricted"),
            (b"<?xml-stylesheet href='x'?><s>", "restricted"),
            (b"<!DOCTYPE s SYSTEM 'x'><s>", "restricted"),
            (b"<!-- hello --><s>", "restricted"),
            (b"<![CDATA[x]]><s>", "not-well-formed"),
            (b"<![CDATA[]]><s>", "not-well-formed"),
            (b"GET / HTTP/1.1\r\n", "not-well-formed"),
            (b"</s>", "not-well-formed"),
            (b"</>", "not-well-formed"),
            (b"</\xff", "not-well-formed"),
            (b"<>", "not-well-formed"),
            (b"<s:s>", "namespace"),
            (b"<s xmlns='u' xmlns='u'>", "not-well-formed"),
        ],
    );
}

// RFC 6120 §11.1, §11.3, §11.4 rfc6120.md [X1] [X3] [X4] [X5] [X6]
#[test]
fn elements() {
    check(
        "element",
        HEADER,
        &[
            // Grammar.
            (b"<a/>", "Element"),
            (b"<a />", "Element"),
            (b"<a></a \t>", "Element"),
            (b"<a b = 'c'\r\nd=\"e'\"/>", "Element"),
            (b"<a b='x>y'/>", "Element"),
            (b"<a>&#00000000000000000065;&#x00000000000000000041;</a>", "Element"),
            ("<a\u{fdf0} b\u{b7}='\u{fffd}'/>".as_bytes(), "Element"),
            ("<\u{b7}/>".as_bytes(), "not-well-formed"),
            ("<a\u{d7}/>".as_bytes(), "not-well-formed"),
            ("<a\u{37e}/>".as_bytes(), "not-well-formed"),
            (b"<a>x>y ]] ]></a>", "Element"),
            (b"<a>&lt;&gt;&amp;&apos;&quot;&#x41;&#65;&#x10FFFF;</a>", "Element"),
            (b"<a><![CDATA[<b>&x;]]]]><![CDATA[>]]></a>", "Element"),
            (b"<a><![CDATA[]]></a>", "Element"),
            ("<\u{e9}l\u{e9}ment \u{10000}='\u{1f600}'>\u{feff}</\u{e9}l\u{e9}ment>".as_bytes(), "Element"),
            (b"<a b='\r' c='\r\n' d='\rx' e='\r&amp;'>\r\r\n\r</a>", "Element"),
            (b" \n<a/>\r\n ", "Element"),
            (b"<a/></s:stream>", "End"),
            (b"</s:stream \n>", "End"),
            (b"<a></b>", "not-well-formed"),
            (b"</>", "not-well-formed"),
            (b"<iq><pref xmlns='u'<pref xmlns=\"u\"/></pref></iq>", "not-well-formed"),
            (b"<message><message xmlns='v'>x</message></message>", "Element"),
            (b"<iq><v:query xmlns:v='jabber:iq:version'/></iq>", "Element"),
            (b"<a><b></a></b>", "not-well-formed"),
            (b"</stream>", "not-well-formed"),
            (b"<a b='1' b='1'/>", "not-well-formed"),
            (b"<a b='1'c='2'/>", "not-well-formed"),
            (b"<a b=1/>", "not-well-formed"),
            (b"<a b/>", "not-well-formed"),
            (b"<a b='<'/>", "not-well-formed"),
            (b"<a>]]></a>", "not-well-formed"),
            (b"< a/>", "not-well-formed"),
            (b"<1/>", "not-well-formed"),
            (b"<-a/>", "not-well-formed"),
            (b"<a></a b='c'>", "not-well-formed"),
            (b"<a/ >", "not-well-formed"),
            (b"<a>\x01</a>", "not-well-formed"),
            (b"<a>\0</a>", "not-well-formed"),
            (b"<a b='\x1f'/>", "not-well-formed"),
            (b"<a>\xef\xbf\xbe</a>", "not-well-formed"),
            (b"<a>&#0;</a>", "not-well-formed"),
            (b"<a>&#xD800;</a>", "not-well-formed"),
            (b"<a>&#xFFFF;</a>", "not-well-formed"),
            (b"<a>&#x110000;</a>", "not-well-formed"),
            (b"<a>&;</a>", "not-well-formed"),
            (b"<a>& b</a>", "not-well-formed"),
            (b"<a>&amp</a>", "not-well-formed"),
            (b"<a>&#1x;</a>", "not-well-formed"),
            // Forbidden in XMPP.
            (b"<a><!-- --></a>", "restricted"),
            (b"<a><!----></a>", "restricted"),
            (b"<!-- -->", "restricted"),
            (b"<a><?x ?></a>", "restricted"),
            (b"<?xml version='1.0'?>", "restricted"),
            (b"<a><!DOCTYPE x></a>", "restricted"),
            (b"<!ENTITY x 'y'>", "restricted"),
            (b"<a>&nbsp;</a>", "restricted"),
            (b"<a b='&x;'/>", "restricted"),
            (b"<a>&toolongforanentity;</a>", "restricted"),
            (b"&x;", "restricted"),
            (b"<a><!x></a>", "restricted"),
            (b"<a><!1></a>", "not-well-formed"),
            // UTF-8.
            (b"<a>\xff</a>", "encoding"),
            (b"<a>\xc0\x80</a>", "encoding"),
            (b"<a>\xed\xa0\x80</a>", "encoding"),
            (b"<a>\xf4\x90\x80\x80</a>", "encoding"),
            (b"<a>\xe2\x82</a>", "encoding"),
            (b"<a b='\x80'/>", "encoding"),
            (b"<a\xe9/>", "encoding"),
            // What stands first is what is wrong.
            (b"<a>\xff<!-- -->", "encoding"),
            (b"<a>\xc3<b/>", "encoding"),
            (b"<a><!--\xff", "restricted"),
            (b"<a b='<\xff", "not-well-formed"),
            (b"<a></\xff", "encoding"),
            (b"<a b='&#x41\xff", "encoding"),
            // Between elements.
            (b"x", "stray"),
            (b"<a/>x<b/>", "stray"),
            (b"<a/> .", "stray"),
            (b"<![CDATA[x]]><a/>", "stray"),
            (b"<![CDATA[]]><a/>", "stray"),
            (b"<![CDATA[]]></s:stream>", "stray"),
            (b"&amp;<a/>", "stray"),
            (b"&#32;<a/>", "stray"),
            ("\u{feff}<a/>".as_bytes(), "stray"),
        ],
    );
}

// Namespaces in XML 1.0 §3, §4, §5, §6; RFC 6120 §11.3 rfc6120.md [X4]
#[test]
fn namespaces() {
    check(
        "namespace",
        HEADER,
        &[
            (b"<p:a xmlns:p='u'/>", "Element"),
            (b"<a xmlns:p='u' p:b='' b=''/>", "Element"),
            (b"<a xmlns:p='u' xmlns:q='v' p:b='' q:b=''/>", "Element"),
            (b"<a xmlns=''/>", "Element"),
            (b"<a xml:lang='de' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", "Element"),
            (b"<xml:a/>", "Element"),
            (b"<s:a s:b=''/>", "Element"),
            (b"<a xmlns:p='u'><p:b xmlns:p='v'/><p:c/></a>", "Element"),
            (b"<p:a/>", "namespace"),
            (b"<a p:b=''/>", "namespace"),
            (b"<a><b xmlns:p='u'/><p:c/></a>", "namespace"),
            (b"<a xmlns:p='u'/><p:b/>", "namespace"),
            (b"<a xmlns:p=''/>", "namespace"),
            (b"<a xmlns:xml='u'/>", "namespace"),
            (b"<a xmlns:xmlns='u'/>", "namespace"),
            (b"<a xmlns:xmlns=", "namespace"),
            (b"<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", "namespace"),
            (b"<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "namespace"),
            (b"<a xmlns='http://www.w3.org/XML/1998/namespace'/>", "namespace"),
            (b"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", "namespace"),
            (b"<a xmlns='http://www.w3.org/2000/xmlns/'/>", "namespace"),
            (b"<xmlns:a/>", "namespace"),
            (b"<a:b:c/>", "namespace"),
            (b"<:a/>", "namespace"),
            (b"<a:/>", "namespace"),
            (b"<a :b=''/>", "namespace"),
            (b"<s:1/>", "namespace"),
            (b"<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", "namespace"),
            (b"<a xmlns='u' xmlns='v'/>", "not-well-formed"),
            (b"<a xmlns:p='u' xmlns:p='u'/>", "not-well-formed"),
            (b"<a xmlns:p='u' p:b='' p:b=''/>", "not-well-formed"),
        ],
    );
}

// XML 1.0 §2.11, §3.3.3
#[test]
fn line_ends_and_attribute_values_are_normalised() {
    let element = |xml: &[u8]| Element::parse(xml, XmlLimits::STANZA).unwrap();
    let parsed = element(
        b"<a b='\r|\r\n|\n|\t|\r\r\n|&#13;&#10;&#9;'>\r|\r\n|\n|\t|\r\r\n|&#13;<![CDATA[\r\n\r]]></a>",
    );
    assert_eq!(parsed.root().attr("b"), Some(" | | | |  |\r\n\t"));
    assert_eq!(parsed.root().text(), "\n|\n|\n|\t|\n\n|\r\n\n");
    let mut written = Vec::new();
    parsed.root().write(&mut written, "");
    assert_eq!(element(&written), parsed);
}

// RFC 6120 §4.6.1
#[test]
fn whitespace_between_elements_is_counted() {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let input = b"<?xml version='1.0'?>\n<s> \n\t<a> </a>\r\n  ";
    for chunk in input.chunks(3) {
        let mut chunk = chunk;
        while reader.read(&mut chunk).unwrap().is_some() {}
    }
    assert_eq!(reader.whitespace(), 8);
}

// RFC 6120 §5.4.3.3: the bytes after `<proceed/>` belong to TLS.
#[test]
fn nothing_is_taken_past_the_end_of_a_token() {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut input = &b"<s><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01"[..];
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Header)));
    assert!(input.starts_with(b"<proceed"));
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)));
    assert_eq!(input, b"\x16\x03\x01");
}

// RFC 6120 §4.9.1.1: there is no way back from a stream error.
#[test]
fn errors_stick() {
    let mut reader = Reader::new(XmlLimits::STANZA);
    assert_eq!(reader.read(&mut &b"<s><!--"[..]), Ok(Some(Token::Header)));
    let error = reader.read(&mut &b"<!--"[..]).unwrap_err();
    assert_eq!(error, Restricted("a comment"));
    assert_eq!(error.to_string(), "a comment is not allowed in XMPP");
    assert_eq!(reader.read(&mut &b"<a/>"[..]), Err(error));
    assert!(reader.header().name().is_empty() && reader.raw().is_empty());
}

// RFC 6120 §11.6 [X5]: what stands between elements need not even be text.
#[test]
fn broken_utf8_between_elements() {
    let cases: [(&[u8], &str); 4] = [
        (b"\xff<", "encoding"),
        (b"\xc0\xaf<", "encoding"),
        (b"\xed\xa0\x80<", "encoding"),
        ("ž<a/>".as_bytes(), "stray"),
    ];
    check("between elements", HEADER, &cases);
}

// RFC 6120 §11.4, XML §2.11: a line end is one line feed, and where it is cut makes no difference.
#[test]
fn line_ends_anywhere() {
    for (text, normal) in [("\r\n\n", "\n\n"), ("\r\r\n\n", "\n\n\n"), ("a\r\n\n\nb\r", "a\n\n\nb\n")] {
        let element = format!("<a b='{text}'>{text}<![CDATA[{text}]]>{text}</a>");
        for size in 1..element.len() {
            let mut reader = Reader::new(XmlLimits::STANZA);
            reader.read(&mut &b"<s>"[..]).unwrap();
            let tokens = element.as_bytes().chunks(size).map(|mut chunk| reader.read(&mut chunk));
            assert_eq!(tokens.last(), Some(Ok(Some(Token::Element))));
            assert_eq!(reader.element().text(), normal.repeat(3));
            assert_eq!(reader.element().attr("b"), Some(&*normal.replace('\n', " ")));
        }
    }
}

// RFC 6120 §11.1: what forbids both is one rule, but who has sent the one looks in vain for the other
#[test]
fn a_declaration_out_of_place_is_no_processing_instruction() {
    let declaration = ReadError::Restricted("an XML declaration that is not at the beginning of a stream");
    let instruction = ReadError::Restricted("a processing instruction");
    for (xml, expected) in [
        ("<s xmlns='u'><?xml version='1.0'?><s xmlns='u'>", Some(declaration)),
        ("<s xmlns='u'> <?xml\tversion='1.0'?>", Some(declaration)),
        ("<s xmlns='u'><a>text<?xml?></a>", Some(declaration)),
        ("<?xml version='1.0'?><?xml version='1.0'?>", Some(declaration)),
        ("<s xmlns='u'><?xml-stylesheet href='a'?>", Some(instruction)),
        ("<s xmlns='u'><a><?php echo 1 ?></a>", Some(instruction)),
        ("<s xmlns='u'><?XML version='1.0'?>", Some(instruction)),
        // It may still be either.
        ("<s xmlns='u'><?xml", None),
        ("<s xmlns='u'><?", None),
    ] {
        for chunk in [xml.len(), 1] {
            let mut reader = Reader::new(XmlLimits::STANZA);
            let mut error = None;
            for mut piece in xml.as_bytes().chunks(chunk) {
                while !piece.is_empty() && error.is_none() {
                    error = reader.read(&mut piece).err();
                }
            }
            assert_eq!(error, expected, "{xml} by {chunk}");
        }
    }
}

// RFC 7395 §3.3.3: a message is a document of its own.
#[test]
fn a_message_holds_one_element() {
    let one = ReadError::NotWellFormed("a message holds exactly one element");
    let inside = ReadError::NotWellFormed("the message ends inside of its element");
    for (messages, elements, error) in [
        (&b"<a/>\0 <b>x</b> \0"[..], 2, None),
        (b"<?xml version='1.0'?><a/>\0<?xml version='1.0'?><b/>\0", 2, None),
        (b"<a/><b/>\0", 1, Some(one)),
        (b"<a/> &amp;\0", 1, Some(one)),
        (b"<a/>x\0", 1, Some(ReadError::StrayText)),
        (b"<a/>\0\0", 1, Some(one)),
        (b"<a>\0", 0, Some(inside)),
        (b"<a b='\0", 0, Some(inside)),
        (b"<a>x</a\0", 0, Some(inside)),
        (b"</a>\0", 0, Some(ReadError::NotWellFormed("an end tag does not match its start tag"))),
    ] {
        for chunk in 1..messages.len() + 1 {
            let mut reader = Reader::framed(XmlLimits::STANZA, "jabber:client");
            let (mut seen, mut failed) = (0, None);
            'messages: for mut piece in messages.chunks(chunk) {
                loop {
                    match reader.read(&mut piece) {
                        Ok(Some(token)) => {
                            assert_eq!(token, Token::Element);
                            assert_eq!(reader.element().namespace(), "jabber:client");
                            seen += 1;
                        }
                        Ok(None) => break,
                        Err(error) => {
                            failed = Some(error);
                            break 'messages;
                        }
                    }
                }
            }
            assert_eq!((seen, failed), (elements, error), "{} by {chunk}", messages.escape_ascii());
        }
    }
}
