//! Numbers with units, as people write them: bits a second, times.
//!
//! Pure: text in, number out. What range makes sense, and what to say when it is no number, is the
//! caller's to know.

/// Reads digits with at most one point; no sign, no exponent.
#[must_use]
pub fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { text.parse().ok() } else { None }
}

/// Reads a rate such as `2M`, `1.5M`, `1500k` or `800000`, in bits a second.
#[must_use]
pub fn bits_a_second(text: &str) -> Option<f64> {
    let (digits, scale) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    decimal(digits).map(|value| value * scale)
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotATime {
    /// A number, but of what?
    NoUnit,
    /// Something else.
    NoNumber,
}

/// Reads a time such as `30s`, `1.5s`, `500ms`, `2m` or `1h`, in seconds.
///
/// # Errors
/// When it is no time.
pub fn seconds(text: &str) -> Result<f64, NotATime> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let number = decimal(digits).ok_or(NotATime::NoNumber)?;
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(NotATime::NoUnit),
        _ => return Err(NotATime::NoNumber),
    };
    Ok(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_no_exponent() {
        assert_eq!((decimal("1.5"), decimal("30")), (Some(1.5), Some(30.0)));
        for text in ["", ".5", "-1", "+1", "1e3", "1.2.3", "inf", "NaN", " 1"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn units_scale() {
        assert_eq!(bits_a_second("1.5M"), Some(1_500_000.0));
        assert_eq!(bits_a_second("600K"), Some(600_000.0));
        assert_eq!(bits_a_second("ü"), None);
        assert_eq!((seconds("250ms"), seconds("2m")), (Ok(0.25), Ok(120.0)));
        assert_eq!(seconds("10"), Err(NotATime::NoUnit));
        assert_eq!(seconds("1d"), Err(NotATime::NoNumber));
    }
}
