//! The system's table of services: names of services to port numbers.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::Protocol;
use crate::resolve::{UnresolvedReason, transport};

/// The port of a service by the system's table. A number is a port too, as people write it.
pub(super) async fn port(service: String, protocol: Protocol) -> Result<u16, UnresolvedReason> {
    let transport = transport(protocol);
    if let Ok(port @ 1..) = service.parse() {
        return Ok(port);
    }
    let found = {
        let service = service.clone();
        tokio::task::spawn_blocking(move || read(&path()).ok().and_then(|table| find(&table, &service, transport)))
    };
    match found.await {
        Ok(Some(port)) => Ok(port),
        Ok(None) | Err(_) => Err(UnresolvedReason::UnknownService { service, transport }),
    }
}

/// The port of a service where one is named, and this port otherwise.
pub(super) async fn or(port: u16, service: Option<String>, protocol: Protocol) -> Result<u16, UnresolvedReason> {
    match service {
        Some(service) => self::port(service, protocol).await,
        None => Ok(port),
    }
}

/// Looks for a service in a table of lines such as `http 80/tcp www # WorldWideWeb HTTP`, by name or alias, in any
/// case (RFC 6335 5.1). Lines that are none are passed over.
fn find(table: &str, service: &str, transport: &str) -> Option<u16> {
    table.lines().find_map(|line| {
        let entry = line.split('#').next().unwrap_or_default();
        let mut words = entry.split_ascii_whitespace();
        let name = words.next()?;
        let (port, over) = words.next()?.split_once('/')?;
        let named = std::iter::once(name).chain(words).any(|name| name.eq_ignore_ascii_case(service));
        let port = port.parse().ok().filter(|port| *port != 0);
        if named && over.eq_ignore_ascii_case(transport) { port } else { None }
    })
}

/// Reads the table, as much of it as one may be long.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TABLE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn path() -> PathBuf {
    if cfg!(windows) {
        let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
        Path::new(&root).join(r"System32\drivers\etc\services")
    } else {
        PathBuf::from("/etc/services")
    }
}

/// Ten times as long as the longest table that is in use.
const MAX_TABLE: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# a table\n\
        http\t\t80/tcp\t\twww\t\t# WorldWideWeb HTTP\n\
        domain\t\t53/tcp\n\
        domain\t\t53/udp\n\
        https\t\t443/tcp\n\
        https\t\t444/udp  # HTTP/3\n\
        #gone 1/tcp\n\
        torn\n\
        worse 80\n\
        zero 0/tcp\n\
        large 65536/tcp\n\
        last 9/tcp";

    #[test]
    fn a_service_is_found_by_name_or_alias_and_transport() {
        assert_eq!(find(TABLE, "http", "tcp"), Some(80));
        assert_eq!(find(TABLE, "WWW", "tcp"), Some(80));
        assert_eq!(find(TABLE, "http", "udp"), None);
        assert_eq!(find(TABLE, "https", "udp"), Some(444));
        assert_eq!(find(TABLE, "last", "tcp"), Some(9));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for name in ["gone", "#gone", "torn", "worse", "zero", "large", "WorldWideWeb", ""] {
            assert_eq!(find(TABLE, name, "tcp"), None, "{name}");
        }
    }

    #[test]
    fn a_table_is_read_to_its_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = "http 80/tcp\n";
        let long = "#".repeat(usize::try_from(MAX_TABLE).unwrap() - line.len()) + line;
        std::fs::write(file.path(), &long).unwrap();
        assert_eq!(find(&read(file.path()).unwrap().replace('#', ""), "http", "tcp"), Some(80));
        std::fs::write(file.path(), "#".to_owned() + &long).unwrap();
        assert_eq!(read(file.path()).unwrap().len(), long.len());
        assert!(read(Path::new("/nowhere/services")).is_err());
    }

    #[tokio::test]
    async fn a_number_is_a_port() {
        assert_eq!(port("5671".to_owned(), Protocol::Tcp).await, Ok(5671));
        let unknown = UnresolvedReason::UnknownService { service: "0".to_owned(), transport: "udp" };
        assert_eq!(port("0".to_owned(), Protocol::Quic).await, Err(unknown));
    }
}
