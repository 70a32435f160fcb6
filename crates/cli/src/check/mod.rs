//! `balcony check`: what clients and other servers find when they look for a domain, what will not work for whom, and what to change.
//!
//! It looks as they do, on the same machines: [`find`] asks the DNS, [`port`] connects to each address and gets as far as the features
//! under TLS, [`web`] asks the web server, and [`judge`] says what that means, with [`dane`] for what signed DNS says.

mod args;
mod dane;
mod find;
mod judge;
mod port;
mod report;
mod web;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use balcony_client::Endpoint;
use balcony_connection::srv::{Service, Target};
use balcony_jid::BareJid;
use balcony_tls::{TlsTrust, TlsTrustBuilder};
use balcony_tokio::{Options, Runtime as _, Tokio};

pub(crate) use args::CheckArgs;
use judge::Port;
pub(crate) use report::date;
use report::{Finding, Level, Report};

use crate::certificate::Certificate;
use crate::config::Settings;
use crate::connect::{development, runtime};
use crate::failure::{Failure, io};
use crate::federate;
use crate::small_file;
use crate::values::{Domain, Place};

/// Addresses of one place that are looked at.
const MOST_ADDRESSES: usize = 8;
/// Places of one service that are.
const MOST_PLACES: usize = 16;
/// Who other servers are told we are, unless it is said otherwise: a domain that there is not (RFC 2606 section 2).
const NOBODY: &str = "check.invalid";

/// What all steps of a check share.
#[derive(Clone)]
pub(crate) struct Look {
    tokio: Tokio,
    patience: Duration,
    /// In how many days a certificate may not end.
    days: u64,
    /// The domain that we say to be to other servers.
    own: BareJid,
    shows_certificate: bool,
    /// They go on whatever the certificate is, and judge it afterwards: of a client, and of a server.
    configs: [TlsTrust; 2],
    /// The same with TLS 1.2 only.
    old: [TlsTrust; 2],
    /// One that goes on with nobody who has not proven to be who is wanted.
    web: TlsTrust,
}

impl Look {
    /// The TLS of those who look for this service.
    fn tls(&self, service: Service) -> &TlsTrust {
        &self.configs[usize::from(service == Service::Server)]
    }

    fn old_tls(&self, service: Service) -> &TlsTrust {
        &self.old[usize::from(service == Service::Server)]
    }
}

pub(crate) fn run(args: CheckArgs) -> Result<(), Failure> {
    // What keeps it from looking at all is no finding.
    let unchecked = |failure: Failure| Failure::usage(failure.message());
    let Domain(domain) = &args.domain;
    let settings = args.config.as_deref().map(Settings::read).transpose().map_err(unchecked)?;
    let look = prepare(&args, domain, settings.as_ref()).map_err(unchecked)?;
    let given = given(&args, domain, settings.as_ref())?;
    let runtime = runtime().map_err(unchecked)?;
    let findings = runtime.block_on(check(&look, domain, given));
    // Threads that wait for a name may take their time.
    runtime.shutdown_background();
    Report::new(domain.domainpart(), findings).tell(args.json)
}

