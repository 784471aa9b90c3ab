//! The HTTP client of everything here that talks to other machines.
use std::time::Duration;

use url::{Host, Url};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// A client for one server. `silence` is how long it may say nothing while it is asked for something.
///
/// # Errors
/// The library's words, when the system's certificates cannot be used.
pub(crate) fn client(server: &Url, silence: Duration) -> Result<reqwest::Client, String> {
    builder(server, silence).build().map_err(|error| words(&error))
}

/// The same for what must reach this server and no other: it is not sent on to where an answer points.
///
/// # Errors
/// As [`client`].
pub(crate) fn client_of_one(server: &Url, silence: Duration) -> Result<reqwest::Client, String> {
    let builder = builder(server, silence).redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| words(&error))
}

fn builder(server: &Url, silence: Duration) -> reqwest::ClientBuilder {
    // the first to choose wins; every choice in this program is this one
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(silence)
        .user_agent(concat!("inkling/", env!("CARGO_PKG_VERSION")));
    if is_here(server) {
        builder = builder.no_proxy(); // a proxy would look for the server on its own machine
    }
    builder
}

/// Whether a server is on this machine.
pub(crate) fn is_here(server: &Url) -> bool {
    match server.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An error with its causes, in one line and without the address, which may hold a key.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let own = error.to_string();
        let own = own.split(" for url (").next().unwrap_or_default().to_owned();
        if !words.contains(&own) {
            words.push(own);
        }
        next = error.source();
    }
    words.join(": ")
}
