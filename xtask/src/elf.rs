//! The sections of an ELF file, as far as its size needs them (System V ABI, chapter 4).

/// Octets of code and constants: the sections `.text` and `.rodata` and those whose names begin so. `None` if this is no ELF file
/// of a little-endian machine.
pub(crate) fn constant_size(file: &[u8]) -> Option<u64> {
    let wide = match file.get(..6)? {
        [0x7f, b'E', b'L', b'F', 1, 1] => false,
        [0x7f, b'E', b'L', b'F', 2, 1] => true,
        _ => return None,
    };
    // Where the table of sections is, how long an entry and how many; then the section with their names.
    let (table, counts) = if wide { (field(file, 0x28, 8)?, 0x3a) } else { (field(file, 0x20, 4)?, 0x2e) };
    let [length, count, names] = [0, 2, 4].map(|at| field(file, counts + at, 2));
    let (length, count, names) = (length?, count?, names?);
    // A section's place and size in the file.
    let (place, size, word) = if wide { (24, 32, 8) } else { (16, 20, 4) };
    let section = |index: u64| usize::try_from(table + index * length).ok();
    let names = usize::try_from(field(file, section(names)? + place, word)?).ok()?;
    let mut sum = 0;
    for index in 0..count {
        let at = section(index)?;
        let name = file.get(names + usize::try_from(field(file, at, 4)?).ok()?..)?;
        if name.starts_with(b".text") || name.starts_with(b".rodata") {
            sum += field(file, at + size, word)?;
        }
    }
    Some(sum)
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
    }

    #[test]
    fn what_is_no_elf_file_has_no_size() {
        for file in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01\x01", b"#!/bin/sh\n", &[0xff; 200]] {
            assert_eq!(constant_size(file), None);
        }
    }
}
