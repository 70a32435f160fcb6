//! The examples that need nothing from outside are run: each says what it has done, and ends by itself.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "programs are run"
)]

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use balcony::Secret;
use balcony::prelude::*;
use balcony::server::{ServerHandle, test_certificate};

/// Longer than any of them takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

fn example(name: &str) -> Command {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.extend(["examples", name]);
    assert!(program.exists(), "{} is not built; `cargo test -p balcony-examples` does it", program.display());
    Command::new(program)
}

/// Runs an example, with a folder of its own as its argument if it wants one, and returns what it has said.
fn run(name: &str, folder: Option<&Path>) -> String {
    let mut command = example(name);
    command.args(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        said
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LONG {
            child.kill().unwrap();
            panic!("{name} does not end; it has said: {}", said.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = said.join().unwrap();
    assert!(status.success(), "{name}: {status}; it has said: {said}");
    said
}

#[test]
fn a_machine_by_hand() {
    assert!(!run("by_hand", None).is_empty());
}

#[test]
fn a_bot_in_a_simulation() {
    assert!(!run("simulated_bot", None).is_empty());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulated_bot.rs");
    assert!(std::fs::read_to_string(source).unwrap().lines().count() <= 40);
}

#[test]
fn extensions_of_a_server() {
    assert!(!run("server_extension", None).is_empty());
    assert!(!run("server_extension_io", None).is_empty());
}

// What it keeps is there when it runs again.
#[test]
fn a_server_in_a_program_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let said = run("server_tokio", Some(folder.path()));
        assert!(said.contains("asks juliet@localhost: amorous"), "{said}");
    }
}

// Whoever copies the bot from where it is shown gets the one that is tested, and it is short.
#[test]
fn the_bot_is_the_same_everywhere() {
    let read =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let bot = read("echo_bot.rs");
    assert!(bot.lines().count() <= 20);
    let code = |text: &str, prefix: &str| -> String {
        let lines = text.lines().map(|line| line.strip_prefix(prefix).unwrap_or(line).trim());
        lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
    };
    let bot = code(&bot, "");
    for (path, prefix) in
        [("../README.md", ""), ("../crates/balcony/README.md", ""), ("../crates/balcony/src/lib.rs", "//!")]
    {
        assert!(code(&read(path), prefix).contains(&bot), "{path} has another one");
    }
}

// One for a component is as short.
#[test]
fn the_component_is_short() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("echo_component.rs");
    let source = std::fs::read_to_string(source).unwrap();
    assert!(source.lines().count() <= 20, "{}", source.lines().count());
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in this process, with a certificate, its accounts, and what programs have to know of it.
struct Stage {
    folder: tempfile::TempDir,
    certificate: (String, Secret<String>),
    accounts: MemoryAccounts,
}

impl Stage {
    fn new(accounts: &[(&str, &str)]) -> Stage {
        let add = |known: MemoryAccounts, (name, password): &(&str, &str)| {
            known.with(&format!("{name}@localhost"), password).unwrap()
        };
        let stage = Stage {
            folder: tempfile::tempdir().unwrap(),
            certificate: test_certificate("localhost").unwrap(),
            accounts: accounts.iter().fold(MemoryAccounts::new(), add),
        };
        std::fs::write(stage.ca(), &stage.certificate.0).unwrap();
        stage
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn serve(&self, at: &str) -> ServerHandle {
        let (certificate, key) = &self.certificate;
        Server::builder("localhost")
            .accounts(self.accounts.clone())
            .certificate_pem(certificate.as_bytes(), key.expose().as_bytes())
            .configure(|config| config.iq_needs_presence = false)
            .listen(at.parse().unwrap())
            .start()
            .unwrap()
    }

    /// Juliet, who is a client in this process.
    async fn juliet(&self, server: &ServerHandle) -> Client {
        let at = server.local_addrs()[0].to_string();
        let client = Client::builder("juliet@localhost/balcony").password("j").connect(&at);
        client.trust_pem(self.certificate.0.as_bytes()).start().await.unwrap()
    }

    /// An example that logs in as somebody.
    fn example(&self, name: &str, server: &ServerHandle, jid: &str, password: &str) -> Command {
        let mut program = example(name);
        program.envs([("BALCONY_JID", jid), ("BALCONY_PASSWORD", password)]);
        program.env("BALCONY_CONNECT", server.local_addrs()[0].to_string()).env("BALCONY_CA", self.ca());
        program
    }
}

/// Runs a program to its end, which is there in time.
fn in_time(program: impl Future<Output = ()>) {
    block_on(async { tokio::time::timeout(3 * LONG, program).await.expect("too slow") });
}

// The bot is one program and the server another; what is said to it comes back, also after the server was away.
#[test]
fn the_bot_echoes_and_comes_back() {
    let stage = Stage::new(&[("romeo", "r"), ("juliet", "j")]);
    in_time(async {
        let server = stage.serve("127.0.0.1:0");
        let at = server.local_addrs()[0].to_string();
        let mut bot = stage.example("echo_bot", &server, "romeo@localhost/bot", "r");
        let _bot = Running(bot.spawn().unwrap());
        let mut juliet = stage.juliet(&server).await;
        echo(&mut juliet, "But soft").await;
        let version =
            Iq::get(balcony::xep::version::Query.to_element()).to("romeo@localhost/bot".parse().unwrap());
        let version = juliet.request(version).await.unwrap();
        let version = balcony::xep::version::Software::read(version.element().unwrap()).unwrap();
        assert_eq!(version.name, "Echo bot");
        server.shutdown().await;
        drop(juliet);
        let server = stage.serve(&at);
        // It waits up to a minute (RFC 6120 section 3.3).
        let mut juliet = stage.juliet(&server).await;
        echo(&mut juliet, "what light").await;
        server.shutdown().await;
    });
}

/// Says something to the bot until it answers; before it is there it hears nothing.
async fn echo(juliet: &mut Client, words: &str) {
    loop {
        juliet.send(Message::chat("romeo@localhost/bot".parse().unwrap()).body(words)).await.unwrap();
        let answer = async {
            loop {
                // What was on its way when the server ended is said again.
                if let Some(Event::Message(message)) = juliet.next().await.unwrap()
                    && message.body() == Some(words)
                {
                    return;
                }
            }
        };
        if tokio::time::timeout(Duration::from_millis(300), answer).await.is_ok() {
            return;
        }
    }
}

// The same without a runtime: it answers, and says what it is.
#[test]
fn the_device_answers() {
    let stage = Stage::new(&[("thermometer", "t"), ("juliet", "j")]);
    in_time(async {
        let server = stage.serve("127.0.0.1:0");
        let mut device = stage.example("device", &server, "thermometer@localhost/wall", "t");
        let _device = Running(device.spawn().unwrap());
        let juliet = stage.juliet(&server).await;
        let wall: Jid = "thermometer@localhost/wall".parse().unwrap();
        let ask = |element: Element| juliet.request(Iq::get(element).to(wall.clone()));
        let temperature = || Element::new(Name::from_static("temperature"), "urn:example:thermometer");
        // Until it is there the server refuses in its name.
        let answer = loop {
            match ask(temperature()).await {
                Ok(answer) => break answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        assert_eq!(answer.element().unwrap().text(), "21.5");
        let about = balcony::xep::disco::Query::new(balcony::xep::disco::About::Info);
        let info = ask(about.to_element()).await.unwrap();
        let info = balcony::xep::disco::Info::read(info.element().unwrap()).unwrap();
        assert!(
            info.has("urn:example:thermometer") && info.identities[0].name.as_deref() == Some("Thermometer")
        );
        let unknown = ask(Element::new(Name::from_static("humidity"), "urn:example:thermometer")).await;
        assert!(matches!(unknown, Err(Error::Request(RequestError::Refused(_)))), "{unknown:?}");
        server.shutdown().await;
    });
}

// It says something, prints what is answered, and ends.
#[test]
fn the_blocking_client_has_an_answer() {
    let stage = Stage::new(&[("romeo", "r"), ("juliet", "j")]);
    in_time(async {
        let server = stage.serve("127.0.0.1:0");
        let mut juliet = stage.juliet(&server).await;
        let mut romeo = stage.example("client_blocking", &server, "romeo@localhost/garden", "r");
        romeo.args(["juliet@localhost", "But", "soft"]).stdout(Stdio::piped());
        let romeo = romeo.spawn().unwrap();
        let said = heard(&mut juliet).await;
        assert_eq!(said.body(), Some("But soft"));
        juliet.send(said.reply().body("Ay me!")).await.unwrap();
        let ended = tokio::task::spawn_blocking(|| romeo.wait_with_output().unwrap()).await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let said = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(said, "online as romeo@localhost/garden\njuliet@localhost/balcony: Ay me!\n");
        server.shutdown().await;
    });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("client_blocking.rs");
    assert!(std::fs::read_to_string(source).unwrap().lines().count() <= 70);
}

// RFC 6120 §4.9.1.1: the other end is told of an error before the client ends with it
#[test]
fn clients_by_hand_say_what_is_wrong_with_a_stream() {
    for name in ["client_blocking", "client_mio"] {
        let stage = Stage::new(&[]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut romeo = example(name);
        romeo.envs([("BALCONY_JID", "romeo@localhost"), ("BALCONY_PASSWORD", "r")]);
        romeo
            .env("BALCONY_CONNECT", listener.local_addr().unwrap().to_string())
            .env("BALCONY_CA", stage.ca());
        romeo.arg("juliet@localhost").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let romeo = romeo.spawn().unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.write_all(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='localhost' version='1.0' id='1'><!-- -->").unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        let ended = romeo.wait_with_output().unwrap();
        assert!(!ended.status.success(), "{name}: {ended:?}");
        assert!(
            said.contains("<restricted-xml") && said.ends_with("</stream:stream>"),
            "{name}: {said}, {ended:?}"
        );
    }
}

/// The first line that a program says.
fn first_line(program: &mut Child) -> String {
    let mut line = String::new();
    std::io::BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

// Two clients talk through the server that has threads and no runtime. A third one that nobody knows is not let in.
#[test]
fn the_blocking_server_has_clients_that_talk() {
    let mut server = example("server_blocking");
    server.args(["127.0.0.1:0", "romeo:r", "juliet:j"]).stdout(Stdio::piped());
    let mut server = Running(server.spawn().unwrap());
    let line = first_line(&mut server.0);
    let at = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let client = |name: &str, password: &str| {
        Client::builder(format!("{name}@localhost"))
            .password(password)
            .connect(&at)
            .dangerous_without_tls()
            .start()
    };
    in_time(async {
        let (mut romeo, mut juliet) =
            (client("romeo", "r").await.unwrap(), client("juliet", "j").await.unwrap());
        for round in 0..20 {
            // More than fits into a buffer.
            let words = format!("{round} {}", "But soft! ".repeat(500));
            let to = juliet.jid().unwrap().into();
            romeo.send(Message::chat(to).body(&words)).await.unwrap();
            let said = heard(&mut juliet).await;
            assert_eq!(said.body(), Some(words.as_str()));
            juliet.send(said.reply().body("Ay me!")).await.unwrap();
            assert_eq!(heard(&mut romeo).await.body(), Some("Ay me!"));
        }
        assert!(client("romeo", "wrong").await.is_err());
        // A peer that says no XMPP, and one that says nothing and goes, harm nobody.
        std::net::TcpStream::connect(&at).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        drop(std::net::TcpStream::connect(&at).unwrap());
        romeo.send(Message::chat(juliet.jid().unwrap().into()).body("Good night")).await.unwrap();
        assert_eq!(heard(&mut juliet).await.body(), Some("Good night"));
        romeo.close().await.unwrap();
    });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("server_blocking.rs");
    assert!(std::fs::read_to_string(source).unwrap().lines().count() <= 150);
}

/// The next message.
async fn heard(client: &mut Client) -> Message {
    loop {
        if let Event::Message(message) = client.next().await.unwrap().expect("it goes on") {
            return *message;
        }
    }
}

// What is typed goes to her, what she says is printed, also when nobody types; and with the input it ends.
#[test]
fn the_event_loop_has_a_conversation() {
    let stage = Stage::new(&[("romeo", "r"), ("juliet", "j")]);
    in_time(async {
        let server = stage.serve("127.0.0.1:0");
        let mut juliet = stage.juliet(&server).await;
        let mut romeo = stage.example("client_mio", &server, "romeo@localhost/garden", "r");
        romeo.arg("juliet@localhost").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut romeo = romeo.spawn().unwrap();
        let mut input = romeo.stdin.take().unwrap();
        for round in 0..3 {
            writeln!(input, "{round} {}", "But soft ".repeat(1_000)).unwrap();
            let said = heard(&mut juliet).await;
            assert!(said.body().unwrap().starts_with(&format!("{round} But soft")));
            juliet.send(said.reply().body("Ay me!")).await.unwrap();
        }
        juliet
            .send(Message::chat("romeo@localhost/garden".parse().unwrap()).body("Good night"))
            .await
            .unwrap();
        // She is heard before he goes.
        let ended = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            let mut lines = std::io::BufReader::new(romeo.stdout.take().unwrap());
            while !said.ends_with("Good night\n") && lines.read_line(&mut said).unwrap() > 0 {}
            drop(input);
            (romeo.wait().unwrap(), said)
        });
        let (status, said) = ended.await.unwrap();
        let answers = "juliet@localhost/balcony: Ay me!\n".repeat(3);
        let expected =
            format!("online as romeo@localhost/garden\n{answers}juliet@localhost/balcony: Good night\n");
        assert!(status.success() && said == expected, "{status} {said}");
        server.shutdown().await;
    });
}

// What is missing is said in a sentence, and at once.
#[test]
fn the_bot_says_what_is_missing() {
    let run = |environment: &[(&str, &str)]| {
        let mut command = example("echo_bot");
        command.env_remove("BALCONY_JID").env_remove("BALCONY_PASSWORD").env_remove("BALCONY_CONNECT");
        let output = command.envs(environment.iter().copied()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(run(&[]).trim(), "Error: the environment variable BALCONY_JID is not set, or is empty");
    let wrong = [("BALCONY_JID", "romeo@@"), ("BALCONY_PASSWORD", "r")];
    assert!(
        run(&wrong)
            .starts_with("Error: the environment variable BALCONY_JID: `romeo@@` is no address of XMPP: ")
    );
    let nobody =
        [("BALCONY_JID", "romeo@localhost"), ("BALCONY_PASSWORD", "r"), ("BALCONY_CONNECT", "localhost:1")];
    let said =
        run(&[&nobody[..], &[("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/none.pem"))]].concat());
    assert!(said.starts_with("Error: "), "{said}");
}
