//! The sections and symbols of an ELF file, as far as its size needs them (System V ABI, chapter 4).

/// A section, as its header says.
struct Section {
    name: String,
    kind: u64,
    flags: u64,
    offset: u64,
    size: u64,
    link: u64,
}

/// A function or an object.
pub(crate) struct Symbol {
    pub(crate) name: String,
    /// In octets.
    pub(crate) size: u64,
    /// It is code or a constant.
    pub(crate) is_constant: bool,
}

/// `sh_type` of a table of symbols, and of what takes no room in the file.
const SYMTAB: u64 = 2;
const NOBITS: u64 = 8;
/// Bits of `sh_flags`: it can be written, and it has a place in memory.
const WRITE: u64 = 1;
const ALLOC: u64 = 2;

impl Section {
    fn is_constant(&self) -> bool {
        [".text", ".rodata", ".vector_table"].iter().any(|name| self.name.starts_with(name))
    }
}

/// Whether the file is one of 64 bits; `None` if it is no ELF file of a little-endian machine.
fn is_wide(file: &[u8]) -> Option<bool> {
    match file.get(..6)? {
        [0x7f, b'E', b'L', b'F', 1, 1] => Some(false),
        [0x7f, b'E', b'L', b'F', 2, 1] => Some(true),
        _ => None,
    }
}

fn sections(file: &[u8]) -> Option<Vec<Section>> {
    let wide = is_wide(file)?;
    // Where the table of sections is, how long an entry and how many; then the section with their names.
    let (table, counts) = if wide { (field(file, 0x28, 8)?, 0x3a) } else { (field(file, 0x20, 4)?, 0x2e) };
    let [length, count, names] = [0, 2, 4].map(|at| field(file, counts + at, 2));
    let (length, count, names) = (length?, count?, names?);
    // Flags, place and size in the file, and another section that belongs to it.
    let (flags, offset, size, link, word) = if wide { (8, 24, 32, 40, 8) } else { (8, 16, 20, 24, 4) };
    let header = |index: u64| usize::try_from(table + index * length).ok();
    let names = field(file, header(names)? + offset, word)?;
    let section = |index: u64| {
        let at = header(index)?;
        Some(Section {
            name: text(file, names + field(file, at, 4)?)?,
            kind: field(file, at + 4, 4)?,
            flags: field(file, at + flags, word)?,
            offset: field(file, at + offset, word)?,
            size: field(file, at + size, word)?,
            link: field(file, at + link, 4)?,
        })
    };
    (0..count).map(section).collect()
}

/// Octets of code and constants: the sections `.text`, `.rodata` and `.vector_table`, and those whose names begin so. `None` if this is no ELF file
/// of a little-endian machine.
pub(crate) fn constant_size(file: &[u8]) -> Option<u64> {
    Some(sections(file)?.iter().filter(|section| section.is_constant()).map(|section| section.size).sum())
}

/// Octets of memory that are the program's own from its start to its end.
pub(crate) fn memory_size(file: &[u8]) -> Option<u64> {
    let is_memory = |section: &&Section| {
        section.flags & ALLOC != 0 && (section.flags & WRITE != 0 || section.kind == NOBITS)
    };
    Some(sections(file)?.iter().filter(is_memory).map(|section| section.size).sum())
}

/// The functions and objects that have a size.
pub(crate) fn symbols(file: &[u8]) -> Option<Vec<Symbol>> {
    let (wide, sections) = (is_wide(file)?, sections(file)?);
    let mut all = Vec::new();
    for table in sections.iter().filter(|section| section.kind == SYMTAB) {
        let names = sections.get(usize::try_from(table.link).ok()?)?.offset;
        // An entry, its size and its section.
        let (length, size, word, section) = if wide { (24, 16, 8, 6) } else { (16, 8, 4, 14) };
        for index in 0..table.size / length {
            let at = usize::try_from(table.offset + index * length).ok()?;
            let size = field(file, at + size, word)?;
            if size > 0 {
                let section = sections.get(usize::try_from(field(file, at + section, 2)?).ok()?);
                let name = text(file, names + field(file, at, 4)?)?;
                all.push(Symbol { name, size, is_constant: section.is_some_and(Section::is_constant) });
            }
        }
    }
    Some(all)
}

/// A string that ends with a zero.
fn text(file: &[u8], at: u64) -> Option<String> {
    let bytes = file.get(usize::try_from(at).ok()?..)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
}

/// A little-endian number.
fn field(file: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_code_and_is_larger_than_it() {
        let file = std::fs::read(std::env::current_exe().expect("a path")).expect("a file");
        let size = constant_size(&file).expect("an ELF file");
        assert!(size > 10_000 && size < file.len() as u64, "{size}");
        let symbols = symbols(&file).expect("an ELF file");
        let named = symbols.iter().filter(|symbol| symbol.is_constant && symbol.name.contains("symbols"));
        assert!(named.count() > 0, "it has this function");
        let sum: u64 = symbols.iter().filter(|symbol| symbol.is_constant).map(|symbol| symbol.size).sum();
        assert!(sum > size / 2 && sum <= 2 * size, "{sum} of {size}");
        assert!(memory_size(&file).is_some_and(|memory| memory > 0));
    }

    #[test]
    fn what_is_no_elf_file_has_no_size() {
        for file in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01\x01", b"#!/bin/sh\n", &[0xff; 200]] {
            assert_eq!(constant_size(file), None);
            assert!(symbols(file).is_none() && memory_size(file).is_none());
        }
    }
}
