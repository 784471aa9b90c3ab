//! Which page the address names: `#/` is the list of documents, `#/d/{id}` a document, `#/settings/models` the models.

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// All documents.
    #[default]
    List,
    /// One document, by its id.
    Document(String),
    /// The models on the relay's machine.
    Models,
}

/// What follows the `#` of [`Route::Models`].
const MODELS: &str = "/settings/models";

impl Route {
    /// Reads the part of an address from `#` on; what names nothing is the list.
    #[must_use]
    pub fn parse(hash: &str) -> Self {
        let path = hash.strip_prefix('#').unwrap_or(hash);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if path.trim_end_matches('/') == MODELS {
            return Self::Models;
        }
        match path.strip_prefix("/d/").map(|id| id.trim_end_matches('/')) {
            Some(id) if !id.is_empty() && !id.contains('/') => Self::Document(decode(id)),
            _ => Self::List,
        }
    }

    /// The same as an address.
    #[must_use]
    pub fn hash(&self) -> String {
        match self {
            Self::List => "#/".to_owned(),
            Self::Models => format!("#{MODELS}"),
            Self::Document(id) => format!("#/d/{}", encode(id)),
        }
    }
}

/// Percent-encodes everything that is not a letter, a digit or one of `-_.~`.
#[must_use]
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        assert_eq!(Route::parse("#/d/01J8ABC"), Route::Document("01J8ABC".into()));
        assert_eq!(
            Route::parse("#/d/01J8ABC/?x=1"),
            Route::Document("01J8ABC".into())
        );
        for list in ["", "#", "#/", "#/d/", "#/x/y", "#/d/a/b"] {
            assert_eq!(Route::parse(list), Route::List, "{list}");
        }
        assert_eq!(Route::List.hash(), "#/");
        assert_eq!(Route::parse(&Route::Models.hash()), Route::Models);
        assert_eq!(Route::parse("#/settings/models/?key=x"), Route::Models);
    }

    #[test]
    fn any_id_survives_the_way_through_the_address() {
        for id in ["plain", "with space", "a/b?c#d%e", "ünïcödé", "漢字"] {
            let route = Route::Document(id.into());
            assert_eq!(Route::parse(&route.hash()), route, "{id}");
        }
        assert_eq!(Route::parse("#/d/50%"), Route::Document("50%".into()));
    }
}
