//! Numbers for people.

/// A number with its thousands apart: `100 000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A time that is given in microseconds.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Bytes in a second: `1.25 MB/s`.
pub(crate) fn throughput(bytes: f64) -> String {
    match bytes {
        ..1e3 => format!("{bytes:.0} B/s"),
        1e3..1e6 => format!("{:.2} kB/s", bytes / 1e3),
        1e6..1e9 => format!("{:.2} MB/s", bytes / 1e6),
        _ => format!("{:.2} GB/s", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 100_000, 1_234_567].map(grouped), ["0", "999", "1 000", "100 000", "1 234 567"]);
        assert_eq!([5, 1500, 2_000_000].map(micros), ["5 us", "1.50 ms", "2.00 s"]);
        assert_eq!([0.0, 12_345.0, 3e6, 2.5e9].map(throughput), ["0 B/s", "12.35 kB/s", "3.00 MB/s", "2.50 GB/s"]);
    }
}
