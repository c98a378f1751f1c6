//! SCRAM: both sides are shown, and what the standards say.

use super::*;

#[test]
fn every_scram_hash_authenticates_both_sides() {
    for hash in ScramHash::STRONGEST_FIRST {
        for (user, password, name) in
            [("alice", "wonderland", "alice"), ("a=b,c", "{d}", "a=b,c"), ("\u{2168}", "pass", "IX")]
        {
            let client = client(user, password).allowed([hash.mechanism().to_lowercase()]);
            assert_eq!(run(client, server(config(), false), false), accepted(name, hash.mechanism()));
        }
    }
}

#[test]
fn unknown_users_look_like_known_ones_and_always_the_same() {
    let strong = hash_password("strong", "x", ScramHash::Sha256, 10_000, [5; 16]).unwrap();
    let other = hash_password("other", "x", ScramHash::Sha256, 10_000, [6; 16]).unwrap();
    let users = Arc::new(UserFile::parse(&format!("{strong}\n{other}"), [0; 32]).unwrap());
    let challenge = |secret: u8, user: &str| {
        let config = ServerConfig::new([secret; 32]).users(users.clone());
        let first = format!("n,,n={user},r=abc");
        match server(config, false).init("SCRAM-SHA-256", Some(first.as_bytes())) {
            Step::Challenge(challenge) => String::from_utf8(challenge.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let [known, unknown] = ["strong", "weak"].map(|user| challenge(1, user));
    assert_eq!(known.len(), unknown.len());
    assert!(known.ends_with(",i=10000") && unknown.ends_with(",i=10000"), "{known} {unknown}");
    assert_eq!(unknown, challenge(1, "weak"));
    assert_ne!(unknown, challenge(1, "weak2"));
    assert_ne!(unknown, challenge(2, "weak"));
}

#[test]
fn the_signature_may_come_as_a_last_challenge() {
    let with_challenge = || server(config(), false).final_challenge(true);
    assert_eq!(run(client("alice", "wonderland"), with_challenge(), false), accepted("alice", "SCRAM-SHA-512"));
    let forged = run_tampered(client("alice", "wonderland"), with_challenge(), false, |number, message| {
        if number == 3 { Bytes::from_static(b"v=QUJD") } else { message }
    });
    assert_eq!(forged, End::GivenUpByClient(SaslError::ServerSignature));
    let talkative = run_tampered(client("alice", "wonderland"), with_challenge(), false, |number, message| {
        if number == 4 { Bytes::from_static(b"x") } else { message }
    });
    assert!(matches!(talkative, End::RefusedByServer(SaslError::Malformed(_))), "{talkative:?}");
}

#[test]
fn a_server_that_forges_or_skips_its_signature_is_refused() {
    let mut proven = client("alice", "wonderland");
    let mut server = server(config(), false);
    let init = proven.start(&["SCRAM-SHA-256"], false).unwrap();
    let Step::Challenge(challenge) = server.init(init.mechanism, init.response.as_deref()) else { panic!() };
    let response = proven.challenge(&challenge).unwrap();
    let Step::Accepted { additional: Some(genuine), .. } = server.response(&response) else { panic!() };

    // The same exchange again, up to the outcome: both sides are deterministic.
    let until_outcome = || {
        let mut client = client("alice", "wonderland");
        client.start(&["SCRAM-SHA-256"], false).unwrap();
        assert_eq!(client.challenge(&challenge).unwrap(), response);
        client
    };
    assert_eq!(until_outcome().finish(Some(&genuine)), Ok(()));
    assert_eq!(until_outcome().finish(None), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"")), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"v=QUJD")), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"e=invalid-proof")), Err(SaslError::AuthenticationFailed));
    let mut forged = genuine.to_vec();
    forged[5] ^= 1;
    assert_eq!(until_outcome().finish(Some(&forged)), Err(SaslError::ServerSignature));

    // A server that says "welcome" before it was shown anything.
    let mut early = client("alice", "wonderland");
    early.start(&["SCRAM-SHA-256"], false).unwrap();
    assert_eq!(early.finish(Some(&genuine)), Err(SaslError::UnexpectedStep));
    assert_eq!(early.challenge(&challenge), Err(SaslError::UnexpectedStep));
}

