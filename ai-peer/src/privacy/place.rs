//! Where an engine runs, seen from here.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How far away an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Another program on this machine: text that goes there does not leave.
    Machine,
    /// Another machine of the same network.
    Network,
    /// Anywhere.
    Internet,
}

impl Place {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Machine => "on this machine",
            Self::Network => "on this network",
            Self::Internet => "on the internet",
        }
    }

    /// The nearest that an address can be, by its host's name. What cannot be told is the internet.
    #[must_use]
    pub fn of(url: &url::Url) -> Self {
        let Some(host) = url.host() else {
            return Self::Internet;
        };
        let address = match host {
            url::Host::Ipv4(address) => IpAddr::V4(address),
            url::Host::Ipv6(address) => IpAddr::V6(address),
            url::Host::Domain(name) => {
                return if name == "localhost" || name.ends_with(".localhost") {
                    Self::Machine
                } else if name.ends_with(".local")
                    || name.ends_with(".internal")
                    || name.ends_with(".home.arpa")
                {
                    Self::Network
                } else {
                    Self::Internet
                };
            }
        };
        let near = match address {
            IpAddr::V4(address) => address.is_private() || address.is_link_local(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
        };
        if address.is_loopback() {
            Self::Machine
        } else if near {
            Self::Network
        } else {
            Self::Internet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_the_address_and_unknown_is_far() {
        let of = |url: &str| Place::of(&url.parse().unwrap());
        for near in ["http://localhost:1/v1", "http://127.0.0.1/", "http://[::1]:8/"] {
            assert_eq!(of(near), Place::Machine, "{near}");
        }
        for network in [
            "http://192.168.1.4/",
            "http://10.0.0.1/",
            "http://gpu.local/",
            "http://[fd00::1]/",
        ] {
            assert_eq!(of(network), Place::Network, "{network}");
        }
        for far in [
            "https://api.example.com/v1",
            "http://8.8.8.8/",
            "http://localhost.example.com/",
            "http://[::ffff:127.0.0.1]/", // what a proxy is asked for, so it may leave
            "http://gpu/",
        ] {
            assert_eq!(of(far), Place::Internet, "{far}");
        }
    }
}
