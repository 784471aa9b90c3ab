//! Light, dark, or what the system says.

/// What a person chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// What the system says.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// Reads what [`Theme::name`] wrote; anything else is the system's.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    /// For storage and for the page's `data-theme`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Is it dark, if the system is or is not?
    #[must_use]
    pub fn is_dark(self, system_dark: bool) -> bool {
        match self {
            Self::System => system_dark,
            Self::Light => false,
            Self::Dark => true,
        }
    }

    /// What the toggle leads to: the other look; and back to the system's own where that looks the same.
    #[must_use]
    pub fn toggled(self, system_dark: bool) -> Self {
        match (self.is_dark(system_dark), system_dark) {
            (true, true) => Self::Light,
            (false, false) => Self::Dark,
            (true, false) | (false, true) => Self::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toggle_always_changes_the_look_and_returns_to_the_system() {
        for system_dark in [false, true] {
            for theme in [Theme::System, Theme::Light, Theme::Dark] {
                let toggled = theme.toggled(system_dark);
                assert_ne!(
                    toggled.is_dark(system_dark),
                    theme.is_dark(system_dark),
                    "{theme:?} {system_dark}"
                );
                assert_eq!(Theme::parse(toggled.name()), toggled);
            }
            assert_eq!(
                Theme::System.toggled(system_dark).toggled(system_dark),
                Theme::System
            );
        }
    }

    /// A token of tokens.css, light or dark, as linear channels.
    fn token(name: &str, dark: bool) -> [f64; 3] {
        let sheet = include_str!("../style/tokens.css");
        let from = sheet
            .split_once(&format!("--{name}: light-dark("))
            .unwrap_or_else(|| panic!("no token {name}"))
            .1;
        let hex = from.split([',', ')']).nth(usize::from(dark)).unwrap().trim();
        [1, 3, 5].map(|at| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    /// WCAG 2's contrast of two tokens.
    fn contrast(one: &str, other: &str, dark: bool) -> f64 {
        let [one, other] = [one, other].map(|name| {
            let [red, green, blue] = token(name, dark);
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        });
        one.max(other) / one.min(other)
    }

    #[test]
    fn words_and_edges_can_be_seen_on_every_ground() {
        let mut faint = Vec::new();
        for dark in [false, true] {
            for ground in ["desk", "paper", "raised"] {
                for (name, least) in [
                    ("ink", 7.0),
                    ("ink-2", 4.5),
                    ("ink-3", 4.5),
                    ("accent", 4.5),
                    ("ai", 4.5),
                    ("ai-strong", 4.5),
                    ("danger", 4.5),
                    ("edge-control", 3.0),
                    ("ai-control", 3.0),
                ] {
                    let found = contrast(name, ground, dark);
                    if found < least {
                        faint.push(format!("{name} on {ground}, dark {dark}: {found:.2} < {least}"));
                    }
                }
            }
            for (letters, ground) in [
                ("on-accent", "accent"),
                ("on-ai", "ai"),
                ("on-danger", "danger"),
                ("ai-strong", "ai-soft"),
                ("danger", "danger-soft"),
                ("accent", "accent-soft"),
                ("ink", "selected"),
                ("ink-2", "sunken"),
            ] {
                let found = contrast(letters, ground, dark);
                if found < 4.5 {
                    faint.push(format!("{letters} on {ground}, dark {dark}: {found:.2} < 4.5"));
                }
            }
        }
        assert!(faint.is_empty(), "{}", faint.join("\n"));
    }
}