#[test]
fn an_iteration_bomb_is_refused_at_once() {
    let challenge = |mechanism: &str, iterations: &str| {
        let mut client = client("alice", "wonderland");
        let init = client.start(&[mechanism], false).unwrap().response.unwrap();
        let (_, nonce) = str::from_utf8(&init).unwrap().split_once("r=").unwrap();
        client.challenge(format!("r={nonce}x,s=QUJD,i={iterations}").as_bytes())
    };
    let refused = |count, min| Err(SaslError::IterationCount { count, min });
    assert_eq!(challenge("SCRAM-SHA-512", "1000001"), refused(1_000_001, 4096));
    assert_eq!(challenge("SCRAM-SHA-256", "999999999"), refused(999_999_999, 4096));
    assert!(matches!(challenge("SCRAM-SHA-256", "4294967295"), Err(SaslError::Malformed(_))));
    assert_eq!(challenge("SCRAM-SHA-256", "1"), refused(1, 4096));
    assert_eq!(challenge("SCRAM-SHA-1", "999"), refused(999, 1000));
    assert!(challenge("SCRAM-SHA-1", "1000").is_ok());
    assert!(SaslError::IterationCount { count: 1, min: 4096 }.hint().unwrap().contains("more"));
    assert!(SaslError::IterationCount { count: 1_000_001, min: 4096 }.hint().unwrap().contains("fewer"));
}

#[test]
fn a_response_of_another_exchange_is_refused() {
    let first = b"n,,n=alice,r=abc";
    let mut one = Server::new(Arc::new(config()), false, None, [1; 24]);
    assert!(matches!(one.init("SCRAM-SHA-1", Some(first)), Step::Challenge(_)));
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(one.response(format!("c=biws,r=abcd,p={proof}").as_bytes()), Step::Refused(SaslError::NonceMismatch));

    // A header that is not the one of the first message.
    let mut one = Server::new(Arc::new(config()), false, None, [1; 24]);
    let Step::Challenge(challenge) = one.init("SCRAM-SHA-1", Some(first)) else { panic!() };
    let nonce = str::from_utf8(&challenge).unwrap().split_once(',').unwrap().0;
    let step = one.response(format!("c=eSws,{nonce},p={proof}").as_bytes());
    assert!(matches!(step, Step::Refused(SaslError::Malformed(_))), "{step:?}");
}

/// The examples of RFC 5802 5 and RFC 7677 3; that of SHA-512 was computed with another implementation.
mod vectors {
    use super::*;

    struct Vector {
        hash: ScramHash,
        client_nonce: &'static str,
        server_nonce: &'static str,
        salt: &'static [u8],
        challenge: &'static str,
        proof: &'static str,
        signature: &'static str,
    }

    const SALT_5802: &[u8] = &[0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76];
    const SALT_7677: &[u8] =
        &[0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    const VECTORS: [Vector; 3] = [
        Vector {
            hash: ScramHash::Sha1,
            client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
            server_nonce: "3rfcNHYJY1ZVvWVs7j",
            salt: SALT_5802,
            challenge: "s=QSXCR+Q6sek8bf92,i=4096",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Vector {
            hash: ScramHash::Sha256,
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: SALT_7677,
            challenge: "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
        Vector {
            hash: ScramHash::Sha512,
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: SALT_7677,
            challenge: "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            proof: "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            signature: "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        },
    ];

    #[derive(Debug)]
    struct Pencil(ScramKeys);

    impl Users for Pencil {
        fn scram(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
            (user == "user" && hash == self.0.hash()).then(|| self.0.clone())
        }

        fn check_plain(&self, _user: &str, _password: &str) -> bool {
            false
        }
    }

    #[test]
    fn both_sides_say_what_the_standards_say() {
        for vector in VECTORS {
            let keys = ScramKeys::derive(vector.hash, "pencil", 4096, vector.salt).unwrap();
            let config = Arc::new(ServerConfig::new([0; 32]).users(Arc::new(Pencil(keys))));
            let mut server = Server::with_nonce(config, false, None, vector.server_nonce.to_owned());
            let credentials = Credentials::password("user", "pencil");
            let mut client = Client::with_nonce(credentials, vector.client_nonce.to_owned());

            let init = client.start(&[vector.hash.mechanism()], false).unwrap();
            let response = init.response.unwrap();
            assert_eq!(response, format!("n,,n=user,r={}", vector.client_nonce));
            let nonce = format!("r={}{}", vector.client_nonce, vector.server_nonce);
            let challenge = Bytes::from(format!("{nonce},{}", vector.challenge));
            assert_eq!(server.init(init.mechanism, Some(&response)), Step::Challenge(challenge.clone()));
            let response = client.challenge(&challenge).unwrap();
            assert_eq!(response, format!("c=biws,{nonce},p={}", vector.proof));
            let signature = Bytes::from(format!("v={}", vector.signature));
            let accepted = Step::Accepted {
                user: "user".to_owned(),
                mechanism: vector.hash.mechanism(),
                additional: Some(signature.clone()),
            };
            assert_eq!(server.response(&response), accepted);
            assert_eq!(client.finish(Some(&signature)), Ok(()));
        }
    }
}
