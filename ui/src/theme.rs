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
}
