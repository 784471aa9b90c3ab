//! Personal data in a text, found by rules: a form, and where there is one a check digit.
//!
//! What the rules do not see they do not find: names that nobody has told ([`find`] is given those that are known),
//! addresses of houses, what is said in words. Too much is rather found than too little; it is put back afterwards.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use iban::Iban;
use linkify::{LinkFinder, LinkKind};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::checks;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A bank account (ISO 13616), by its checksum.
    Iban,
    /// A payment card, by its checksum.
    Card,
    /// An IP address.
    Ip,
    /// A person's number with a state, by its checksum.
    NationalId,
    /// An address with a password or key in it.
    Url,
    /// The name of somebody that the document knows.
    Name,
    /// Part of something above that the text was cut in.
    Part,
    /// A text that looks like a placeholder, so that it is not taken for one.
    Text,
}

impl Kind {
    /// What its placeholders begin with.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Iban => "IBAN",
            Self::Card => "CARD",
            Self::Ip => "IP",
            Self::NationalId => "ID",
            Self::Url => "URL",
            Self::Name => "NAME",
            Self::Part => "PART",
            Self::Text => "TEXT",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Email => "e-mail address",
            Self::Phone => "telephone number",
            Self::Iban => "bank account",
            Self::Card => "payment card",
            Self::Ip => "IP address",
            Self::NationalId => "national id",
            Self::Url => "address with a password",
            Self::Name => "name",
            Self::Part => "part of personal data",
            Self::Text => "text like a placeholder",
        }
    }
}

/// Something personal in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What.
    pub kind: Kind,
}

/// What placeholders look like.
pub(super) const PLACEHOLDER: &str = r"\[[A-Za-z]+_[0-9]+\]";

/// Parts of names that are shorter are words of many languages.
const SHORTEST_NAME: usize = 3;

fn rule(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns here are tested")
}

static LIKE_PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| rule(PLACEHOLDER));
static IBAN_BEGIN: LazyLock<Regex> =
    LazyLock::new(|| rule(r"(?i-u:\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,34})"));
static DIGITS: LazyLock<Regex> = LazyLock::new(|| rule(r"[0-9]+(?:[ .-][0-9]+)*"));
static IP_V4: LazyLock<Regex> = LazyLock::new(|| rule(r"[0-9]+(?:\.[0-9]+){3,}"));
static IP_V6: LazyLock<Regex> = LazyLock::new(|| rule(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"));
static PHONES: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        // with the country
        rule(r"(?:\+|\b00)[1-9](?:[ ()./-]{0,2}[0-9]){6,14}"),
        // within it: with its leading zero
        rule(r"(?:\(0[0-9]{1,5}\)|\b0[0-9]{1,5})(?:[ /-]{1,2}[0-9]{2,}|[0-9]{2,}){1,5}\b"),
        // North America
        rule(r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b"),
    ]
});
static SPANISH: LazyLock<Regex> = LazyLock::new(|| rule(r"(?i-u:\b(?:[0-9]{8}|[XYZ]-?[0-9]{7})-?[A-Z]\b)"));
static ITALIAN: LazyLock<Regex> =
    LazyLock::new(|| rule(r"(?i-u:\b[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b)"));
static FINNISH: LazyLock<Regex> = LazyLock::new(|| rule(r"(?-u:\b[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]\b)"));

/// Everything personal in a text, in its order, without overlaps. `names` are those that the document knows.
#[must_use]
pub fn find(text: &str, names: &[String]) -> Vec<Found> {
    join(find_all(text, names))
}

/// The same in no order, and each thing for itself where they overlap.
pub(super) fn find_all(text: &str, names: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |range: Range<usize>, kind| found.push(Found { range, kind });
    for hit in LIKE_PLACEHOLDER.find_iter(text) {
        add(hit.range(), Kind::Text);
    }
    links(text, &mut add);
    ibans(text, &mut add);
    numbers(text, &mut add);
    for hit in IP_V4.find_iter(text) {
        if hit.as_str().parse::<Ipv4Addr>().is_ok() {
            add(hit.range(), Kind::Ip);
        }
    }
    for hit in IP_V6.find_iter(text) {
        let enough = hit.as_str().bytes().filter(u8::is_ascii_hexdigit).count() > 3;
        if enough && hit.as_str().parse::<Ipv6Addr>().is_ok() {
            add(hit.range(), Kind::Ip);
        }
    }
    for hit in PHONES.iter().flat_map(|rule| rule.find_iter(text)) {
        if (8..=15).contains(&checks::digits(hit.as_str()).len()) {
            add(hit.range(), Kind::Phone);
        }
    }
    for (rule, holds) in [
        (&*SPANISH, checks::spanish as fn(&str) -> bool),
        (&*ITALIAN, checks::italian),
        (&*FINNISH, checks::finnish),
    ] {
        for hit in rule.find_iter(text).filter(|hit| holds(hit.as_str())) {
            add(hit.range(), Kind::NationalId);
        }
    }
    for (range, kind) in people(text, names) {
        add(range, kind);
    }
    found
}