/// Reads certificates.
fn prepare(args: &CheckArgs, domain: &BareJid, settings: Option<&Settings>) -> Result<Look, Failure> {
    let mut options = Options::default();
    options.name_server = args.dns.map(|args::NameServer(address)| address);
    // As a server with this configuration, whom that server trusts; and for localhost whom clients here trust.
    let folder = settings.map_or_else(|| Settings::default().folder(), Settings::folder);
    let development = development(domain, &folder);
    let roots = roots_with(args.ca.as_ref().or(development.as_ref()))?;
    // Clients know nothing of whom one server has been told to trust.
    let of_servers = args.ca.as_ref().or(settings.and_then(|settings| settings.federation.ca()));
    let roots_of_servers = roots_with(of_servers.or(development.as_ref()))?;
    let first = settings.and_then(|settings| settings.domain.first());
    // A server that looks for itself is nobody it would talk to.
    let own = args.own.as_ref().or(first).map(|Domain(own)| own).filter(|own| *own != domain);
    let web = roots.clone().build()?;
    let clients = roots.accept_unproven();
    let mut servers = roots_of_servers.accept_unproven().to_servers();
    let pem = match (&args.cert, &args.key, settings, own) {
        (Some(cert), Some(key), ..) => {
            let read = |path: &std::path::Path| {
                small_file::read(path).map_err(io(format!("cannot read {}", path.display())))
            };
            Some((read(cert)?, balcony_machine::Secret::new(read(key)?)))
        }
        (_, _, Some(settings), Some(own)) => Some(Certificate::existing(settings)?.pem_for(own)?),
        _ => None,
    };
    if let Some((cert, key)) = &pem {
        servers = servers.federation(cert, key.expose())?;
    }
    let nobody = || BareJid::parse(NOBODY).map_err(|error| Failure::new(error.to_string()));
    Ok(Look {
        tokio: Tokio::new(options),
        patience: Duration::from_secs(args.timeout),
        days: args.days,
        own: own.map_or_else(nobody, |own| Ok(own.clone()))?,
        shows_certificate: pem.is_some(),
        old: [clients.clone().tls12_only().build()?, servers.clone().tls12_only().build()?],
        configs: [clients.build()?, servers.build()?],
        web,
    })
}

/// The authorities of the system, and those in this file.
fn roots_with(file: Option<&PathBuf>) -> Result<TlsTrustBuilder, Failure> {
    let roots = TlsTrust::builder();
    let Some(path) = file else { return Ok(roots.native_roots()?) };
    let pem = small_file::read(path).map_err(io(format!("cannot read {}", path.display())))?;
    let own = roots.roots_pem(&pem)?;
    // A system without authorities has at least this one.
    Ok(own.clone().native_roots().unwrap_or(own))
}

/// The places that are not to be looked up.
#[derive(Default)]
struct Given {
    /// Whether no others are looked at.
    only: bool,
    places: Vec<(Service, Target)>,
    web: Option<Target>,
    /// Why the server with this configuration, which serves the domain, talks to no others.
    off: Option<String>,
}

fn given(args: &CheckArgs, domain: &BareJid, settings: Option<&Settings>) -> Result<Given, Failure> {
    let mut given = Given { only: args.has_places(), ..Given::default() };
    let target = |place: &Place, direct: bool| match place.endpoint(direct) {
        Some(Endpoint::Address { host, port, direct_tls }) => Ok(Target::new(host, port, direct_tls)),
        _ => Err(Failure::usage("a place to check is a host and a port, such as 192.0.2.1:5222")),
    };
    for (list, service, direct) in [
        (&args.client, Service::Client, false),
        (&args.client_tls, Service::Client, true),
        (&args.server, Service::Server, false),
        (&args.server_tls, Service::Server, true),
    ] {
        for place in list {
            given.places.push((service, target(place, direct)?));
        }
    }
    given.web = args.web.as_ref().map(|place| target(place, true)).transpose()?;
    given.off = settings.and_then(|settings| federate::off(settings, domain));
    if !given.places.iter().any(|(service, _)| *service == Service::Server) {
        let route = settings.and_then(|settings| settings.federation.route(domain));
        given.places.extend(route.map(|route| (Service::Server, route)));
    }
    Ok(given)
}

async fn check(look: &Look, domain: &BareJid, given: Given) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in [Service::Client, Service::Server] {
        let mut is_optional = false;
        let here = given.places.iter().filter(|(of, _)| *of == service);
        let mut places: Vec<Target> = here.map(|(_, target)| target.clone()).collect();
        if let (Service::Server, true, false, Some(reason)) =
            (service, places.is_empty(), given.only, &given.off)
        {
            let says = format!("the server with this configuration talks to none: {reason}");
            findings.push(Finding::new(Level::Note, find::whom(service), says));
            continue;
        }
        if places.is_empty() && !given.only {
            let (found, more) = find::places(look, look.tokio, domain, service).await;
            findings.extend(more);
            places = found;
            if service == Service::Server {
                findings.extend(dane::look(look, domain, &mut places).await);
            }
            is_optional = service == Service::Server && is_this_machine(domain);
        }
        if places.len() > MOST_PLACES {
            let says = format!("there are {} places; the first {MOST_PLACES} are looked at", places.len());
            findings.push(Finding::new(Level::Note, find::whom(service), says));
            places.truncate(MOST_PLACES);
        }
        // All at the same time; what is said of them keeps its order.
        let tasks: Vec<_> = places
            .into_iter()
            .map(|target| tokio::spawn(place(look.clone(), domain.clone(), service, target, is_optional)))
            .collect();
        for task in tasks {
            match task.await {
                Ok(more) => findings.extend(more),
                Err(error) => {
                    findings.push(Finding::new(Level::Unknown, find::whom(service), error.to_string()))
                }
            }
        }
    }
    if given.web.is_some() || !given.only {
        findings.extend(web::look(look, domain, given.web.as_ref(), &look.web).await);
    }
    findings
}

