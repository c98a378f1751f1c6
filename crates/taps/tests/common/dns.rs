//! A name server for one test: questions go to a function, over UDP and TCP of one port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What a question gets.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Records of the name that was asked for.
    Records(Vec<Record>),
    /// The name has other records only, which counts for so many seconds.
    None(u32),
    /// There is no such name.
    NoName,
    /// The server fails.
    Failure,
    /// Nothing at all.
    Silence,
    /// Another reply, once this is notified.
    Later(Arc<Notify>, Box<Self>),
}

/// A record: its kind, its time to live in seconds, and its data.
#[derive(Clone)]
pub(crate) struct Record {
    kind: u16,
    ttl: u32,
    data: Vec<u8>,
}

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

pub(crate) fn a(ttl: u32, address: Ipv4Addr) -> Record {
    Record { kind: A, ttl, data: address.octets().to_vec() }
}

pub(crate) fn aaaa(ttl: u32, address: Ipv6Addr) -> Record {
    Record { kind: AAAA, ttl, data: address.octets().to_vec() }
}

pub(crate) fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    let mut data: Vec<u8> = [priority, weight, port].into_iter().flat_map(u16::to_be_bytes).collect();
    for label in target.split('.').filter(|label| !label.is_empty()) {
        data.push(label.len().try_into().unwrap());
        data.extend(label.as_bytes());
    }
    data.push(0);
    Record { kind: SRV, ttl: 60, data }
}

/// What tells how long a name goes without some kind of records.
fn soa(ttl: u32) -> Record {
    let names = [0, 0];
    let (serial, times) = (1_u32, [60, 60, 60, ttl]);
    let numbers = [serial].into_iter().chain(times).flat_map(u32::to_be_bytes);
    Record { kind: 6, ttl, data: names.into_iter().chain(numbers).collect() }
}

type Zone = Arc<dyn Fn(&str, u16) -> Reply + Send + Sync>;

/// A name server that ends when it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl NameServer {
    /// Answers as `zone` says, which gets a name without the stop at its end, in lower case, and the kind of record.
    pub(crate) async fn start(zone: impl Fn(&str, u16) -> Reply + Send + Sync + 'static) -> Self {
        let zone: Zone = Arc::new(zone);
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, Arc::new(udp));
            }
        };
        let address = tcp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&zone)));
        tasks.spawn(serve_tcp(tcp, zone));
        Self { address, _tasks: tasks }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: Zone) {
    let mut answers = JoinSet::new();
    let mut buffer = [0; 1500];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let (socket, zone, question) = (Arc::clone(&socket), Arc::clone(&zone), buffer[..len].to_vec());
        answers.spawn(async move {
            if let Some(mut answer) = answer(&question, &zone).await {
                if answer.len() > 1232 {
                    // Truncated: the question alone, and a flag that says so.
                    answer = message(&question, 0, &[]);
                    answer[2] |= 0x02;
                }
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, zone: Zone) {
    let mut clients = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let zone = Arc::clone(&zone);
        clients.spawn(async move {
            while let Ok(len) = stream.read_u16().await {
                let mut question = vec![0; len.into()];
                stream.read_exact(&mut question).await.unwrap();
                if let Some(answer) = answer(&question, &zone).await {
                    stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
    }
}

async fn answer(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    while question[at] != 0 {
        let len = usize::from(question[at]);
        name.push(String::from_utf8(question[at + 1..=at + len].to_vec()).unwrap().to_lowercase());
        at += 1 + len;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let mut reply = zone(&name.join("."), kind);
    loop {
        return match reply {
            Reply::Records(records) => Some(message(question, 0, &records)),
            Reply::None(ttl) => {
                let mut answer = message(question, 0, &[soa(ttl)]);
                // It is no answer but the authority to give none (RFC 2308 2.2).
                answer[6..10].rotate_right(2);
                Some(answer)
            }
            Reply::NoName => Some(message(question, 3, &[])),
            Reply::Failure => Some(message(question, 2, &[])),
            Reply::Silence => None,
            Reply::Later(when, then) => {
                when.notified().await;
                reply = *then;
                continue;
            }
        };
    }
}

/// A response (RFC 1035 4.1) with the question it is for.
fn message(question: &[u8], code: u8, records: &[Record]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut message = question[..2].to_vec();
    message.extend([0x84 | (question[2] & 0x01), 0x80 | code, 0, 1]);
    message.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    message.extend([0; 4]);
    message.extend(&question[12..end]);
    for Record { kind, ttl, data } in records {
        // The name is the one of the question, at 12.
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}
