//! How a client of this program gets online: whom it trusts, and what a person is told if it fails. Passwords come from
//! `password.rs`.

use core::time::Duration;
use std::path::{Path, PathBuf};

use balcony_client::{ClientConfig, ConnectError, Endpoint, Error};
use balcony_jid::{BareJid, Jid};
use balcony_stanza::StreamCondition;
use balcony_stream::TlsPolicy;
use balcony_stream::client::Management;
use balcony_tls::{Refusal, TlsTrust, TlsTrustBuilder};
use balcony_tokio::ConnectedClient;
use tokio::runtime::Runtime;

use crate::certificate::{AUTHORITY, CERTIFICATE};
use crate::config::DATA;
use crate::environment;
use crate::failure::{Failure, io};
use crate::output::note;
use crate::password;
use crate::small_file;
use crate::values::{ChannelBinding, Place};

/// How a client gets to its server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Take the password from the first line of this file; `-` is the standard input [default: BALCONY_PASSWORD, or a prompt]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Connect to this place instead of the one that DNS names: HOST:PORT, or the URL of a WebSocket [default: BALCONY_CONNECT]
    #[arg(long, global = true, value_name = "PLACE")]
    pub(crate) connect: Option<Place>,
    /// Begin with TLS instead of negotiating it
    #[arg(long, global = true)]
    pub(crate) direct_tls: bool,
    /// Trust the certificates in this PEM file and no others [default: BALCONY_CA, or those of the operating system; for localhost
    /// also ./balcony-data/ca.pem]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Accept any certificate. Whoever sits between can then read and change everything
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Go on without TLS where the server has none
    #[arg(long, global = true, conflicts_with = "direct_tls")]
    pub(crate) allow_plaintext: bool,
    /// How much to insist that the login is bound to this connection, so that nobody in between can use it
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) channel_binding: ChannelBinding,
}

impl ConnectArgs {
    /// What is typed, and what the environment says where nothing is. It is not clap that looks there: what it says is no reason to refuse
    /// `--insecure`, and an empty variable is none.
    fn or_environment(self) -> Result<ConnectArgs, Failure> {
        let connect = match self.connect {
            Some(place) => Some(place),
            None => environment::value(environment::PLACE)?,
        };
        let ca = self.ca.or_else(|| environment::path(environment::AUTHORITIES));
        Ok(ConnectArgs { connect, ca, ..self })
    }
}

/// One account and the way to its server.
pub(crate) struct Connector {
    pub(crate) config: ClientConfig,
    endpoint: Endpoint,
    /// What is probably meant where a server's own certificate was given as that of an authority.
    authority: Option<PathBuf>,
}

impl Connector {
    /// Of a command that is a client: the environment counts where nothing is typed.
    pub(crate) fn of_client(account: Option<Jid>, args: ConnectArgs) -> Result<Connector, Failure> {
        let (account, said) = match account {
            Some(account) => (account, "--as".into()),
            None => {
                let account = environment::value(environment::ACCOUNT)?.ok_or_else(|| {
                    Failure::usage(
                        "--as: which account? One such as romeo@localhost is wanted, or BALCONY_JID",
                    )
                })?;
                (account, format!("{} in the environment", environment::ACCOUNT))
            }
        };
        if account.localpart().is_none() {
            // Somebody's name, most likely, unless it looks like a domain.
            let name = account.domainpart();
            let example = match name == "localhost" || name.contains('.') {
                true => format!("romeo@{name}"),
                false => format!("{name}@example.org"),
            };
            return Err(Failure::usage(format!(
                "{said}: `{account}`: an account such as {example} is wanted"
            )));
        }
        let mut connector = Connector::new(&account, &args.or_environment()?)?;
        // Longer than a command waits, so that it hears whether the server has said goodbye.
        connector.config.stream.limits.closing = Duration::from_secs(60);
        Ok(connector)
    }

    /// Reads certificates and asks for the password.
    pub(crate) fn new(account: &Jid, args: &ConnectArgs) -> Result<Connector, Failure> {
        let bare = account.to_bare();
        let domain = Jid::from_parts(None, bare.domainpart(), None);
        let place = match (&args.connect, args.direct_tls) {
            (Some(place), direct) => place.endpoint(direct),
            (None, true) => Endpoint::parse(bare.domainpart(), true),
            (None, false) => Some(Endpoint::Domain),
        };
        let (Ok(_), Some(endpoint)) = (domain, place) else {
            return Err(Failure::usage(format!("{} is no place to connect to", bare.domainpart())));
        };
        let tls = trust(&bare, args)?;
        let password = password::known(args.password_file.as_deref(), bare.as_str())?;
        let mut config = ClientConfig::new(bare, password).with_tls(tls);
        config.stream.resource = account.resourcepart().map(Into::into);
        // Commands do not come back: the server need not keep their sessions when they end, however that is.
        config.stream.management = Management::Count;
        config.stream.channel_binding = args.channel_binding.into();
        if args.allow_plaintext {
            config.stream.tls = TlsPolicy::Optional;
        }
        let given =
            args.ca.as_deref().filter(|path| path.file_name().is_some_and(|name| name == CERTIFICATE));
        let authority = given.map(|path| path.with_file_name(AUTHORITY)).filter(|path| path.exists());
        Ok(Connector { config, endpoint, authority })
    }

