//! How fast packets leave a link: a token bucket (`tc-tbf(8)`, `linux/pkt_sched.h`).

use super::{
    bits::{nl, tc},
    request::Request,
};

/// The bucket holds what the rate gives in this part of a second, and no less than some large packets.
const BURSTS_PER_SECOND: u64 = 100;
const LEAST_BURST_BYTES: u64 = 128 << 10;
/// Packets wait no longer than this part of a second before they are dropped.
const WAITS_PER_SECOND: u64 = 20;

/// Lets the link `index` send at most `bits_per_second`, in place of an earlier limit.
#[must_use]
pub fn limit(index: u32, bits_per_second: u64) -> Request {
    let rate = bits_per_second / 8;
    let burst = (rate / BURSTS_PER_SECOND).max(LEAST_BURST_BYTES);
    let waiting = (rate / WAITS_PER_SECOND).max(LEAST_BURST_BYTES) + burst;
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut header = [0; tc::HEADER_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&tc::HANDLE.to_ne_bytes());
    header[12..16].copy_from_slice(&tc::ROOT.to_ne_bytes());
    // struct tc_tbf_qopt: rate and peak rate (struct tc_ratespec each), limit, buffer, mtu.
    let mut parameters = [0; tc::TBF_PARAMETERS_LEN];
    parameters[1] = tc::LINK_LAYER_ETHERNET;
    parameters[8..12].copy_from_slice(&number(rate).to_ne_bytes());
    parameters[24..28].copy_from_slice(&number(waiting).to_ne_bytes());
    let mut request = Request::new(tc::NEWQDISC, nl::CREATE | nl::REPLACE, &header);
    request.text(tc::KIND, "tbf").nest(tc::OPTIONS, |options| {
        options.put(tc::TBF_PARAMETERS, &parameters).number(tc::TBF_BURST, number(burst));
        if rate > u64::from(u32::MAX) {
            options.put(tc::TBF_RATE64, &rate.to_ne_bytes());
        }
    });
    request
}

/// Reads a rate: a number of bits per second, with `k`, `m` or `g` (and `bit`) behind it: `10m`, `1.5gbit`, `500kbit`.
#[must_use]
pub fn parse_rate(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let plain = lower.strip_suffix("bit").unwrap_or(&lower);
    let (digits, factor) = match plain.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if plain.ends_with('k') => (digits, 1e3),
        Some(digits) if plain.ends_with('m') => (digits, 1e6),
        Some(digits) => (digits, 1e9),
        None => (plain, 1.0),
    };
    let simple = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = digits.parse::<f64>().ok().filter(|_| simple)? * factor;
    // Slower than a modem is a mistake in the unit.
    (8_000.0..=1e13).contains(&rate).then_some(rate as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, rate) in [("10m", 10_000_000), ("10Mbit", 10_000_000), ("1.5g", 1_500_000_000), ("64000", 64_000)] {
            assert_eq!(parse_rate(text), Some(rate), "{text}");
        }
        for bad in ["", "m", "10x", "-1m", "1e9", "inf", "nan", "100", "10mb", "99999999999999999g"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
