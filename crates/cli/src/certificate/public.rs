//! Whether others can check a certificate of ours, who know the public authorities only.

use balcony_jid::BareJid;
use balcony_tls::{Refusal, TlsTrust};

use super::Certificate;

/// Whether others can check the certificate of each domain: whoever trusts the public authorities, as those of the operating system are,
/// finds that it is for the domain, today. If not, why.
pub(crate) fn checkable(domains: &[BareJid], certificate: &Certificate) -> Result<(), String> {
    // Not those of `ca`: it says whom this server trusts, not who trusts it.
    let public = TlsTrust::builder().native_roots().and_then(|roots| roots.to_servers().build());
    let public = public.map_err(|error| error.to_string())?;
    for domain in domains {
        let (path, _) = certificate.shown_for(domain);
        if let Err(error) = public.judge_server(&certificate.config, domain.domainpart()) {
            return Err(format!("other servers would not take {}: {}", path.display(), words(error)));
        }
    }
    Ok(())
}

/// What is wrong with a certificate of our own.
fn words(error: balcony_tls::Error) -> String {
    match error {
        balcony_tls::Error::Certificate { domain, refusal: Refusal::Untrusted } => {
            format!(
                "no public authority vouches for it to be that of {domain}, or those between are missing in the file"
            )
        }
        balcony_tls::Error::Certificate { domain, refusal: Refusal::WrongName(names) } => {
            format!("{domain} is missing in it; it is for {}", names.join(", "))
        }
        error => error.to_string(),
    }
}
