//! Which mechanisms a server offers, as far as it depends on its accounts.

use crate::failures::features;
use crate::world::{PASSWORD, World};

// RFC 6120 §6.5.10: what is offered says nothing of a single account, and locks nobody out
#[test]
fn sha_512_is_offered_when_every_account_has_keys_for_it() {
    let world = World::new();
    world.account("juliet");
    world.account("romeo");
    let server = world.serve(&["--allow-plaintext"]);
    assert!(features(&server.address).contains("<mechanism>SCRAM-SHA-512<"));
    server.stop();

    // As an earlier version would have kept one of them.
    let exported = world.run(&["store", "export"]).stdout;
    let older = |line: &str| {
        let mut account: serde_json::Value = serde_json::from_str(line).unwrap();
        if account["account"] == "romeo@localhost" {
            account.as_object_mut().unwrap().remove("scram_sha_512").unwrap();
        }
        account.to_string()
    };
    let exported: Vec<String> = exported.lines().map(older).collect();
    world.write("older.jsonl", &exported.join("\n"));
    std::fs::remove_dir_all(world.path("balcony-data")).unwrap();
    world.run(&["store", "import", "older.jsonl"]).succeeded();
    let server = world.serve(&["--allow-plaintext"]);
    server.process.stderr_with("SCRAM-SHA-512 is not offered, since there are accounts of earlier versions");
    let offered = features(&server.address);
    assert!(offered.contains("<mechanism>SCRAM-SHA-256<") && !offered.contains("SHA-512"), "{offered}");

    // A login gives it them, without the password (XEP-0480); what it was stays.
    let romeo = |text: &str| -> serde_json::Value {
        let accounts = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        accounts.into_iter().find(|account| account["account"] == "romeo@localhost").unwrap()
    };
    world.send(&server, "romeo@localhost", "juliet@localhost", "Hi", &[]).succeeded();
    server.stop();
    let (before, after) = (romeo(&exported.join("\n")), romeo(&world.run(&["store", "export"]).stdout));
    assert!(after["scram_sha_512"].is_object());
    assert_eq!(after["scram_sha_512"]["salt"], before["scram_sha_256"]["salt"]);
    assert_eq!(
        (&after["scram_sha_256"], &after["scram_sha_1"]),
        (&before["scram_sha_256"], &before["scram_sha_1"])
    );
    let server = world.serve(&["--allow-plaintext"]);
    assert!(features(&server.address).contains("<mechanism>SCRAM-SHA-512<"));
    server.stop();
    std::fs::remove_dir_all(world.path("balcony-data")).unwrap();
    world.run(&["store", "import", "older.jsonl"]).succeeded();
    let server = world.serve(&["--allow-plaintext"]);

    // So does a new password.
    world.run_as(PASSWORD, &["user", "passwd", "romeo"]).succeeded();
    server.process.signal("HUP");
    server.process.stderr_with("balcony-data/cert.pem again");
    assert!(features(&server.address).contains("<mechanism>SCRAM-SHA-512<"));
}
