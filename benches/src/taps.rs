//! Transport services beside the sockets under them: what a connection costs on top of tokio, TLS and QUIC.

mod ends;
mod lanes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::measure::cpu_time;

pub use ends::{Datagrams, End, Framed, Stream};
pub use lanes::{Certificates, Lane};

/// What goes wrong in a run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many messages, and of how many bytes together, are on the way at most: left alone, a system lets the one connection
/// fill megabytes and the other not, and that costs more than all else. Where the transport drops what is too much, less.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 256 * 1024;
const LOSSY_WINDOW: usize = 16;
const LOSSY_WINDOW_BYTES: usize = 80_000;

/// What one run of one pair of ends has cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU time a message, user and system, of both ends together.
    pub cpu: Duration,
    /// Wall time a message.
    pub wall: Duration,
}

impl Cost {
    fn of(messages: u32, cpu: Duration, wall: Duration) -> Self {
        Self { cpu: cpu / messages.max(1), wall: wall / messages.max(1) }
    }
}

/// Both ends of a connection: who opened it, and who took it in.
pub type Pair = (End, End);

/// Sends messages one after the other from one end to the other; gives the ends back.
///
/// # Errors
/// A message was lost, or the transport failed.
pub async fn one_way((mut sender, mut receiver): Pair, size: usize, count: u32) -> Result<(Pair, Cost), Error> {
    let body = Bytes::from(vec![7; size]);
    let (most, bytes) = if sender.may_drop() { (LOSSY_WINDOW, LOSSY_WINDOW_BYTES) } else { (WINDOW, WINDOW_BYTES) };
    let window = Arc::new(Semaphore::new((bytes / size.max(1)).clamp(1, most)));
    let (cpu, wall) = (cpu_time(), Instant::now());
    let room = Arc::clone(&window);
    let sending = tokio::spawn(async move {
        for _ in 0..count {
            room.acquire().await?.forget();
            sender.send(body.clone()).await?;
        }
        Ok::<_, Error>(sender)
    });
    let receiving = tokio::spawn(async move {
        for _ in 0..count {
            let received = receiver.receive().await?;
            if received.len() != size {
                return Err(Error::from(format!("a message of {} bytes, not of {size}", received.len())));
            }
            window.add_permits(1);
        }
        Ok(receiver)
    });
    let (sender, receiver) = tokio::try_join!(sending, receiving)?;
    let cost = Cost::of(count, cpu_time().saturating_sub(cpu), wall.elapsed());
    Ok(((sender?, receiver?), cost))
}

/// Sends a message there and back, again and again; gives the ends back, and the median of the times.
///
/// # Errors
/// As for [`one_way`].
pub async fn there_and_back(
    (mut client, mut server): Pair,
    size: usize,
    count: u32,
) -> Result<(Pair, Duration), Error> {
    let body = Bytes::from(vec![7; size]);
    let echo = tokio::spawn(async move {
        for _ in 0..count {
            let received = server.receive().await?;
            server.send(received).await?;
        }
        Ok::<_, Error>(server)
    });
    let asking = tokio::spawn(async move {
        let mut times = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let begin = Instant::now();
            client.send(body.clone()).await?;
            client.receive().await?;
            times.push(begin.elapsed());
        }
        Ok::<_, Error>((client, times))
    });
    let (server, asked) = tokio::try_join!(echo, asking)?;
    let (client, mut times) = asked?;
    times.sort_unstable();
    Ok(((client, server?), times[times.len() / 2]))
}

/// The median of ratios, and the least and the most of them.
#[must_use]
pub fn median(mut ratios: Vec<f64>) -> [f64; 3] {
    ratios.sort_by(f64::total_cmp);
    match ratios.len() {
        0 => [f64::NAN; 3],
        count => [ratios[count / 2], ratios[0], ratios[count - 1]],
    }
}