/// Whether a domain is always the machine that looks for it (RFC 6761 section 6.3), so that no other server can.
fn is_this_machine(domain: &BareJid) -> bool {
    let name = domain.domainpart();
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Looks at all addresses of one place, where there may be nobody if it is optional.
async fn place(
    look: Look,
    domain: BareJid,
    service: Service,
    target: Target,
    is_optional: bool,
) -> Vec<Finding> {
    let name = format!("port of {} at {}:{}", find::whom(service), bracketed(&target.host), target.port);
    let found = match addresses(&look, &target.host).await {
        Ok(found) if found.is_empty() => {
            let finding = Finding::new(Level::Wrong, name, format!("{} has no address", target.host));
            return vec![
                finding
                    .whom(find::whom(service))
                    .change("give that name an address (A, and AAAA), or take it out of the SRV records"),
            ];
        }
        Ok(found) => found,
        Err(reason) => {
            let says = format!("the DNS does not answer for {}: {reason}", target.host);
            return vec![Finding::new(Level::Unknown, name, says)];
        }
    };
    let direct = target.direct_tls;
    let looks = found.iter().take(MOST_ADDRESSES).map(|ip| {
        let (look, domain, to) = (look.clone(), domain.clone(), SocketAddr::new(*ip, target.port));
        let tls = look.tls(service).clone();
        tokio::spawn(async move { port::look(&look, &domain, service, to, tls, direct).await })
    });
    let looks: Vec<_> = looks.collect();
    let mut seen = Vec::new();
    for (look, ip) in looks.into_iter().zip(&found) {
        if let Ok(one) = look.await {
            seen.push((*ip, one));
        }
    }
    let mut findings = Vec::new();
    let has_any = |except: IpAddr| seen.iter().any(|(ip, one)| *ip != except && one.tls.is_some());
    for (ip, one) in &seen {
        let about = match target.host.parse::<IpAddr>().is_ok() {
            true => name.clone(),
            false => format!("{name} ({ip})"),
        };
        let port = Port {
            about: &about,
            domain: domain.domainpart(),
            service,
            direct,
            has_others: has_any(*ip),
            is_local: is_this_machine(&domain) && ip.is_loopback(),
            is_optional,
        };
        findings.extend(port.judge(&look, one));
        if let (Service::Server, Some(tls)) = (service, &one.tls) {
            let trust = look.tls(service);
            findings.extend(dane::judge(&about, domain.domainpart(), &target, trust, &tls.peer_certificates));
        }
    }
    // Once for all of its addresses, which are mostly of one server.
    if let Some((ip, _)) =
        seen.iter().find(|(_, one)| one.tls.as_ref().is_some_and(|tls| tls.protocol == "TLSv1.3"))
    {
        let old = look.old_tls(service).clone();
        let again = port::look(&look, &domain, service, SocketAddr::new(*ip, target.port), old, direct).await;
        let port = Port {
            about: &name,
            domain: domain.domainpart(),
            service,
            direct,
            has_others: true,
            is_local: is_this_machine(&domain) && ip.is_loopback(),
            is_optional,
        };
        findings.push(port.old_tls(&again));
    }
    findings
}

/// The addresses of a host.
async fn addresses(look: &Look, host: &str) -> Result<Vec<IpAddr>, String> {
    if host == "localhost" {
        return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
    }
    match tokio::time::timeout(look.patience, look.tokio.addresses(host.into())).await {
        Ok(found) => found,
        Err(_) => Err(format!("nothing within {} s", look.patience.as_secs())),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.into() }
}