/// Spans that touch the same text become one, of the kind of the longer.
pub(super) fn join(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    let mut joined: Vec<Found> = Vec::new();
    for next in found {
        match joined.last_mut().filter(|last| next.range.start < last.range.end) {
            Some(last) => {
                if next.range.len() > last.range.len() {
                    last.kind = next.kind;
                }
                last.range.end = last.range.end.max(next.range.end);
            }
            None => joined.push(next),
        }
    }
    joined
}

fn links(text: &str, add: &mut impl FnMut(Range<usize>, Kind)) {
    let mut finder = LinkFinder::new();
    // a selection may end in the middle of one
    finder.email_domain_must_have_dot(false);
    for link in finder.links(text) {
        let range = link.start()..link.end();
        match link.kind() {
            LinkKind::Email => add(range, Kind::Email),
            LinkKind::Url if has_secret(link.as_str()) => add(range, Kind::Url),
            _ => {}
        }
    }
}

/// Whether an address has a password, or a parameter that is called like one.
fn has_secret(address: &str) -> bool {
    const SECRET: [&str; 8] = [
        "key", "token", "secret", "password", "passwd", "pwd", "sig", "auth",
    ];
    let Ok(url) = url::Url::parse(address) else {
        return false;
    };
    let in_fragment = url.fragment().and_then(|fragment| fragment.split_once('?'));
    let named = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        let name = name.to_ascii_lowercase();
        !value.is_empty() && SECRET.iter().any(|word| name.contains(word))
    };
    !url.username().is_empty()
        || url.password().is_some()
        || url.query_pairs().any(named)
        || in_fragment.is_some_and(|(_, query)| url::form_urlencoded::parse(query.as_bytes()).any(named))
}

fn ibans(text: &str, add: &mut impl FnMut(Range<usize>, Kind)) {
    let mut at = 0;
    while let Some(hit) = IBAN_BEGIN.find_at(text, at) {
        // Where it ends is told by its checksum: words may follow.
        let whole = hit.as_str();
        let end = (15..=whole.len()).rev().find(|end| {
            let compact: String = whole
                .get(..*end)
                .unwrap_or_default()
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            whole
                .as_bytes()
                .get(end - 1)
                .is_some_and(u8::is_ascii_alphanumeric)
                && compact.to_ascii_uppercase().parse::<Iban>().is_ok()
        });
        if let Some(end) = end {
            add(hit.start()..hit.start() + end, Kind::Iban);
        }
        at = hit.start() + end.unwrap_or(1); // its first letter is ASCII
    }
}

/// Cards and numbers of people: any run of groups of digits in a row of them.
fn numbers(text: &str, add: &mut impl FnMut(Range<usize>, Kind)) {
    /// So many groups has none of them.
    const MOST_GROUPS: usize = 8;
    for row in DIGITS.find_iter(text) {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut from = row.start();
        for group in row.as_str().split([' ', '.', '-']) {
            groups.push(from..from + group.len());
            from += group.len() + 1;
        }
        let alone = |at: usize| {
            let before = text.get(..row.start()).unwrap_or_default();
            let after = text.get(row.end()..).unwrap_or_default();
            let letter = char::is_alphanumeric;
            match at {
                0 => !before.ends_with(letter),
                _ => !after.starts_with(letter),
            }
        };
        for (first, start) in groups.iter().enumerate() {
            for (last, end) in groups.iter().enumerate().skip(first).take(MOST_GROUPS) {
                let range = start.start..end.end;
                let digits = checks::digits(text.get(range.clone()).unwrap_or_default());
                if digits.len() > 19 {
                    break;
                }
                let whole = (first > 0 || alone(0)) && (last + 1 < groups.len() || alone(1));
                let card = (13..=19).contains(&digits.len())
                    && digits.first().is_some_and(|digit| (2..=6).contains(digit))
                    && checks::luhn(&digits);
                let person =
                    checks::french(&digits) || checks::belgian(&digits) || checks::brazilian(&digits);
                if whole && card {
                    add(range, Kind::Card);
                } else if whole && person {
                    add(range, Kind::NationalId);
                }
            }
        }
    }
}

/// Known names, whole or in part, as words of their own.
fn people<'a>(text: &'a str, names: &'a [String]) -> impl Iterator<Item = (Range<usize>, Kind)> + 'a {
    let parts = names.iter().flat_map(|name| {
        let parts = name.split_whitespace().filter(|part| {
            part.chars().count() >= SHORTEST_NAME && part.chars().next().is_some_and(char::is_uppercase)
        });
        std::iter::once(name.trim()).chain(parts)
    });
    parts.filter(|name| !name.is_empty()).flat_map(move |name| {
        text.match_indices(name).filter_map(move |(start, hit)| {
            let end = start + hit.len();
            let letter = char::is_alphanumeric;
            let alone = !text.get(..start)?.ends_with(letter) && !text.get(end..)?.starts_with(letter);
            // several words together are nobody else's
            (alone || name.contains(' ')).then_some((start..end, Kind::Name))
        })
    })
}

#[cfg(test)]
mod tests;
