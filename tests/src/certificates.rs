//! Certificates for the suites that speak TLS, made anew for each test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority (`ca.pem`, and `ca.der`) and what it has signed, as files `NAME.pem` and `NAME.key`: `server` for `localhost` and 127.0.0.1,
/// `elsewhere` for another name, and `client`.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them in a folder that goes with this value.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn make() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).expect("a file in it");
        let params = |name: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let mut params = CertificateParams::new(hosts).expect("names of hosts");
            // OpenSSL takes a certificate whose subject is its issuer for self-signed.
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let key = || KeyPair::generate().expect("a key");
        // An authority of the same name would be taken for this one, and its signature found wrong.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let mut ca = params(&format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed)), &[]);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let secret = key();
        let signed = ca.self_signed(&secret).expect("a certificate");
        write("ca.pem", signed.pem().as_bytes());
        write("ca.der", signed.der());
        let authority = Issuer::new(ca, secret);
        let hosts: [(&str, &[&str]); 3] =
            [("server", &["localhost", "127.0.0.1"]), ("elsewhere", &["elsewhere.example"]), ("client", &["client"])];
        for (name, hosts) in hosts {
            let key = key();
            let certificate = params(name, hosts).signed_by(&key, &authority).expect("a certificate");
            write(&format!("{name}.pem"), certificate.pem().as_bytes());
            write(&format!("{name}.key"), key.serialize_pem().as_bytes());
        }
        Self { dir }
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The path of a file as an argument of a command.
    ///
    /// # Panics
    /// When the path of temporary files is no UTF-8.
    #[must_use]
    pub fn argument(&self, file: &str) -> String {
        self.path(file).into_os_string().into_string().expect("a path of UTF-8")
    }

    /// The options with which a listening peer shows the certificate `name`.
    #[must_use]
    pub fn listen_options(&self, name: &str) -> [String; 4] {
        let [certificate, key] = ["pem", "key"].map(|ending| self.argument(&format!("{name}.{ending}")));
        ["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]
    }
}
