//! The size of an element, measured from outside.

use balcony_xml::{ElementRef, NodeRef};

/// What limits are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Levels.
    pub depth: usize,
    /// Elements and runs of text.
    pub nodes: usize,
    /// Attributes of the element that has most.
    pub attributes: usize,
}

/// Measures an element. No recursion: the input decides how deep it is.
pub fn size(root: ElementRef<'_>) -> Size {
    let mut size = Size::default();
    let mut open = vec![(root, 1)];
    while let Some((element, depth)) = open.pop() {
        size.nodes += 1;
        size.depth = size.depth.max(depth);
        size.attributes = size.attributes.max(element.attrs().len());
        for node in element.nodes() {
            match node {
                NodeRef::Element(child) => open.push((child, depth + 1)),
                NodeRef::Text(text) => {
                    assert!(!text.is_empty(), "a run of text is never empty");
                    size.nodes += 1;
                }
            }
        }
    }
    size
}
