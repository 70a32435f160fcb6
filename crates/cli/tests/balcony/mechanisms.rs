//! Which mechanisms a server offers, as far as it depends on its accounts.

use crate::failures::features;
use crate::network::Cable;
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

// XEP-0484: a listener that loses its network comes back by its token, which its user sees and can end
#[test]
fn a_listener_comes_back_by_a_token() {
    let world = World::new();
    world.account("juliet");
    world.account("romeo");
    let server = world.serve(&[]);
    let cable = Cable::to(&server.address);
    let listener = world.listen_at(&cable.address, "juliet@localhost/phone", &["--retry", "1"]);
    server.process.stderr_with("juliet@localhost/phone is online (SCRAM-SHA-512-PLUS)");
    let tokens = |account: &str| {
        let listed = world.run(&["user", "tokens", account]);
        listed.succeeded();
        listed.stdout
    };
    let first = tokens("juliet");
    let client = concat!("balcony listen ", env!("CARGO_PKG_VERSION"), ", ");
    assert!(first.contains(&format!("  HT-SHA-256-EXPR  {client}")), "{first}");
    assert!(first.ends_with("  (not used yet)\n") && !first.contains(", \u{20}"), "{first}");
    let json = world.run(&["user", "tokens", "juliet", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["token"], &json["is_used"]), (&first[..16].into(), &false.into()), "{json}");
    assert_eq!(json["mechanism"], "HT-SHA-256-EXPR");
    assert!(json["client"].as_str().unwrap().starts_with(client) && json["until"].is_string(), "{json}");
    assert_eq!(first.lines().count(), 1);
    // One that sends a message and goes gets none.
    world.send(&server, "romeo@localhost", "juliet@localhost", "Hi", &[]).succeeded();
    assert_eq!(tokens("romeo"), "");
    let none = world.run(&["user", "tokens", "romeo"]).stderr;
    assert!(none.contains("romeo@localhost has no tokens\n"), "{none}");

    let cut = |back: &str| {
        cable.cut();
        listener.stderr_with("connecting again in ");
        cable.mend();
        server.process.stderr_with(back);
        listener.stderr_with("the session goes on, and nothing is lost");
    };
    cut("juliet@localhost/phone is back (HT-SHA-256-EXPR) from ");
    let used = tokens("juliet");
    assert!(!used.contains("not used yet") && used[..16] == first[..16], "{used}");

    // Ended by its user's hand, it is not taken any more, and the password is.
    world.run(&["user", "revoke", "juliet", "0123456789abcdef"]).failed(1, &["has no such token"]);
    world.run(&["user", "revoke", "juliet"]).failed(2, &["which token of juliet@localhost?", "--all"]);
    world.run(&["user", "revoke", "juliet", "nonsense"]).failed(1, &["has no such token"]);
    world.run(&["user", "revoke", "romeo", "--all"]).failed(1, &["romeo@localhost has no tokens"]);
    let revoked = world.run(&["user", "revoke", "juliet", &used[..16]]);
    assert_eq!(revoked.stdout, "the token of juliet@localhost has ended\n", "{revoked:?}");
    assert_eq!(tokens("juliet"), "");
    cut("juliet@localhost/phone is back (SCRAM-SHA-512-PLUS) from ");
    assert_ne!(tokens("juliet")[..16], used[..16]);

    // So it is with a new password; the client does not know that one.
    world.run_as(PASSWORD, &["user", "passwd", "juliet"]).succeeded();
    assert_eq!(tokens("juliet"), "");
    server.stop();
    assert_eq!(tokens("juliet"), "");
}
