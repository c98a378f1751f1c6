//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

use crate::{
    Address, BrokerUrl, ConnectionOptions, ConnectionOptionsError, Dialect, MAX_ADDRESS_LEN, MAX_URL_LEN, Role,
    UrlError, lex,
};

/// Reads an address in either dialect, writes it, reads it back; then its options, the same way. A strict reader gives the same
/// or an error.
///
/// # Panics
/// When an address does not survive, or an error does not print.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(tokens) = lex(text) {
        assert_eq!(tokens.iter().map(|token| token.text).collect::<String>(), text);
    }
    for dialect in [Dialect::Python, Dialect::Cpp] {
        let read = Address::parse_with(dialect, text);
        match Address::parse_strict(dialect, text) {
            Ok(address) => assert_eq!(read.as_ref(), Ok(&address)),
            Err(error) => assert!(!error.report().is_empty() && error.offset() <= text.len()),
        }
        match read {
            Ok(address) => round_trip(&address),
            Err(error) => {
                assert!(text.is_char_boundary(error.offset()) && error.offset() <= text.len());
                assert!(
                    !error.to_string().is_empty() && error.report().contains(" line:") | (text.len() > MAX_ADDRESS_LEN)
                );
            }
        }
    }
}

/// Reads a broker URL, writes it, reads it back.
///
/// # Panics
/// When a URL does not survive, or its redacted form shows the password.
pub fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // A plain address is any text at all; only what it says about URLs is of interest.
    let _ = crate::split_address(text);
    let urls = match BrokerUrl::parse_list(text) {
        Ok(urls) => urls,
        Err(error) => {
            assert!(error.hint().is_some() || matches!(error, UrlError::TooLong { .. }));
            return;
        }
    };
    for url in urls {
        let written = url.to_string();
        if written.len() <= MAX_URL_LEN {
            assert_eq!(BrokerUrl::parse(&written).as_ref(), Ok(&url), "{written}");
        }
        let hidden = url.redacted().to_string();
        assert_eq!(hidden.contains(":***@"), url.password().is_some());
    }
}

/// Reads the options of a connection, as a text and one by one.
///
/// # Panics
/// When both ways differ, when an error says nothing, or when a password is shown.
pub fn connection_options(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match ConnectionOptions::parse(text) {
        Ok(options) => {
            if let Some(password) = options.password.as_deref().filter(|password| password.len() > 20) {
                assert!(!format!("{options:?}").contains(password));
            }
            assert_eq!(ConnectionOptions::parse(text).as_ref(), Ok(&options));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let mut options = ConnectionOptions::default();
    match options.set_text(name, value) {
        Ok(()) => {}
        Err(ConnectionOptionsError::Syntax { .. }) => panic!("one option has no syntax"),
        Err(_) => assert_eq!(options, ConnectionOptions::default()),
    }
}

fn round_trip(address: &Address) {
    let written = address.to_string();
    if written.len() > MAX_ADDRESS_LEN {
        return;
    }
    assert_eq!(Address::parse(&written).as_ref(), Ok(address), "{written}");
    if let Some(written) = address.text_in(Dialect::Cpp).filter(|written| written.len() <= MAX_ADDRESS_LEN) {
        assert_eq!(Address::parse_with(Dialect::Cpp, &written).as_ref(), Ok(address), "{written}");
    }
    for role in [Role::Sender, Role::Receiver] {
        for dialect in [Dialect::Python, Dialect::Cpp] {
            match address.validate_with(dialect, role) {
                Ok(options) => {
                    let again = Address::new("x").with_options(&options);
                    assert_eq!(again.validate_with(dialect, role).as_ref(), Ok(&options), "{again}");
                    let _ = (options.node.declaration(), options.link.declaration());
                }
                Err(error) => assert!(!error.to_string().is_empty() && !error.faults().is_empty()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{address, connection_options, url};

    /// Mutates known addresses with a fixed sequence of numbers, so that every run is the same.
    #[test]
    fn mutated_addresses_and_urls() {
        let seeds = [
            r#"'a b'/c\x41\;d; {create: always, node: {x-bindings: [{key: "k\u1234"}, -1.5]}}"#,
            "prices/eu.#; {mode: browse, link: {reliability: at-most-once, timeout: 0.5, selector: 'a'}}",
            "amqp://user:p%40ss@host:5672/prices/eu.#?a=b&c",
            "amqp:user/pw@tcp:one:1,ssl:two:2,[fe80::1%25eth0]:3",
            "{reconnect: true, heartbeat: 1.5, 'sasl-mechanisms': [PLAIN], reconnect-urls: 'a,b', tls: {ca: x}, password: y}",
        ];
        let alphabet = b"{}[]:;/,'\"\\xu0419afTN.#*%@$^!+- \n\r\t\0?&=\xc3\xa9";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..1 + next(6) {
                let at = next(bytes.len());
                let byte = alphabet[next(alphabet.len())];
                match next(4) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => {
                        let end = (at + 1 + next(8)).min(bytes.len());
                        let piece = bytes[at..end].to_vec();
                        let to = next(bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
            }
            address(&bytes);
            url(&bytes);
            connection_options(&bytes);
        }
    }
}
