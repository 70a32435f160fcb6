//! SRV records.

use balcony_client::ConnectError;
use balcony_client::srv::{self, Record, Target};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use crate::clock::seed;

/// The places to try for a domain, from the records of both services (XEP-0368 section 2.1).
pub(crate) async fn targets(domain: &str) -> Result<Vec<Target>, ConnectError> {
    let failed = |error: &dyn core::fmt::Display| ConnectError::Lookup {
        name: domain.into(),
        reason: error.to_string(),
    };
    let resolver =
        TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(|error| failed(&error))?;
    let (clear, direct) = tokio::join!(
        records(&resolver, "_xmpp-client._tcp", domain, false),
        records(&resolver, "_xmpps-client._tcp", domain, true),
    );
    let mut records = clear.map_err(|error| failed(&error))?;
    // Not every DNS answers for a service that it has not heard of.
    records.extend(direct.unwrap_or_default());
    Ok(srv::targets(domain, records, &mut seed().random()))
}

async fn records(
    resolver: &TokioResolver,
    service: &str,
    domain: &str,
    direct_tls: bool,
) -> Result<Vec<Record>, hickory_resolver::net::NetError> {
    // The dot at the end says that the name is complete.
    let found = match resolver.srv_lookup(format!("{service}.{domain}.")).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let record = |data: &RData| match data {
        RData::SRV(srv) => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii().trim_end_matches('.').into(),
            direct_tls,
        }),
        _ => None,
    };
    Ok(found.answers().iter().filter_map(|answer| record(&answer.data)).collect())
}
