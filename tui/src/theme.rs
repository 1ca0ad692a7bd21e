//! How a meaning looks: colours, glyphs, borders. State is always a shape, a word and a colour.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// For dark backgrounds.
    #[default]
    Dark,
    /// For light ones.
    Light,
    /// Bright on black, and bold.
    HighContrast,
    /// For those who cannot tell red from green: blue and orange.
    Deuteranopia,
    /// For those who cannot tell blue from yellow: teal and red.
    Tritanopia,
    /// No colours; also with `NO_COLOR`.
    Mono,
}

impl Theme {
    /// Every one, with the name that it has on the command line.
    pub const ALL: [(&'static str, Theme); 6] = [
        ("dark", Self::Dark),
        ("light", Self::Light),
        ("high-contrast", Self::HighContrast),
        ("deuteranopia", Self::Deuteranopia),
        ("tritanopia", Self::Tritanopia),
        ("mono", Self::Mono),
    ];

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, theme)| *theme)
    }
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    /// It failed.
    Bad,
    /// It is to be looked at.
    Look,
    /// Nothing is known of it.
    Unknown,
    /// It is under way.
    Moving,
    /// It is well.
    Good,
    /// It is off.
    Off,
}

/// Theme and character set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The colours.
    pub theme: Theme,
    /// ASCII alone.
    pub ascii: bool,
}

impl Look {
    pub(crate) fn glyph(self, tone: Tone) -> &'static str {
        match (tone, self.ascii) {
            (Tone::Good, false) => "●",
            (Tone::Moving, false) => "◐",
            (Tone::Look, false) => "▲",
            (Tone::Bad, false) => "✖",
            (Tone::Off, false) => "○",
            (Tone::Good, true) => "*",
            (Tone::Moving, true) => "~",
            (Tone::Look, true) => "!",
            (Tone::Bad, true) => "x",
            (Tone::Off, true) => "-",
            (Tone::Unknown, _) => "?",
        }
    }

    /// A bar of `columns`, of which `share` (0 to 1) is full.
    pub(crate) fn bar(self, share: f64, columns: usize) -> String {
        let (full, empty) = if self.ascii { ("#", ".") } else { ("▓", "░") };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the columns")]
        let filled = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
        format!("{}{}", full.repeat(filled), empty.repeat(columns - filled))
    }

    /// One column of a curve, for a share of 0 to 1.
    pub(crate) fn spark(self, share: f64) -> &'static str {
        let levels: &[&str] = if self.ascii {
            &[" ", ".", ".", ":", ":", "|", "|", "#", "#"]
        } else {
            &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 8")]
        let level = (share.clamp(0.0, 1.0) * 8.0).ceil() as usize;
        levels.get(level).copied().unwrap_or(" ")
    }

    pub(crate) fn border(self) -> border::Set<'static> {
        if self.ascii {
            border::Set {
                top_left: "+",
                top_right: "+",
                bottom_left: "+",
                bottom_right: "+",
                vertical_left: "|",
                vertical_right: "|",
                horizontal_top: "-",
                horizontal_bottom: "-",
            }
        } else {
            border::PLAIN
        }
    }

    /// A dot between two things, an arrow, an ellipsis and the like, as ASCII where that is asked for.
    pub(crate) fn plain(self, text: &str) -> String {
        if !self.ascii {
            return text.to_owned();
        }
        let plain = |c: char| match c {
            '·' | '•' => "-".to_owned(),
            '→' | '›' | '▸' => ">".to_owned(),
            '←' | '‹' => "<".to_owned(),
            '▾' => "v".to_owned(),
            '…' => "~".to_owned(),
            '–' | '—' => "-".to_owned(),
            '×' => "x".to_owned(),
            '≥' => ">=".to_owned(),
            '≤' => "<=".to_owned(),
            '✓' => "+".to_owned(),
            '★' => "*".to_owned(),
            '▌' => ">".to_owned(),
            c if c.is_ascii() => c.to_string(),
            _ => "?".to_owned(),
        };
        text.chars().map(plain).collect()
    }

    pub(crate) fn tone(self, tone: Tone) -> Style {
        let (good, moving, look, bad) = match self.theme {
            Theme::Dark => (Color::Green, Color::Cyan, Color::Yellow, Color::LightRed),
            Theme::Light => (Color::Rgb(0, 110, 40), Color::Blue, Color::Rgb(150, 90, 0), Color::Red),
            Theme::HighContrast => (Color::LightGreen, Color::LightCyan, Color::LightYellow, Color::LightRed),
            Theme::Deuteranopia => (
                Color::Rgb(86, 180, 233),
                Color::Rgb(204, 204, 204),
                Color::Rgb(240, 228, 66),
                Color::Rgb(230, 159, 0),
            ),
            Theme::Tritanopia => (
                Color::Rgb(0, 158, 115),
                Color::Rgb(204, 204, 204),
                Color::Rgb(255, 170, 170),
                Color::Rgb(255, 85, 85),
            ),
            Theme::Mono => (Color::Reset, Color::Reset, Color::Reset, Color::Reset),
        };
        let style = Style::new();
        let style = match tone {
            Tone::Good => style.fg(good),
            Tone::Moving => style.fg(moving),
            Tone::Look => style.fg(look),
            Tone::Bad => style.fg(bad).add_modifier(Modifier::BOLD),
            Tone::Off | Tone::Unknown => self.dim(),
        };
        if self.theme == Theme::HighContrast { style.add_modifier(Modifier::BOLD) } else { style }
    }

    /// Ordinary text.
    pub(crate) fn text(self) -> Style {
        match self.theme {
            Theme::HighContrast => Style::new().fg(Color::White).bg(Color::Black),
            _ => Style::new(),
        }
    }

    /// What matters less: headings of columns, hints, old data.
    pub(crate) fn dim(self) -> Style {
        match self.theme {
            Theme::HighContrast => Style::new().fg(Color::White),
            Theme::Mono => Style::new().add_modifier(Modifier::DIM),
            Theme::Light => Style::new().fg(Color::Rgb(100, 100, 100)),
            _ => Style::new().fg(Color::Rgb(140, 140, 140)),
        }
    }

    /// What matters more: titles, names.
    pub(crate) fn strong(self) -> Style {
        self.text().add_modifier(Modifier::BOLD)
    }

    /// The row under the cursor.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The border of a panel.
    pub(crate) fn frame(self, focused: bool) -> Style {
        match (focused, self.theme) {
            (true, Theme::Mono) => Style::new().add_modifier(Modifier::BOLD),
            (true, _) => self.tone(Tone::Moving).add_modifier(Modifier::BOLD),
            (false, _) => self.dim(),
        }
    }
}
