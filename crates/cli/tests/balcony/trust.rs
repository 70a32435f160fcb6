//! What the TLS of others makes of the development certificate, where it is on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Server, World};

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

/// A database of NSS that trusts the authority.
const NSS: &str = "d=$(mktemp -d) && trap 'rm -r $d' EXIT && certutil -N -d sql:$d --empty-password && \
    certutil -A -d sql:$d -n balcony -t C,, -i $0 && tstclnt -4 -h localhost -p $1 -d sql:$d -Q";

const KEYSTORE: &str = "d=$(mktemp -d) && trap 'rm -r $d' EXIT && keytool -importcert -noprompt -alias balcony -file $0 \
    -keystore $d/trust -storepass changeit && cp $2 $d/Trust.java && java -Djavax.net.ssl.trustStore=$d/trust \
    -Djavax.net.ssl.trustStorePassword=changeit $d/Trust.java $1";

/// Whether a client on that library connects to the server when it trusts the authority in the file.
fn connects(library: &str, server: &Server, authority: &Path, java: &Path) -> bool {
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
        _ => {
            let mut command = Command::new("sh");
            command.args(["-c", KEYSTORE, authority, &direct_port, java.to_str().unwrap()]);
            command
        }
    };
    command.stdin(Stdio::null()).output().unwrap().status.success()
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
    let server = world.serve(&[]);
    other.serve(&[]).stop();
    let java = world.write("Trust.java", JAVA);
    let [right, wrong] = [&world, &other].map(|world| world.path("balcony-data/ca.pem"));
    for (library, programs) in [
        ("OpenSSL", &["openssl"][..]),
        ("GnuTLS", &["gnutls-cli"]),
        ("NSS", &["certutil", "tstclnt"]),
        ("Node", &["node"]),
        ("Java", &["java", "javac", "keytool"]),
    ] {
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            eprintln!("SKIP: {library}: {missing} is not here");
            continue;
        }
        assert!(connects(library, &server, &right, &java), "{library}");
        assert!(!connects(library, &server, &wrong, &java), "{library} trusts what it must not");
    }
}
