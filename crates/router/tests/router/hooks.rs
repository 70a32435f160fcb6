//! No hook is a guess: each one that an extension can register or call is used by an extension of the project, and stands in
//! docs/extensions.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The methods of a type whose functions are in this file.
fn methods(source: &str, of: &str) -> BTreeSet<String> {
    let start = source.find(of).unwrap_or_else(|| panic!("{of}"));
    let block = source[start..].split_once("\n}\n").unwrap().0;
    let names = block.lines().filter_map(|line| line.trim_start().strip_prefix("pub "));
    let names = names.filter_map(|line| line.trim_start_matches("const ").strip_prefix("fn "));
    names.map(|line| line.split(['(', '<']).next().unwrap().to_owned()).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_hook_is_used_by_an_extension_of_the_project() {
    let folder = "src/extension";
    let all = balcony_router::extension::Extensions::default();
    let mut extensions: String = all.names().iter().map(|name| read(format!("{folder}/{name}.rs"))).collect();
    // Its service is the program's, so the one that uses it is an example.
    extensions += &read("../../examples/server_extension_io.rs");
    let docs = read("../../docs/extensions.md");
    let rows: String = docs.lines().filter(|line| line.starts_with("| `")).collect();

    let hooks = methods(&read(format!("{folder}/registry.rs")), "impl<X: Extension> Registry<'_, X> {");
    assert!(hooks.len() > 15 && hooks.contains("hold"), "{hooks:?}");
    for hook in &hooks {
        assert!(extensions.contains(&format!("registry.{hook}(")), "nobody registers `{hook}`");
        assert!(rows.contains(&format!("`{hook}`")), "`{hook}` is in no row of docs/extensions.md");
    }
    let mut calls = methods(&read(format!("{folder}/orders.rs")), "impl<X: Extension> Context<'_, '_, X> {");
    calls.extend(methods(&read(format!("{folder}/context.rs")), "impl<'c, 'a, X: Extension> Context<'"));
    assert!(calls.len() > 10 && calls.contains("external") && calls.contains("wake"), "{calls:?}");
    for call in &calls {
        assert!(extensions.contains(&format!("context.{call}(")), "nobody calls `Context::{call}`");
    }
}

/// The public modules that a file declares.
fn modules(source: &str, visibility: &str) -> BTreeSet<String> {
    let names = source.lines().filter_map(|line| line.strip_prefix(visibility)?.strip_prefix("mod "));
    names.filter_map(|name| name.strip_suffix(';')).map(str::to_owned).collect()
}

// docs/extensions.md: a module that is not registered does nothing, and one that no test knows may do anything.
#[test]
fn no_module_is_forgotten() {
    let extensions = modules(&read("src/extension/mod.rs"), "pub ");
    let standard = balcony_router::extension::Extensions::default();
    assert_eq!(extensions, standard.names().iter().map(|name| (*name).to_owned()).collect());
    let tests = modules(&read("tests/router/main.rs"), "");
    // What needs no account is asked in one file.
    let services = ["disco", "ping", "session", "version"];
    for name in extensions.iter().filter(|name| !services.contains(&name.as_str())) {
        assert!(tests.contains(name), "tests/router/{name}.rs");
    }
    let every = read("../xep/tests/every/mod.rs");
    for name in modules(&read("../xep/src/lib.rs"), "pub ") {
        let form = read(format!("../xep/src/{name}.rs"));
        let is_read = form.contains("fn to_element(") && form.contains("fn read(");
        assert!(!is_read || every.contains(&format!("{name}::")), "nobody tries xep::{name}");
    }
}

// The core names no extension: what is not in `extension/` knows of none, nor how one speaks.
#[test]
fn the_router_names_no_extension() {
    let names = balcony_router::extension::Extensions::default();
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    for path in files {
        let source = read(&path);
        // Examples and links in the documentation are for readers.
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| !line.starts_with("mod ")) {
            for name in names.names() {
                let paths = [format!("extension::{name}::"), format!("balcony_xep::{name}")];
                let is_named = paths.iter().any(|path| line.contains(path.as_str()));
                assert!(!is_named, "{}: {line}", path.display());
            }
        }
    }
}
