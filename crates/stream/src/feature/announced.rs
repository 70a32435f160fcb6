//! Features that a stream announces and has nothing else to do with, such as client state indication (XEP-0352): what they mean is
//! up to the owner.

use alloc::vec::Vec;

use balcony_xml::escape_attr;

/// The announcement of the feature with this name, which is one of XML, and namespace.
pub(crate) fn write(name: &str, namespace: &str, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" xmlns='");
    escape_attr(namespace, out);
    out.extend_from_slice(b"'/>");
}
