//! TLS with OpenSSL's `s_server` and `s_client`.

use postroad_taps::{AcceptError, AttemptError, Delimiter, TlsConfig, TlsError, TlsVersion};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, run, soon};
use postroad_tests::process::Process;

use super::{accept, at, clear, connect, found, listen, serving, trusting};

/// Reads lines until one is as wanted.
fn line(process: &mut Process, wanted: impl Fn(&str) -> bool) -> String {
    loop {
        let line = process.line(SOON).unwrap();
        if wanted(&line) {
            return line;
        }
    }
}

fn shown(certificates: &Certificates, name: &str) -> [String; 4] {
    let [pem, key] = ["pem", "key"].map(|ending| certificates.argument(&format!("{name}.{ending}")));
    ["-cert".to_owned(), pem, "-key".to_owned(), key]
}

#[test]
fn s_server_is_trusted_and_heard_in_both_versions() {
    let openssl = found!(openssl);
    run(async {
        let certificates = Certificates::make();
        let shown = shown(&certificates, "server");
        for (option, version) in [("-tls1_2", TlsVersion::V1_2), ("-tls1_3", TlsVersion::V1_3)] {
            let arguments: Vec<_> = shown.iter().map(String::as_str).chain([option, "-alpn", "post/1"]).collect();
            let (mut server, port) = openssl.server(&arguments).unwrap();
            let client = TlsConfig::builder().roots_file(certificates.path("ca.pem")).alpn(["post/1"]).build().unwrap();
            let connection = connect(clear().security(client).framer(|| Delimiter::new("\n")), port).await;
            let tls = connection.tls_info().unwrap();
            assert_eq!((tls.version(), tls.alpn()), (version, Some(&b"post/1"[..])));
            soon(connection.send("from here")).await.unwrap();
            line(&mut server, |line| line.ends_with("from here"));
            server.tell("from there");
            assert_eq!(soon(connection.receive()).await.unwrap().data, "from there");
            soon(connection.close()).await.unwrap();
        }
    });
}

/// Case 16 (RFC 9621 3.3) and RFC 9622 6.3: the certificate is held against the name, whoever signed it.
#[test]
fn s_server_is_refused_under_another_name_and_untrusted() {
    let openssl = found!(openssl);
    run(async {
        let certificates = Certificates::make();
        let stranger = Certificates::make();
        for (shown, trusted) in
            [(shown(&certificates, "elsewhere"), &certificates), (shown(&certificates, "server"), &stranger)]
        {
            let arguments: Vec<_> = shown.iter().map(String::as_str).collect();
            let (_server, port) = openssl.server(&arguments).unwrap();
            let client = clear().security(trusting(trusted)).remote(at(port));
            let error = client.initiate().timeout(SOON).await.unwrap_err();
            assert!(matches!(error.attempts()[0].error, AttemptError::Tls(_)), "{error}");
        }
    });
}

#[test]
fn s_client_verifies_us_and_is_heard_in_both_versions() {
    let openssl = found!(openssl);
    run(async {
        let certificates = Certificates::make();
        let (listener, port) = listen(clear().security(serving(&certificates)).framer(|| Delimiter::new("\n"))).await;
        for (option, version) in [("-tls1_2", TlsVersion::V1_2), ("-tls1_3", TlsVersion::V1_3)] {
            let authority = certificates.argument("ca.pem");
            let arguments =
                [option, "-CAfile", &authority, "-verify_return_error", "-verify_hostname", "localhost", "-quiet"];
            let mut client = openssl.client(port, &arguments).unwrap();
            let connection = accept(&listener).await;
            assert_eq!(connection.tls_info().unwrap().version(), version);
            client.tell("from there");
            assert_eq!(soon(connection.receive()).await.unwrap().data, "from there");
            soon(connection.send("from here")).await.unwrap();
            line(&mut client, |line| line == "from here");
            soon(connection.close()).await.unwrap();
            assert_eq!(client.finish(SOON).unwrap().code, Some(0));
        }
    });
}

#[test]
fn s_client_that_trusts_somebody_else_is_not_established() {
    let openssl = found!(openssl);
    run(async {
        let (certificates, stranger) = (Certificates::make(), Certificates::make());
        let (listener, port) = listen(clear().security(serving(&certificates))).await;
        let authority = stranger.argument("ca.pem");
        // In TLS 1.2, where the server hears of it within the handshake.
        let arguments = ["-tls1_2", "-CAfile", &authority, "-verify_return_error", "-quiet"];
        let client = openssl.client(port, &arguments).unwrap();
        let error = soon(listener.accept()).await.unwrap_err();
        let AcceptError::Establishment(error) = error else { panic!("{error}") };
        assert!(matches!(error.tls(), Some(TlsError::CertificateRefused(_))), "{error}");
        assert_ne!(client.finish(SOON).unwrap().code, Some(0));
    });
}
