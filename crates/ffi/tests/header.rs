//! `include/balcony.h` is what `src` says. `BALCONY_WRITE=1 cargo test --package balcony-ffi --test header` writes it anew.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::env;
use std::fs;
use std::path::Path;

#[test]
fn it_says_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let made =
        cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs")).generate().unwrap();
    let mut now = Vec::new();
    made.write(&mut now);
    let (now, path) = (String::from_utf8(now).unwrap(), root.join("include/balcony.h"));
    if env::var_os("BALCONY_WRITE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), now, "write it anew with BALCONY_WRITE=1");
    // Twelve functions, as the documentation of the crate lists them.
    let documentation = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let functions: Vec<&str> = now
        .lines()
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split('(').next()?.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("balcony_") && now.contains(&format!("{name}(")))
        .collect();
    assert_eq!(functions.len(), 12, "{functions:?}");
    for function in functions {
        assert!(documentation.contains(&format!("[`{function}`]")), "{function}");
    }
}
