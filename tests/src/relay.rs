//! A port that leads to another one: what passes can be recorded, and can be held back.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capture::{Capture, Side};

/// A relay on a free port of 127.0.0.1. Connections that are open when it is dropped are shut.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    to: u16,
    capture: Option<Capture>,
    stalled: AtomicBool,
    over: AtomicBool,
    /// Whether the server has ended a connection.
    server_ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// What is read at once: a segment of the capture, which has a length of 16 bits.
const CHUNK: usize = 16 * 1024;

impl Relay {
    /// Leads to `to` on 127.0.0.1; what passes is written to `capture`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(to: u16, capture: Option<Capture>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { to, capture, ..Shared::default() });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Ok((client, _)) = listener.accept() {
                    if shared.over.load(Ordering::SeqCst) {
                        break;
                    }
                    shared.carry(client);
                }
            }
        });
        Ok(Self { port, shared, accepting: Some(accepting) })
    }

    /// The port that leads there.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes and nothing ends: either side sees the other say nothing.
    pub fn stall(&self) {
        self.shared.stalled.store(true, Ordering::SeqCst);
    }

    /// Whether the server ends a connection within `limit`.
    #[must_use]
    pub fn server_ends(&self, limit: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.shared.server_ended.load(Ordering::SeqCst) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().expect("no thread panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // It waits for a connection, and gets its last.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    /// Joins a client to the other port; where nobody listens there, the client is shut.
    fn carry(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)) else { return };
        let pairs = [(&client, &server), (&server, &client)]
            .map(|(from, to)| Some((from.try_clone().ok()?, to.try_clone().ok()?)));
        let [Some(there), Some(back)] = pairs else { return };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        self.open.lock().expect("no thread panics").extend([client, server]);
        let connection = self.capture.as_ref().map(Capture::connection);
        for (side, (from, to)) in [(Side::Client, there), (Side::Server, back)] {
            let (shared, connection) = (Arc::clone(self), connection.clone());
            thread::spawn(move || {
                shared.copy(from, to, |bytes| {
                    if side == Side::Server && bytes.is_empty() {
                        shared.server_ended.store(true, Ordering::SeqCst);
                    }
                    if let Some(connection) = &connection {
                        connection.says(side, bytes);
                    }
                });
            });
        }
    }

    /// Passes on what one side says; nothing (`tell(&[])`) at its end.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, tell: impl Fn(&[u8])) {
        let mut buffer = [0; CHUNK];
        loop {
            let read = from.read(&mut buffer);
            while self.stalled.load(Ordering::SeqCst) {
                if self.over.load(Ordering::SeqCst) {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
            let Ok(count @ 1..) = read else {
                tell(&[]);
                let _ = to.shutdown(if read.is_ok() { Shutdown::Write } else { Shutdown::Both });
                return;
            };
            // Before it is passed on, so that an answer stands behind its question.
            tell(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
