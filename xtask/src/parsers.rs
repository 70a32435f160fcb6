//! `cargo xtask parsers`: the page docs/parsers.md.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::run::{Result, cargo, command, root, run, target};

pub(crate) const HELP: &str = "\
Writes docs/parsers.md: tricky documents, and what Balcony's reader, rxml, expat and libxml2 say of each. Needs Python 3; lxml
is installed into the target folder.";

pub(crate) fn main(args: &[String]) -> Result {
    if let Some(unknown) = args.first() {
        return Err(format!("unknown option `{unknown}`"));
    }
    let folder = target().join("parsers");
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if !folder.join("bin/python").exists() {
        run(&mut command("python3", &["-m", "venv", &folder.to_string_lossy()]))?;
        run(&mut command(&python, &["-m", "pip", "install", "--quiet", "lxml"]))?;
    }
    let failed = |error: std::io::Error| error.to_string();
    let verdicts = cargo(&["run", "--quiet", "-p", "balcony-xml", "--example", "verdicts"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    let mut others = Command::new(&python)
        .arg(root().join("xtask/parsers/others.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    others.stdin.take().ok_or("no standard input")?.write_all(&verdicts.stdout).map_err(failed)?;
    let page = others.wait_with_output().map_err(failed)?;
    if !verdicts.status.success() || !page.status.success() {
        return Err("the page could not be made".into());
    }
    fs::write(root().join("docs/parsers.md"), page.stdout).map_err(failed)?;
    println!("docs/parsers.md is written");
    Ok(())
}
