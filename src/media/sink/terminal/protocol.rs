//! What a terminal can draw, as far as its environment tells. Pure.

use std::str::FromStr;

use super::answers::Answers;

/// How pictures are drawn, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graphics {
    /// The kitty graphics protocol: kitty, Ghostty, WezTerm, Konsole.
    Kitty,
    /// iTerm2's inline images.
    Iterm,
    /// DEC sixels: foot, mlterm, xterm -ti vt340.
    Sixel,
    /// Half blocks in 24-bit colours.
    TrueColour,
    /// Half blocks in the 256 colours of xterm.
    Colours256,
}

impl Graphics {
    /// The best that the terminal has, by what it has answered and by its environment.
    #[must_use]
    pub fn best(answers: Answers, get: impl Fn(&str) -> Option<String>) -> Self {
        match Self::detect(get) {
            _ if answers.kitty => Self::Kitty,
            Self::TrueColour | Self::Colours256 if answers.sixel => Self::Sixel,
            known => known,
        }
    }

    /// The best that the terminal has, by its environment alone; `get` reads an environment variable. Of these, ssh hands on
    /// only `TERM`, and `LC_` names where it is told to.
    #[must_use]
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).unwrap_or_default();
        let (term, program) = (get("TERM"), get("TERM_PROGRAM"));
        let kitty = ["xterm-kitty", "xterm-ghostty", "wezterm"].contains(&term.as_str())
            || ["ghostty", "WezTerm"].contains(&program.as_str())
            || !get("KITTY_WINDOW_ID").is_empty();
        // A multiplexer stands in between and knows none of these.
        let direct = !["screen", "tmux"].iter().any(|name| term.starts_with(name))
            && get("TMUX").is_empty()
            && get("STY").is_empty();
        if direct && kitty {
            return Self::Kitty;
        }
        if direct && (program == "iTerm.app" || get("LC_TERMINAL") == "iTerm2") {
            return Self::Iterm;
        }
        if direct
            && (term.starts_with("foot") || term.starts_with("mlterm") || term.contains("sixel"))
        {
            return Self::Sixel;
        }
        let colours = get("COLORTERM");
        let named = ["direct", "kitty", "ghostty", "alacritty", "foot", "wezterm"];
        if colours == "truecolor"
            || colours == "24bit"
            || named.iter().any(|name| term.contains(name))
        {
            return Self::TrueColour;
        }
        Self::Colours256
    }
}

impl FromStr for Graphics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kitty" => Ok(Self::Kitty),
            "iterm" => Ok(Self::Iterm),
            "sixel" => Ok(Self::Sixel),
            "truecolour" | "truecolor" => Ok(Self::TrueColour),
            "256" => Ok(Self::Colours256),
            _ => Err(format!(
                "'{text}' is not a way to draw; write kitty, iterm, sixel, truecolor or 256"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Graphics {
        Graphics::detect(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_a_terminal_answers_counts_for_more() {
        let best = |answers| Graphics::best(answers, |_| None);
        assert_eq!(best(Answers::default()), Graphics::Colours256);
        assert_eq!(best(Answers { sixel: true, ..Answers::default() }), Graphics::Sixel);
        let both = Answers { sixel: true, kitty: true, ..Answers::default() };
        assert_eq!(best(both), Graphics::Kitty);
        let iterm = |name: &str| (name == "LC_TERMINAL").then(|| "iTerm2".to_owned());
        let sixel = Answers { sixel: true, ..Answers::default() };
        assert_eq!(Graphics::best(sixel, iterm), Graphics::Iterm);
    }

    #[test]
    fn terminals_are_known_by_their_environment() {
        assert_eq!(detect(&[("TERM", "xterm-kitty")]), Graphics::Kitty);
        assert_eq!(
            detect(&[("TERM", "xterm-256color"), ("LC_TERMINAL", "iTerm2")]),
            Graphics::Iterm
        );
        assert_eq!(detect(&[("TERM", "foot")]), Graphics::Sixel);
        let truecolour = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        assert_eq!(detect(&truecolour), Graphics::TrueColour);
        assert_eq!(detect(&[("TERM", "xterm-256color")]), Graphics::Colours256);
        assert_eq!(detect(&[]), Graphics::Colours256);
        let within = [("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1"), ("COLORTERM", "24bit")];
        assert_eq!(detect(&within), Graphics::TrueColour, "tmux hands no pictures on");
        let renamed = [("TERM", "xterm-256color"), ("TMUX", "/tmp/t"), ("KITTY_WINDOW_ID", "1")];
        assert_eq!(detect(&renamed), Graphics::Colours256, "tmux under another name");
    }
}
