//! `cargo xtask firmware`: a client on a microcontroller, run in QEMU against the server, and what it needs.

use std::fs;
use std::process::{Command, Stdio};

use crate::bare::share_lock;
use crate::elf::{self, Symbol};
use crate::figures::{flags, has_target};
use crate::run::{Result, cargo, command, describe, root, run};

pub(crate) const HELP: &str = "\
Builds the lamps of examples/firmware for a thumbv7em-none-eabihf: one without anything below it, and one on embassy. It runs each
in QEMU (mps2-an386) with the server on the other end of its UART, and fails if the story that they play goes another way. Then it
says what they have needed, and which crate how much of the flash, and fails if that is more than it may be. It needs
qemu-system-arm, and Rust's target; where one of them is missing it says SKIP.";

/// A Cortex-M4F.
const DEVICE: &str = "thumbv7em-none-eabihf";
/// The board's player.
const QEMU: &str = "qemu-system-arm";
/// Where the programs are built, in the checkout.
const TARGET: &str = "target/firmware";
/// Of the crates, so many of those that take the most flash are shown.
const SHOWN: usize = 16;

/// A program that plays the lamp.
struct Lamp {
    package: &'static str,
    binary: &'static str,
}

const LAMPS: [Lamp; 2] = [
    Lamp { package: "balcony-firmware", binary: "lamp" },
    Lamp { package: "balcony-firmware-embassy", binary: "embassy-lamp" },
];

/// What each of them may need, in bytes.
const BUDGETS: &[(&str, [u64; 2])] = &[
    ("flash", [FLASH, FLASH + EMBASSY]),
    ("heap-login", [16 * 1024; 2]),
    ("heap-rest", [8 * 1024; 2]),
    ("heap-peak", [16 * 1024; 2]),
    ("stack", [16 * 1024; 2]),
    ("ram", [40 * 1024; 2]),
];
/// The aim: what it takes today, and a percent, since in which order the linker meets the parts depends on the name of the folder, and moves some
/// hundred bytes.
const FLASH: u64 = 160 * 1024;
/// The executor, timers, a buffered line and the futures.
const EMBASSY: u64 = 12 * 1024;

pub(crate) fn main(args: &[String]) -> Result {
    if let Some(arg) = args.first() {
        return Err(format!("unknown argument `{arg}`"));
    }
    if let Some(reason) = missing()? {
        println!("firmware: SKIP: {reason}");
        return Ok(());
    }
    share_lock("examples/firmware")?;
    run(&mut build("balcony-firmware-host", &["--profile", "host"]))?;
    let mut needs = Vec::new();
    for lamp in &LAMPS {
        needs.push(play(lamp)?);
    }
    compare(&needs)
}

/// Builds one, has it play its story, and says what it has needed.
fn play(lamp: &Lamp) -> Result<Vec<(&'static str, u64)>> {
    let program = program(lamp.package, lamp.binary)?;
    let folder = std::env::temp_dir().join(format!("balcony-firmware-{}", std::process::id()));
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut story = command(&root().join(TARGET).join("host/host").to_string_lossy(), &[QEMU, &program]);
    story.arg(&folder).stderr(Stdio::inherit());
    println!("$ {}", describe(&story));
    let ended = story.output();
    fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let ended = ended.map_err(|error| format!("host: {error}"))?;
    let told = String::from_utf8_lossy(&ended.stdout);
    print!("{told}");
    if !ended.status.success() {
        return Err(format!("the story of {} has ended with {}", lamp.binary, ended.status));
    }

    let file = fs::read(root().join(&program)).map_err(|error| format!("{program}: {error}"))?;
    let symbols = elf::symbols(&file).ok_or_else(|| format!("{program}: not an ELF file"))?;
    let flash = elf::constant_size(&file).unwrap_or_default();
    print!("{}", by_crate(&symbols, flash));
    figures(&told, flash, elf::memory_size(&file).unwrap_or_default())
}

/// Builds a program for the device, and says where it is in the checkout.
pub(crate) fn program(package: &str, binary: &str) -> Result<String> {
    let mut build = build(package, &["--bin", binary, "--release", "--target", DEVICE]);
    let mut all = flags()?;
    // Which package a symbol is of can be seen, and SHA-256 is a loop.
    all.extend(["-Csymbol-mangling-version=v0", "--cfg=sha2_backend_soft=\"compact\""].map(String::from));
    build.env("CARGO_ENCODED_RUSTFLAGS", all.join("\u{1f}")).env_remove("RUSTFLAGS");
    run(&mut build)?;
    Ok(format!("{TARGET}/{DEVICE}/release/{binary}"))
}

/// Why it can't be run here.
pub(crate) fn missing() -> Result<Option<String>> {
    if !has_target(DEVICE)? {
        return Ok(Some(format!("`rustup target add {DEVICE}` brings its target")));
    }
    let found = Command::new(QEMU).arg("--version").output();
    Ok(found.is_err().then(|| format!("there is no {QEMU}, which Debian has in a package of this name")))
}

