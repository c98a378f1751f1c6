//! A relay between a client and a server, which reads the traffic class of every packet, can fall silent, and can go on from
//! another address.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use postroad_sys::message;
use tokio::io::Interest;
use tokio::task::JoinHandle;

use super::*;

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    server: SocketAddr,
    front: Arc<tokio::net::UdpSocket>,
    /// The code points of what the client and what the server has sent.
    seen: Arc<Mutex<[Vec<u8>; 2]>>,
    silent: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Relay {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let front = socket().await;
        let address = front.local_addr().unwrap();
        let mut relay =
            Self { address, server, front, seen: Arc::default(), silent: Arc::default(), tasks: Vec::new() };
        relay.move_on().await;
        relay
    }

    /// Goes on from another address, as a client does whose network has changed.
    pub(super) async fn move_on(&mut self) {
        let (front, back, client) = (Arc::clone(&self.front), socket().await, Arc::new(Mutex::new(None)));
        back.connect(self.server).await.unwrap();
        let run = |side: usize, from: Arc<tokio::net::UdpSocket>, to: Arc<tokio::net::UdpSocket>| {
            let (seen, silent, client) = (Arc::clone(&self.seen), Arc::clone(&self.silent), Arc::clone(&client));
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    let receive = || message::receive(&from, &mut buffer);
                    let Ok(received) = from.async_io(Interest::READABLE, receive).await else { continue };
                    if silent.load(Ordering::Relaxed) {
                        continue;
                    }
                    seen.lock().unwrap()[side].push(received.dscp().unwrap());
                    let data = &buffer[..received.len];
                    let peer = match side {
                        0 => {
                            *client.lock().unwrap() = received.from;
                            None
                        }
                        _ => *client.lock().unwrap(),
                    };
                    let _ = match peer {
                        Some(client) => to.send_to(data, client).await,
                        None => to.send(data).await,
                    };
                }
            })
        };
        let tasks = vec![run(0, Arc::clone(&front), Arc::clone(&back)), run(1, back, front)];
        std::mem::replace(&mut self.tasks, tasks).iter().for_each(JoinHandle::abort);
    }

    /// What was seen since the last call.
    pub(super) fn seen(&self) -> [Vec<u8>; 2] {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(super) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn socket() -> Arc<tokio::net::UdpSocket> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    message::set_receive_traffic_class(&socket, true).unwrap();
    Arc::new(socket)
}
