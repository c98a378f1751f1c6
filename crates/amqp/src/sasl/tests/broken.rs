//! Messages that are cut, changed or too long.

use super::*;

/// Each message of an exchange cut at every byte: it never ends well, and never panics.
#[test]
fn cut_messages_are_refused() {
    for number in 0..4 {
        for length in 0.. {
            let mut whole = false;
            let end = run_tampered(scram_sha_1(), server(fast(), false), false, |n, message| {
                if n == number {
                    whole = length >= message.len();
                    message.slice(..length.min(message.len()))
                } else {
                    message
                }
            });
            if whole {
                assert_eq!(end, accepted("alice", "SCRAM-SHA-1"));
                break;
            }
            assert!(!matches!(end, End::Accepted(_, _, Ok(()))), "message {number} cut to {length}: {end:?}");
        }
    }
}

/// Each message of an exchange with each byte changed: it never ends well, and never panics.
#[test]
fn changed_messages_are_refused() {
    let mut changed = 0;
    for number in 0..4 {
        for (position, bit) in (0..).flat_map(|position| [(position, 0x01), (position, 0x80)]) {
            let mut beyond = false;
            let end = run_tampered(scram_sha_1(), server(fast(), false), false, |n, message| {
                if n != number {
                    return message;
                }
                beyond = position >= message.len();
                let mut bytes = message.to_vec();
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= bit;
                }
                Bytes::from(bytes)
            });
            if beyond {
                break;
            }
            changed += 1;
            assert!(!matches!(end, End::Accepted(_, _, Ok(()))), "message {number} at {position}: {end:?}");
        }
    }
    assert!(changed > 400, "only {changed} changes were tried");
}

#[test]
fn oversized_messages_are_refused_before_they_are_read() {
    let long = vec![b'x'; MAX_MESSAGE + 1];
    let refused = Step::Refused(SaslError::TooLong { limit: MAX_MESSAGE });
    let all = || config().anonymous(true).plain_without_tls(true).external(true);
    for mechanism in EVERYTHING {
        let mut server = Server::new(Arc::new(all()), false, Some("x".to_owned()), SERVER_NONCE);
        assert_eq!(server.init(mechanism, Some(&long)), refused, "{mechanism}");
        assert_eq!(server.response(b""), Step::Refused(SaslError::UnexpectedStep));
    }
    let mut proving = server(all(), false);
    assert!(matches!(proving.init("SCRAM-SHA-1", Some(b"n,,n=alice,r=x")), Step::Challenge(_)));
    assert_eq!(proving.response(&long), refused);

    let mut challenged = client("alice", "wonderland");
    challenged.start(&["SCRAM-SHA-1"], false).unwrap();
    assert_eq!(challenged.challenge(&long), Err(SaslError::TooLong { limit: MAX_MESSAGE }));
    let name = "x".repeat(MAX_MESSAGE);
    assert_eq!(client(&name, "b").start(&["SCRAM-SHA-1"], false), Err(SaslError::TooLong { limit: MAX_MESSAGE }));
    let external = Credentials::External { authorization: Some(name + "x") };
    let too_long = Client::new(external, CLIENT_NONCE).start(&["EXTERNAL"], true);
    assert_eq!(too_long, Err(SaslError::TooLong { limit: MAX_MESSAGE }));
}

/// A user whose exchanges are as cheap as they may be, for tests that run hundreds.
fn fast() -> ServerConfig {
    static FAST: LazyLock<Arc<UserFile>> = LazyLock::new(|| {
        let line = hash_password("alice", "wonderland", ScramHash::Sha1, 1000, [7; 16]).unwrap();
        Arc::new(UserFile::parse(&line, [0; 32]).unwrap())
    });
    ServerConfig::new([8; 32]).users(FAST.clone())
}

fn scram_sha_1() -> Client {
    client("alice", "wonderland").allowed(["SCRAM-SHA-1"])
}
