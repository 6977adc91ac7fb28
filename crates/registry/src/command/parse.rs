//! Values of flags: sizes, times, upstreams.

use std::time::Duration;

use crate::settings::Upstream;

/// Reads `10`, `10k`, `10m`, `10g`, `10t`, also with `b` or `ib` behind: powers of 1024, as Docker reads sizes.
///
/// # Errors
/// What is wrong with it.
pub fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("expected a number with b, k, m, g or t".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

/// Reads `90s`, `5m`, `2h`, `7d`, or seconds.
///
/// # Errors
/// What is wrong with it.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("expected a number with s, m, h or d".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number".to_owned())?;
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

/// Reads `[PREFIX=]URL`, where the URL may carry a name and a password.
///
/// # Errors
/// What is wrong with it.
pub fn upstream(text: &str) -> Result<Upstream, String> {
    let (prefix, url) = match text.split_once("=http") {
        Some((prefix, rest)) => (prefix, format!("http{rest}")),
        None => ("", text.to_owned()),
    };
    if !prefix.is_empty() && !crate::name::is_repository(prefix) {
        return Err(format!("{prefix:?} is no repository's name"));
    }
    let (scheme, rest) = url.split_once("://").ok_or("expected http://HOST or https://HOST")?;
    if !["http", "https"].contains(&scheme) {
        return Err("expected http://HOST or https://HOST".to_owned());
    }
    let (credentials, host) = match rest.rsplit_once('@') {
        Some((pair, host)) => {
            let (name, password) = pair.split_once(':').ok_or("expected NAME:PASSWORD before the @")?;
            (Some((name.to_owned(), password.to_owned())), host)
        }
        None => (None, rest),
    };
    if host.trim_end_matches('/').is_empty() {
        return Err("the host is missing".to_owned());
    }
    Ok(Upstream { prefix: prefix.to_owned(), url: format!("{scheme}://{}", host.trim_end_matches('/')), credentials })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("10"), Ok(10));
        assert_eq!(size("1k"), Ok(1024));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        for text in ["", "k", "-1", "1x", "99999999999999t"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["", "m", "1w", "é"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn upstreams() {
        let plain = upstream("https://registry.example/").unwrap();
        assert_eq!((plain.prefix.as_str(), plain.url.as_str()), ("", "https://registry.example"));
        let named = upstream("docker.io=https://me:s=http@registry-1.docker.io").unwrap();
        assert_eq!(named.prefix, "docker.io");
        assert_eq!(named.credentials, Some(("me".to_owned(), "s=http".to_owned())));
        for text in ["", "x", "ftp://x", "A=https://x", "https://", "https://a@b"] {
            assert!(upstream(text).is_err(), "{text}");
        }
    }
}
