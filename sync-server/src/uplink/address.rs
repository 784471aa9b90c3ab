//! Addresses of documents on other servers.

use std::net::SocketAddr;

use crdt::{DocId, DocName, Part};
use url::{Host, Url};

use crate::store::StoreError;

/// Why a document cannot be linked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address is not that of a document.
    #[error(
        "this is not the link of a document on another server ({reason}); it looks like http://host:4444/#/d/…"
    )]
    Address {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The document there was replaced, and what it was before is kept here under its name.
    #[error(
        "the document on the other server was replaced, and what it was before is kept here under the same name: open \
         the new one in a browser at the other server"
    )]
    Replaced,
    /// The link cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A document on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The server, as far as its `#`.
    server: Url,
    doc: DocId,
    key: Option<String>,
}

impl Target {
    pub(super) fn parse(link: &str) -> Result<Self, LinkError> {
        let bad = |reason| LinkError::Address { reason };
        let mut server = Url::parse(link.trim()).map_err(|_| bad("it is no URL"))?;
        match server.scheme() {
            "http" | "https" => {}
            _ => return Err(bad("it does not begin with http:// or https://")),
        }
        let fragment = server
            .fragment()
            .map(str::to_owned)
            .ok_or_else(|| bad("the part behind # is missing"))?;
        let (path, query) = fragment.split_once('?').unwrap_or((&fragment, ""));
        let id = path
            .strip_prefix("/d/")
            .ok_or_else(|| bad("the part behind # is not /d/ and a document"))?;
        // A query's rules for decoding, but for `+`: an id may hold one.
        let id = url::form_urlencoded::parse(format!("id={}", id.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, id)| id.into_owned())
            .unwrap_or_default();
        let doc = DocId::parse(&id).map_err(|_| bad("the document's id is not valid"))?;
        let key = url::form_urlencoded::parse(query.as_bytes())
            .chain(server.query_pairs())
            .find(|(name, _)| name == "key")
            .map(|(_, key)| key.into_owned());
        server.set_fragment(None);
        server.set_query(None);
        Ok(Self { server, doc, key })
    }

    pub(super) const fn doc(&self) -> &DocId {
        &self.doc
    }

    pub(super) fn host(&self) -> &str {
        self.server.host_str().unwrap_or_default()
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The address of a call about the document, as somebody with this id.
    pub(super) fn api(&self, path: &str, person: &str) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "v1", "documents", self.doc.as_str()])
                .extend(path.split('/'));
        }
        url.query_pairs_mut().append_pair("user", person);
        url
    }

    /// The link without its key: for lists and logs.
    pub(super) fn shown(&self) -> String {
        let mut shown = self.server.clone();
        shown.set_fragment(Some(&format!("/d/{}", self.doc)));
        shown.into()
    }

    /// The WebSocket address of a part.
    pub(super) fn socket(&self, part: Part, name: &str, epoch: Option<&str>) -> Url {
        let mut url = self.server.clone();
        let document = DocName {
            doc: self.doc.clone(),
            part,
        }
        .to_string();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("y").push(&document);
        }
        let mut query = url.query_pairs_mut();
        query
            .append_pair("kind", "relay")
            .append_pair("user", "relay")
            .append_pair("name", name);
        if let Some(key) = &self.key {
            query.append_pair("key", key);
        }
        if let Some(epoch) = epoch {
            query.append_pair("epoch", epoch);
        }
        drop(query);
        // From http and https: that these schemes may follow is the URL standard's rule.
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme).unwrap_or_default();
        url
    }

    /// Whether the address leads to a listener of this machine.
    pub(super) fn is(&self, own: SocketAddr) -> bool {
        let here = match self.server.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback() || own.ip() == address,
            Some(Host::Ipv6(address)) => address.is_loopback() || own.ip() == address,
            None => false,
        };
        here && self.server.port_or_known_default() == Some(own.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_a_server_a_document_and_a_key() {
        let target = Target::parse("http://host:4444/#/d/01abc?key=a%26b").unwrap();
        assert_eq!(target.doc().as_str(), "01abc");
        assert_eq!(target.shown(), "http://host:4444/#/d/01abc");
        assert_eq!(
            target.socket(Part::Margin, "x", Some("E1")).as_str(),
            "ws://host:4444/y/01abc~margin?kind=relay&user=relay&name=x&key=a%26b&epoch=E1"
        );
        assert_eq!(
            target.api("privacy/agree", "u 1").as_str(),
            "http://host:4444/api/v1/documents/01abc/privacy/agree?user=u+1"
        );
        let odd = Target::parse("http://host/app/#/d/a%2Fb%20%C3%BC+c").unwrap();
        assert_eq!(odd.doc().as_str(), "a/b ü+c");
        assert!(
            odd.socket(Part::Body, "x", None)
                .as_str()
                .starts_with("ws://host/app/y/a%2Fb%20%C3%BC+c?")
        );
    }

    #[test]
    fn what_is_no_link_is_refused_in_words() {
        for link in [
            "",
            "nonsense",
            "ftp://host/#/d/x",
            "http://host/",
            "http://host/#/other",
            "http://host/#/d/",
        ] {
            assert!(
                matches!(Target::parse(link), Err(LinkError::Address { .. })),
                "{link}"
            );
        }
    }

    #[test]
    fn an_encrypted_server_stays_one() {
        let target = Target::parse("https://host/#/d/x").unwrap();
        assert!(
            target
                .socket(Part::Body, "x", None)
                .as_str()
                .starts_with("wss://host/y/x?")
        );
        assert_eq!(target.shown(), "https://host/#/d/x");
    }

    #[test]
    fn a_link_to_this_server_is_known() {
        let own = "127.0.0.1:4444".parse().unwrap();
        let is = |link: &str| Target::parse(link).unwrap().is(own);
        assert!(is("http://localhost:4444/#/d/x"));
        assert!(is("http://127.0.0.1:4444/#/d/x"));
        assert!(!is("http://127.0.0.1:4445/#/d/x"));
        assert!(!is("http://elsewhere:4444/#/d/x"));
    }
}