fn build(package: &str, more: &[&str]) -> Command {
    let mut build =
        cargo(&["build", "--manifest-path", "examples/firmware/Cargo.toml", "--target-dir", TARGET]);
    build.args(["-p", package]).args(more).env("CARGO_INCREMENTAL", "0");
    build
}

/// What the lamp has needed, by the names of the budgets.
fn figures(told: &str, flash: u64, statics: u64) -> Result<Vec<(&'static str, u64)>> {
    let of = |name: &str| {
        let line =
            told.lines().find_map(|line| line.strip_prefix("figure ")?.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse::<u64>().ok()).ok_or(format!("the lamp does not say its {name}"))
    };
    let (peak, stack, arena) = (of("peak")?.max(of("login-peak")?), of("stack")?, of("arena")?);
    println!("allocations: {} for the login, {} in all", of("login-allocations")?, of("allocations")?);
    Ok(vec![
        ("flash", flash),
        ("heap-login", of("login-peak")?),
        ("heap-rest", of("rest")?),
        ("heap-peak", peak),
        ("stack", stack),
        // The arena is larger than what is needed of it, and is no measure.
        ("ram", statics.saturating_sub(arena) + peak + stack),
    ])
}

/// A table: what takes how much flash.
fn by_crate(symbols: &[Symbol], flash: u64) -> String {
    let mut crates: Vec<(&str, u64)> = Vec::new();
    for symbol in symbols.iter().filter(|symbol| symbol.is_constant) {
        let name = of_crate(&symbol.name).unwrap_or("(other symbols)");
        match crates.iter_mut().find(|(other, _)| *other == name) {
            Some((_, size)) => *size += symbol.size,
            None => crates.push((name, symbol.size)),
        }
    }
    crates.sort_by_key(|(name, size)| (core::cmp::Reverse(*size), *name));
    let all: u64 = crates.iter().map(|(_, size)| size).sum();
    let rest = crates.iter().skip(SHOWN).map(|(_, size)| size).sum();
    crates.truncate(SHOWN);
    crates.push(("(other crates)", rest));
    crates.push(("(texts and tables without a name)", flash.saturating_sub(all)));
    let rows = crates.iter().map(|(name, size)| format!("{name:<36} {size:>8}\n"));
    format!("{:<36} {:>8}\n", "flash by crate", "bytes") + &rows.collect::<String>()
}

/// The crate in which a symbol is defined: the first crate root in its name (Rust RFC 2603).
fn of_crate(symbol: &str) -> Option<&str> {
    let path = symbol.strip_prefix("_R")?;
    path.match_indices('C').find_map(|(at, _)| {
        let mut rest = path.get(at + 1..)?;
        if let Some(hash) = rest.strip_prefix('s') {
            rest = hash.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).strip_prefix('_')?;
        }
        let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let length: usize = rest.get(..rest.len() - name.len())?.parse().ok()?;
        name.strip_prefix('_').unwrap_or(name).get(..length)
    })
}

/// Prints the figures of each lamp beside its budgets, and fails if one is passed.
fn compare(needs: &[Vec<(&str, u64)>]) -> Result {
    let mut passed = Vec::new();
    for (index, (lamp, figures)) in LAMPS.iter().zip(needs).enumerate() {
        println!("{:<14} {:>8} {:>8}", lamp.binary, "bytes", "may");
        for (name, size) in figures {
            let budget =
                BUDGETS.iter().find(|(other, _)| other == name).map_or(0, |(_, budget)| budget[index]);
            println!("{name:<14} {size:>8} {budget:>8}");
            if *size > budget {
                passed.push(format!("{name} of {} is {size} bytes and may be {budget}", lamp.binary));
            }
        }
    }
    if passed.is_empty() { Ok(()) } else { Err(passed.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_of_crates() {
        for (symbol, name) in [
            ("_RNvMNtCs9hvFgAuDJfo_11balcony_xml6readerNtB2_6Reader4read", Some("balcony_xml")),
            ("_RNvXs5_NtCs3Cx_4core3fmtcNtB5_5Debug3fmt", Some("core")),
            ("_RINvNtC4core3ptr13drop_in_placeNtC5alloc6StringE", Some("core")),
            ("OUTLINED_FUNCTION_C", None),
            ("memcpy", None),
            ("_R", None),
            ("_RC99x", None),
        ] {
            assert_eq!(of_crate(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn figures_are_read_and_budgets_kept() {
        let told = "lamp: online\nfigure login-peak 5\nfigure peak 7\nfigure rest 3\nfigure arena 24\nfigure stack 11\n\
                    figure login-allocations 1\nfigure allocations 2\n";
        let of = figures(told, 100, 30).expect("all of them");
        assert_eq!(of.iter().find(|(name, _)| *name == "ram"), Some(&("ram", 6 + 7 + 11)));
        assert!(of.iter().all(|(name, _)| BUDGETS.iter().any(|(other, _)| other == name)));
        assert_eq!(of.len(), BUDGETS.len());
        assert_eq!(compare(&[of.clone(), of]), Ok(()));
        assert!(compare(&[vec![("flash", FLASH + 1)]]).is_err());
        assert!(compare(&[vec![], vec![("flash", FLASH + EMBASSY + 1)]]).is_err());
        assert!(figures("", 0, 0).is_err());
    }
}
