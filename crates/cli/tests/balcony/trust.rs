//! What the TLS of others makes of the development certificate, where it is on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Server, World, free_address};

/// Direct TLS with a check of the chain and of the name, as a program of one file.
const JAVA: &str = r#"
import javax.net.ssl.*;
public class Trust {
    public static void main(String[] args) throws Exception {
        SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
        java.net.Socket plain = new java.net.Socket("127.0.0.1", Integer.parseInt(args[0]));
        SSLSocket socket = (SSLSocket) factory.createSocket(plain, "localhost", plain.getPort(), true);
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        socket.startHandshake();
    }
}
"#;

const NODE: &str = "
const [ca, port] = process.argv.slice(1);
const options = {host: '127.0.0.1', port, servername: 'localhost', ca: require('fs').readFileSync(ca)};
const socket = require('tls').connect(options, () => process.exit(socket.authorized ? 0 : 1));
socket.on('error', () => process.exit(1));
";

/// The same with the library of Go, which trusts nobody but the authority.
const GO: &str = r#"
package main

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
)

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatal("no certificate")
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[2], &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		log.Fatal(err)
	}
	connection.Close()
}
"#;

/// Chromium with a profile of its own, whose database trusts the authority. The port is for WebSockets, so that a page is not found
/// there; whoever does not trust it gets no further than the certificate, and may go on: the authority is not known, and nothing else is
/// wrong.
const CHROMIUM: &str = "d=$(mktemp -d) && trap 'rm -rf $d' EXIT && mkdir -p $d/.pki/nssdb && \
    certutil -N -d sql:$d/.pki/nssdb --empty-password && certutil -A -d sql:$d/.pki/nssdb -n balcony -t C,, -i $0 && \
    HOME=$d timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir=$d/profile --timeout=20000 \
    --dump-dom https://localhost:$1/ >$d/log 2>&1; \
    grep -q ERR_HTTP_RESPONSE_CODE_FAILURE $d/log || { grep -q ERR_CERT_AUTHORITY_INVALID $d/log && exit 1 || exit 2; }";

/// A database of NSS that trusts the authority.
const NSS: &str = "d=$(mktemp -d) && trap 'rm -r $d' EXIT && certutil -N -d sql:$d --empty-password && \
    certutil -A -d sql:$d -n balcony -t C,, -i $0 && tstclnt -4 -h localhost -p $1 -d sql:$d -Q";

const KEYSTORE: &str = "d=$(mktemp -d) && trap 'rm -r $d' EXIT && keytool -importcert -noprompt -alias balcony -file $0 \
    -keystore $d/trust -storepass changeit && cp $2 $d/Trust.java && java -Djavax.net.ssl.trustStore=$d/trust \
    -Djavax.net.ssl.trustStorePassword=changeit $d/Trust.java $1";

/// How a client on that library ends that connects to the server and trusts the authority in the file: 0 if it does. `sources` has the
/// programs.
fn connects(library: &str, server: &Server, web: &str, authority: &Path, sources: &World) -> Option<i32> {
    let authority = authority.to_str().unwrap();
    let direct = &server.address_tls;
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (starttls_port, direct_port) = (port(&server.address), port(direct));
    let mut command = match library {
        "OpenSSL" => {
            let mut command = Command::new("openssl");
            command.args([
                "s_client",
                "-connect",
                &server.address,
                "-starttls",
                "xmpp",
                "-xmpphost",
                "localhost",
            ]);
            command.args(["-CAfile", authority, "-verify_hostname", "localhost", "-verify_return_error"]);
            command
        }
        "GnuTLS" => {
            let mut command = Command::new("gnutls-cli");
            command.args(["--starttls-proto=xmpp", "--x509cafile", authority, "--verify-hostname=localhost"]);
            command.args(["--port", &starttls_port, "localhost"]);
            command
        }
        "NSS" => {
            let mut command = Command::new("sh");
            command.args(["-c", NSS, authority, &direct_port]);
            command
        }
        "Node" => {
            let mut command = Command::new("node");
            command.args(["-e", NODE, authority, &direct_port]);
            command
        }
        "Go" => {
            let mut command = Command::new("go");
            command.args(["run", sources.path("trust.go").to_str().unwrap(), authority, &direct_port]);
            // The library alone, as it is here.
            command.envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("GOFLAGS", "")]);
            command
        }
        "Chromium" => {
            let mut command = Command::new("sh");
            command.args(["-c", CHROMIUM, authority, &port(web)]);
            command
        }
        _ => {
            let mut command = Command::new("sh");
            command.args([
                "-c",
                KEYSTORE,
                authority,
                &direct_port,
                sources.path("Trust.java").to_str().unwrap(),
            ]);
            command
        }
    };
    command.stdin(Stdio::null()).output().unwrap().status.code()
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null());
    command.status().unwrap().success()
}

// RFC 6120 §13.7.2: who trusts the authority is sure of the server, and nobody else is.
#[test]
fn others_trust_the_authority() {
    let (world, other) = (World::new(), World::new());
    let web = free_address();
    let server = world.serve(&["--listen-wss", &web]);
    other.serve(&[]).stop();
    world.write("Trust.java", JAVA);
    world.write("trust.go", GO);
    let [right, wrong] = [&world, &other].map(|world| world.path("balcony-data/ca.pem"));
    for (library, programs) in [
        ("OpenSSL", &["openssl"][..]),
        ("GnuTLS", &["gnutls-cli"]),
        ("NSS", &["certutil", "tstclnt"]),
        ("Node", &["node"]),
        ("Java", &["java", "javac", "keytool"]),
        ("Go", &["go"]),
        ("Chromium", &["chromium", "certutil"]),
    ] {
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            eprintln!("SKIP: {library}: {missing} is not here");
            continue;
        }
        assert_eq!(connects(library, &server, &web, &right, &world), Some(0), "{library}");
        let distrusted = connects(library, &server, &web, &wrong, &world);
        assert_ne!(distrusted, Some(0), "{library} trusts what it must not");
        if library == "Chromium" {
            assert_eq!(distrusted, Some(1), "a person can't go on");
        }
    }
}
