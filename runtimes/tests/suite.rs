//! Every driver that needs nothing from outside plays all scenarios, and the one in C where there is a compiler. Browser and board are for
//! `cargo xtask runtimes`.

use balcony_runtimes::script::scenarios;
use balcony_runtimes::{DRIVERS, Tools, table};

/// Plays all scenarios with a driver.
fn play(name: &str) {
    let driver = DRIVERS.iter().find(|driver| driver.name == name).expect("a driver of this name");
    let tools = Tools { program: env!("CARGO_BIN_EXE_balcony-runtimes").into(), boards: None };
    match table::play(driver, &tools) {
        Err(reason) => println!("SKIP: {name}: {reason}"),
        Ok(results) => {
            let failed: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).collect();
            assert!(failed.is_empty(), "{failed:#?}");
            assert_eq!(results.len(), scenarios().len());
        }
    }
}

#[test]
fn on_tokio() {
    play("tokio");
}

#[test]
fn on_async_std() {
    play("async-std");
}

#[test]
fn on_smol() {
    play("smol");
}

#[test]
fn on_threads() {
    play("threads");
}

#[test]
fn in_the_simulator() {
    play("simulator");
}

#[test]
fn in_c() {
    play("C");
}

#[test]
fn every_driver_and_scenario_is_in_the_table() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(table::PAGE);
    let page = std::fs::read_to_string(page).expect("the page");
    let (figures, shown) = page.split_once("## What each has shown").expect("both tables");
    for driver in DRIVERS {
        assert!(figures.contains(&format!("\n| {} | {} | ", driver.name, driver.about)), "{}", driver.name);
        let lines = driver.lines().expect("its code");
        assert!(lines > 0, "{} has no code", driver.name);
        assert!(shown.contains(&format!(" {} |", driver.name)), "{}", driver.name);
    }
    for scenario in scenarios() {
        let row = shown.lines().find(|line| line.starts_with(&format!("| {} |", scenario.name)));
        let row = row.unwrap_or_else(|| panic!("no row of `{}`", scenario.name));
        assert_eq!(row.matches(" ok |").count(), DRIVERS.len(), "{row}");
    }
}