    /// Where the server is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects; the client is online then.
    pub(crate) async fn connect(&self) -> Result<ConnectedClient, ConnectError> {
        ConnectedClient::connect(self.config.clone(), self.endpoint.clone()).await
    }

    /// Why no connection came about, with what to do about it here.
    pub(crate) fn explain(&self, error: &ConnectError) -> Failure {
        let direct = match self.endpoint {
            Endpoint::Address { direct_tls, .. } => Some(direct_tls),
            _ => None,
        };
        let authority = self.authority.as_ref().map(|path| format!(" (--ca {} trusts it)", path.display()));
        let hint = match error {
            ConnectError::Stream {
                error: Error::Tls(balcony_tls::Error::Certificate { refusal, .. }),
                ..
            } if !is_of_somebody_else(refusal) => authority.as_deref().unwrap_or(" (--ca FILE trusts it)"),
            ConnectError::Stream { error: Error::Stream(balcony_stream::Error::NoTls), .. } => {
                " (--allow-plaintext goes on without, which is safe on this machine only)"
            }
            ConnectError::Stream { error: Error::WebSocket(_), .. } => {
                " (the URL is wrong, or the server has none; that of Balcony ends with /xmpp-websocket)"
            }
            ConnectError::Stream { error: Error::Stream(balcony_stream::Error::ChannelBinding), .. } => {
                " (--channel-binding off)"
            }
            ConnectError::Stream { error: Error::Tls(balcony_tls::Error::NotTls), .. }
                if direct == Some(true) =>
            {
                " (if that port is not for direct TLS, leave --direct-tls out)"
            }
            error if is_of_servers(error) => " (that port is for other servers or services, not for clients)",
            error if direct == Some(false) && is_no_stream(error) => {
                " (if that port is for direct TLS, add --direct-tls)"
            }
            _ => "",
        };
        Failure::new(format!("{error}{hint}"))
    }
}

/// Whether trust in who has signed a certificate makes no difference.
fn is_of_somebody_else(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::WrongName(_) | Refusal::Expired | Refusal::NotYetValid)
}

/// Whether somebody was there who takes the stream for that of a server, or has begun one.
fn is_of_servers(error: &ConnectError) -> bool {
    let ConnectError::Stream { error: Error::Stream(error), .. } = error else { return false };
    match error {
        balcony_stream::Error::Local(error) | balcony_stream::Error::Remote(error) => {
            error.condition == StreamCondition::InvalidNamespace
        }
        _ => false,
    }
}

/// Whether somebody was there who may well speak something else than XMPP.
fn is_no_stream(error: &ConnectError) -> bool {
    let ConnectError::Stream { error: Error::Stream(error), proven: false } = error else {
        return matches!(error, ConnectError::Broken(_));
    };
    match error {
        balcony_stream::Error::Local(error) => {
            matches!(error.condition, StreamCondition::NotWellFormed | StreamCondition::UnsupportedEncoding)
        }
        balcony_stream::Error::Truncated => true,
        _ => false,
    }
}

/// A runtime for one connection: everything on this thread but the hashing of the password.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("cannot start"))
}

/// Whom to believe that they are the server of `account`.
fn trust(account: &BareJid, args: &ConnectArgs) -> Result<TlsTrust, Failure> {
    let builder = TlsTrust::builder();
    if args.insecure {
        note(
            "warning: --insecure accepts every certificate; whoever sits between can read and change everything",
        );
        return Ok(builder.dangerous_accept_any().build()?);
    }
    if let Some(path) = &args.ca {
        return Ok(given(builder, path)?.build()?);
    }
    if let Some(development) = development(account, Path::new(DATA)) {
        let builder = given(builder, &development)?;
        // A machine without certificate authorities is no obstacle to talking to itself.
        let builder = builder.clone().native_roots().unwrap_or(builder);
        return Ok(builder.build()?);
    }
    Ok(builder.native_roots()?.build()?)
}

/// Whom to trust for localhost besides the authorities of the system: the development authority of a server with this data folder.
pub(crate) fn development(domain: &BareJid, data: &Path) -> Option<PathBuf> {
    // The second is from before there was an authority.
    let files = [AUTHORITY, CERTIFICATE].map(|file| data.join(file));
    files.into_iter().find(|file| domain.domainpart() == "localhost" && file.exists())
}

fn given(builder: TlsTrustBuilder, path: &Path) -> Result<TlsTrustBuilder, Failure> {
    let pem = small_file::read(path).map_err(io(format!("cannot read {}", path.display())))?;
    builder.roots_pem(&pem).map_err(|error| Failure::new(format!("cannot use {}: {error}", path.display())))
}
