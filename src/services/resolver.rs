//! Names of services to addresses, of which those are left out that may not be called.
//!
//! It is asked when a connection is made, and the connection goes to what it answered: a name whose address changes between a
//! check and its use cannot lead anywhere else.

use super::address::reach;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tripline_actors::ports::BoxFuture;

/// Looks a name up.
pub(super) trait Lookup: Send + Sync + 'static {
    /// Its addresses.
    fn addresses(&self, name: String) -> BoxFuture<io::Result<Vec<IpAddr>>>;
}

/// As the machine does it.
pub(super) struct System;

impl Lookup for System {
    fn addresses(&self, name: String) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// An address that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} leads to {address}, which {}", match .is_private {
    true => "is private, and the service has no allow_private",
    false => "is no machine's address",
})]
pub(super) struct Forbidden {
    name: String,
    address: IpAddr,
    is_private: bool,
}

impl Forbidden {
    /// That which is somewhere in what caused `error`.
    pub(super) fn behind<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(forbidden) = error.downcast_ref() {
                return Some(forbidden);
            }
            cause = error.source();
        }
        None
    }
}

/// Which addresses may be called.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) allow_private: bool,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Gate {
    /// Refuses a URL whose host is an address itself: nothing looks it up. A URL has it in its usual form, however it was
    /// written.
    pub(super) fn check(&self, url: &Url) -> Result<(), Forbidden> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) if !reach(address).is_allowed(self.allow_private) => {
                Err(self.forbidden(host, address))
            }
            _ => Ok(()),
        }
    }

    /// Those that may be called; if there are none, the first that may not.
    fn admit(&self, name: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Forbidden> {
        let first = found.first().copied();
        let allowed = |address: &IpAddr| reach(*address).is_allowed(self.allow_private);
        let admitted: Vec<IpAddr> = found.into_iter().filter(allowed).collect();
        match first {
            Some(address) if admitted.is_empty() => Err(self.forbidden(name, address)),
            _ => Ok(admitted),
        }
    }

    fn forbidden(&self, name: &str, address: IpAddr) -> Forbidden {
        Forbidden {
            name: name.to_owned(),
            address,
            is_private: reach(address).is_allowed(true),
        }
    }
}

impl Resolve for Gate {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = gate.lookup.addresses(name.clone()).await?;
            let admitted = gate.admit(&name, found)?;
            // The port is that of the URL.
            Ok(Box::new(admitted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every name with the same.
    pub(super) struct Fixed(pub(super) Vec<IpAddr>);

    impl Lookup for Fixed {
        fn addresses(&self, _: String) -> BoxFuture<io::Result<Vec<IpAddr>>> {
            let found = self.0.clone();
            Box::pin(async move { Ok(found) })
        }
    }

    fn gate(allow_private: bool, found: &[&str]) -> Gate {
        let found = found.iter().map(|text| text.parse().expect("an address"));
        Gate {
            allow_private,
            lookup: Arc::new(Fixed(found.collect())),
        }
    }

    fn resolved(gate: &Gate) -> Result<Vec<String>, String> {
        let resolving = gate.resolve("svc.example".parse().expect("a name"));
        match futures_util::FutureExt::now_or_never(resolving).expect("no waiting") {
            Ok(found) => Ok(found.map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(Forbidden::behind(error.as_ref()).expect("why").to_string()),
        }
    }

    #[test]
    fn only_what_may_be_called_is_left_of_a_name() {
        let mixed = ["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "0.0.0.0"];
        let public = ["1.1.1.1", "2606:4700::1111"].map(str::to_owned).to_vec();
        assert_eq!(resolved(&gate(false, &mixed)), Ok(public));
        assert_eq!(resolved(&gate(true, &mixed)).map(|found| found.len()), Ok(4));
        let private =
            "svc.example leads to 127.0.0.1, which is private, and the service has no allow_private";
        assert_eq!(resolved(&gate(false, &["127.0.0.1"])), Err(private.to_owned()));
        let nobody = "svc.example leads to 0.0.0.0, which is no machine's address";
        assert_eq!(resolved(&gate(true, &["0.0.0.0"])), Err(nobody.to_owned()));
    }

    #[test]
    fn an_address_in_a_url_is_checked_however_it_is_written() {
        let parsed = |url: &str| Url::parse(url).expect("a URL");
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
        ] {
            assert!(gate(false, &[]).check(&parsed(url)).is_err(), "{url}");
            assert_eq!(gate(true, &[]).check(&parsed(url)), Ok(()), "{url}");
        }
        assert!(gate(true, &[]).check(&parsed("http://0.0.0.0/")).is_err());
        for url in ["http://1.1.1.1/", "https://svc.example/"] {
            assert_eq!(gate(false, &[]).check(&parsed(url)), Ok(()), "{url}");
        }
    }
}
