//! `balcony user import`: good lines become accounts, bad ones are reported by their numbers, whether a server runs or not.

use crate::world::{PASSWORD, World};

fn import(world: &World, server_runs: bool) {
    use core::fmt::Write as _;
    let mut file = String::from("romeo,r0m30myr0m30\n\nno comma\r\n,x\nro meo,x\n");
    for number in 0..300 {
        writeln!(file, "user{number},password {number}").unwrap();
    }
    file.push_str("romeo,again\nempty,\ncomma,a,b");
    world.write("accounts.csv", &file);
    let ended = world.run(&["user", "import", "accounts.csv"]);
    assert_eq!(ended.status, Some(1), "{ended:#?}");
    let mut lines: Vec<_> = ended.stderr.lines().collect();
    if !server_runs {
        let new = "balcony: there were no accounts in ./balcony-data; they are kept there from now on";
        assert_eq!(lines.remove(0), new);
    }
    let expected = [
        "balcony: line 3: a localpart, a comma and a password are wanted",
        "balcony: line 4: the localpart of the address is empty",
        "balcony: line 5: the localpart of the address contains U+0020, which is not allowed there",
        "balcony: line 306: romeo@localhost exists already",
        "balcony: line 307: this password cannot be used: the password is empty",
        "balcony: imported accounts: 302; accounts that exist and stay as they were, see above: 1 (--replace gives them the passwords in \
         the file); lines that could not be used, see above: 4",
    ];
    assert_eq!(lines, expected, "server runs: {server_runs}");
    assert_eq!(world.run(&["user", "list"]).stdout.lines().count(), 302);

    // Of the many that exist when a file is imported again a few are named.
    let ended = world.run(&["user", "import", "accounts.csv"]);
    assert_eq!(ended.status, Some(1), "{ended:#?}");
    let named: Vec<_> = ended.stderr.lines().filter(|line| line.ends_with("exists already")).collect();
    assert_eq!((named.len(), named[0]), (10, "balcony: line 1: romeo@localhost exists already"));
    let sum = "balcony: imported accounts: 0; accounts that exist and stay as they were, the first of them above: 303 (--replace gives them \
               the passwords in the file); lines that could not be used, see above: 4";
    assert_eq!(ended.stderr.lines().last(), Some(sum));

    let mut again = world.start(&["user", "import", "--replace", "-"]);
    again.input("\u{feff}romeo,new one\n");
    let again = again.wait();
    again.succeeded();
    assert_eq!(again.stdout, "imported accounts: 1\n");
}

#[test]
fn good_lines_are_imported_and_bad_ones_reported() {
    let stopped = World::new();
    import(&stopped, false);
    let running = World::new();
    let server = running.serve(&[]);
    import(&running, true);
    for (account, password) in [("romeo", "new one"), ("user7", "password 7"), ("comma", "a,b")] {
        let account = format!("{account}@localhost");
        // A headline expects no reply, so that nobody has to be there.
        let args =
            ["send", "--as", &account, "--connect", &server.address, "--type", "headline", &account, "hello"];
        running.run_as(password, &args).succeeded();
        running.run_as(PASSWORD, &args).failed(1, &["wrong password, or no such account"]);
    }
}
