//! Push notifications end to end (XEP-0357): `serve`, `listen --push`, and `push-service`, which attaches as a component.

use std::os::unix::fs::PermissionsExt as _;

use crate::network::Cable;
use crate::world::{PASSWORD, Process, Server, World, free_port};

/// A server with a component, and Romeo and Juliet on it; and where components attach.
fn world(configuration: &str) -> (World, Server, String) {
    let world = World::new();
    let port = free_port();
    let config = format!(
        "listen = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\n{configuration}\n[components]\nlisten = '127.0.0.1:{port}'\n\
         [components.secrets]\n'push.localhost' = '{PASSWORD}'\n"
    );
    let path = world.write("balcony.toml", &config);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    world.account("romeo");
    world.account("juliet");
    (world, server, format!("127.0.0.1:{port}"))
}

fn push_service(world: &World, address: &str, options: &[&str]) -> Process {
    let service = ["push-service", "push.localhost", "--connect", address];
    let service = world.start_as(PASSWORD, &[&service, options].concat());
    service.stderr_with("the push service push.localhost is attached");
    service
}

/// What a notification says, without the time.
fn told(service: &Process) -> String {
    let line = service.stdout();
    let (_, rest) = line.split_once(",\"from\":").unwrap();
    rest.to_owned()
}

// XEP-0357 0.4.1 §5 [PN2], §7 [PN8] [PN9]: the phone enables it, its network goes, a message comes: its service hears of it at once, and
// the phone has the message once when it is back. What romeo does otherwise wakes nobody.
#[test]
fn a_phone_is_told_of_what_waits() {
    let (world, server, address) = world("[push]\nlast-message-sender = true\n");
    let service = push_service(&world, &address, &["--node", "yxs32", "--count", "2"]);
    let cable = Cable::to(&server.address);
    let options = ["--push", "push.localhost", "--push-node", "yxs32", "--retry", "1"];
    let phone = world.listen_at(&cable.address, "juliet@localhost/phone", &options);
    server.process.stderr_with("push for juliet@localhost/phone to push.localhost is enabled");
    world.send(&server, "romeo@localhost/quill", "juliet@localhost", "But soft!", &[]).succeeded();
    assert!(phone.stdout().contains("But soft!"));
    cable.cut();
    server.process.stderr_with("has lost its connection");
    phone.stderr_with("connecting again in ");
    world.send(&server, "romeo@localhost/quill", "juliet@localhost", "Art thou gone so?", &[]).succeeded();
    assert_eq!(
        told(&service),
        r#""localhost","node":"yxs32","messages":1,"sender":"romeo@localhost/quill"}"#
    );
    server.process.stderr_with("push for juliet@localhost/phone to push.localhost: 1 message is waiting");
    cable.mend();
    phone.stderr_with("the session goes on, and nothing is lost");
    assert!(phone.stdout().contains("Art thou gone so?"));
    assert!(phone.is_silent());
    // Its session ends in good order: what is stored then is told, too.
    phone.signal("TERM");
    phone.wait().succeeded();
    world.send(&server, "romeo@localhost/quill", "juliet@localhost", "Farewell!", &[]).succeeded();
    assert!(told(&service).starts_with(r#""localhost","node":"yxs32","messages":"#));
    service.wait().succeeded();
}

// XEP-0357 0.4.1 §7.1 [PN11]: a node that is gone is told no more, and who comes next hears why.
#[test]
fn a_node_that_is_gone() {
    let (world, server, address) = world("");
    let service = push_service(&world, &address, &["--node", "other"]);
    let phone =
        world.listen(&server, "juliet@localhost/phone", &["--push", "push.localhost", "--push-node", "x"]);
    phone.signal("TERM");
    phone.wait().succeeded();
    world.send(&server, "romeo@localhost/quill", "juliet@localhost", "one", &[]).succeeded();
    server
        .process
        .stderr_with("push for juliet@localhost/phone to push.localhost is disabled: item-not-found");
    let phone = world.listen(&server, "juliet@localhost/phone", &[]);
    assert!(phone.stdout().contains(": one"));
    let notice = phone.stdout();
    assert!(
        notice.contains("localhost: Push notifications for your client \"phone\" have been turned off"),
        "{notice}"
    );
    assert!(service.is_silent());
}

// The service of a server that has no such component, a wrong secret, and a client that wants no more.
#[test]
fn what_can_go_wrong() {
    let (world, server, address) = world("");
    let service = ["push-service", "push.localhost", "--connect", &address];
    world.run_as("wrong", &service).failed(1, &["the server has ended the stream: ", "not-authorized"]);
    let none = ["push-service", "push.localhost", "--connect", "127.0.0.1:1"];
    world.run_as(PASSWORD, &none).failed(1, &["cannot connect to 127.0.0.1:1"]);
    let phone = ["juliet@localhost/phone", "--push", "localhost"];
    let refused = world.listener(&server.address, phone[0], &phone[1..]);
    refused.stderr_with("item-not-found");
    let phone = world.listen(&server, "juliet@localhost/tablet", &["--push", "push.localhost"]);
    let again = world.listen(&server, "juliet@localhost/desk", &["--no-push", "push.localhost"]);
    server
        .process
        .stderr_with("push for juliet@localhost/tablet to push.localhost is disabled, as its client wants");
    drop((phone, again));
}
