//! Where a document's two parts are on a y-websocket server.

use crdt::{DocId, DocName, Identity, Part, Role};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved, so that any document id is one segment of a path.
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A server's address, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

/// Why a string is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "`{0}` is no address of a server: it begins with ws:// or wss://, for example ws://localhost:4444/y"
    )]
    Scheme(String),
    #[error("leave out what follows the `?` or `#`; the key goes into --key")]
    Query,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let url = url.trim().trim_end_matches('/');
        let lower = url.to_ascii_lowercase();
        let schemes = [
            ("ws://", "ws"),
            ("http://", "ws"),
            ("wss://", "wss"),
            ("https://", "wss"),
        ];
        let (rest, scheme) = schemes
            .iter()
            .find(|(prefix, _)| lower.starts_with(prefix))
            .and_then(|(prefix, scheme)| Some((url.get(prefix.len()..)?, scheme)))
            .filter(|(rest, _)| !rest.is_empty())
            .ok_or_else(|| AddressError::Scheme(url.to_owned()))?;
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        Ok(Self(format!("{scheme}://{rest}")))
    }

    /// The addresses of the document's body and margin for this peer. Servers that do not know the parameters pass them
    /// over.
    pub(crate) fn urls(&self, doc: &DocId, identity: &Identity, key: Option<&str>) -> [String; 2] {
        [Part::Body, Part::Margin].map(|part| {
            let name = DocName {
                doc: doc.clone(),
                part,
            }
            .to_string();
            let mut url = format!("{}/{}", self.0, encode(&name));
            let parameters = [
                ("user", Some(identity.id.as_str())),
                ("name", Some(identity.name.as_str())),
                ("role", Some(Role::Suggester.as_str())),
                ("kind", Some("ai")),
                ("model", identity.model.as_deref()),
                ("key", key),
            ];
            let mut separator = '?';
            for (name, value) in parameters {
                if let Some(value) = value {
                    url.push_str(&format!("{separator}{name}={}", encode(value)));
                    separator = '&';
                }
            }
            url
        })
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt::PeerKind;

    #[test]
    fn a_document_has_two_addresses() {
        let identity = Identity {
            id: "ai-1".into(),
            name: "Small & kind".into(),
            kind: PeerKind::Ai,
            model: Some("M/2".into()),
        };
        let doc = DocId::parse("Über/uns?").unwrap();
        let urls = Address::parse("http://localhost:4444/y/")
            .unwrap()
            .urls(&doc, &identity, Some("a=b"));
        let query = "?user=ai-1&name=Small%20%26%20kind&role=suggester&kind=ai&model=M%2F2&key=a%3Db";
        assert_eq!(
            urls,
            [
                format!("ws://localhost:4444/y/%C3%9Cber%2Funs%3F{query}"),
                format!("ws://localhost:4444/y/%C3%9Cber%2Funs%3F~margin{query}"),
            ]
        );
    }

    #[test]
    fn what_is_no_address_is_said_in_words() {
        for url in ["localhost:4444", "ws://", "", "ftp://x"] {
            assert!(
                matches!(Address::parse(url), Err(AddressError::Scheme(_))),
                "{url}"
            );
        }
        for (url, parsed) in [
            ("wss://x/y", "wss://x/y"),
            ("HTTPS://x/y/", "wss://x/y"),
            ("ws://x", "ws://x"),
        ] {
            assert_eq!(Address::parse(url), Ok(Address(parsed.to_owned())));
        }
        assert_eq!(Address::parse("ws://x/y?key=1"), Err(AddressError::Query));
    }
}
