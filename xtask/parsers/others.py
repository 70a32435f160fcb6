"""What expat and libxml2 say of documents: reads lines of the example `verdicts`, and writes the page docs/parsers.md.

Both are asked to do what a careful program would ask them: namespaces on, nothing loaded from outside, entities not expanded.
"""

import sys
import xml.parsers.expat

import lxml.etree


def expat(document):
    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    try:
        parser.Parse(document, True)
        return "accepts"
    except xml.parsers.expat.ExpatError as error:
        return f"refuses: {xml.parsers.expat.ErrorString(error.code)}"


def libxml2(document):
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        lxml.etree.fromstring(document, parser)
        return "accepts"
    except (lxml.etree.XMLSyntaxError, ValueError) as error:
        return f"refuses: {str(error).split(', line')[0]}"


def shown(document):
    text = document.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() and c != "\ufeff" else c.encode("unicode_escape").decode() for c in text)


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


open_tag = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
close_tag = "</s:stream>"
version = xml.parsers.expat.EXPAT_VERSION.replace("expat_", "")
libxml = ".".join(map(str, lxml.etree.LIBXML_VERSION))

print(f"""# What parsers accept

`cargo xtask parsers` makes this page: tricky documents, and what four parsers say of them: Balcony's reader, rxml, by which it is tested
(with namespaces), expat {version} and libxml2 {libxml} (asked to load nothing and to expand nothing). Documents that begin with
`…` stand in a stream, `{open_tag}…{close_tag}`.

XMPP wants less than XML (RFC 6120 section 11): no comments, no processing instructions, no document types, no entities but the
five predefined ones. So a document that expat and libxml2 accept is often one that must be refused here.

| document | | balcony | rxml | expat | libxml2 |
|---|---|---|---|---|---|""")
rows = 0
for line in sys.stdin:
    name, data, ours, rxml = line.rstrip("\n").split("\t")
    document = bytes.fromhex(data)
    text = shown(document)
    if text.startswith(open_tag) and text.endswith(close_tag):
        text = "…" + text[len(open_tag) : -len(close_tag)] + "…"
    verdicts = [ours, rxml, expat(document), libxml2(document)]
    print(f"| {cell(name)} | `` {cell(text)} `` | " + " | ".join(cell(verdict) for verdict in verdicts) + " |")
    rows += 1
assert rows >= 50, rows
