//! What a person types as a link's address, made into one; dangerous ones are refused.

/// Schemes that a link may have.
const SCHEMES: [&str; 5] = ["http:", "https:", "mailto:", "tel:", "ftp:"];

/// The address to store, or none when it is none that should be clicked.
#[must_use]
pub fn normalise(typed: &str) -> Option<String> {
    let typed: String = typed.trim().chars().filter(|c| !c.is_control()).collect();
    if typed.is_empty() || typed.contains(char::is_whitespace) {
        return None;
    }
    if typed.starts_with(['/', '#', '?']) {
        return Some(typed);
    }
    let scheme = typed
        .split_once(':')
        .map(|(scheme, _)| format!("{}:", scheme.to_ascii_lowercase()));
    match scheme {
        Some(scheme) if SCHEMES.contains(&scheme.as_str()) => Some(typed),
        // "example.org:8080/x" has a port, not a scheme.
        Some(scheme) if !scheme.contains('.') && scheme != "localhost:" => None,
        _ if typed.contains('@') && !typed.contains('/') => Some(format!("mailto:{typed}")),
        _ => Some(format!("https://{typed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_an_address() {
        for (typed, address) in [
            (" https://a.example/x ", "https://a.example/x"),
            ("a.example/x?y=1", "https://a.example/x?y=1"),
            ("a.example:8080/x", "https://a.example:8080/x"),
            ("localhost:8080", "https://localhost:8080"),
            ("ann@a.example", "mailto:ann@a.example"),
            ("MAILTO:ann@a.example", "MAILTO:ann@a.example"),
            ("/d/1", "/d/1"),
            ("#/d/1", "#/d/1"),
        ] {
            assert_eq!(normalise(typed).as_deref(), Some(address), "{typed}");
        }
    }

    #[test]
    fn addresses_that_run_something_are_refused() {
        for typed in [
            "javascript:alert(1)",
            "JaVaScRiPt:x",
            "java\nscript:x",
            "data:text/html,x",
            "vbscript:x",
            "",
            "two words",
        ] {
            assert_eq!(normalise(typed), None, "{typed}");
        }
    }
}
