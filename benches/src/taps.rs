//! Transport services beside the sockets under them: what a connection costs on top of tokio, TLS and QUIC.

mod ends;
mod lanes;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::measure::cpu_time;

pub use ends::{Datagrams, End, Framed, Stream};
pub use lanes::{Certificates, Lane};

/// What goes wrong in a run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many messages, and of how many bytes together, are on the way at most, where the transport drops what is too
/// much.
const WINDOW: usize = 16;
const WINDOW_BYTES: usize = 80_000;

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

/// Sends messages one after the other from one end to the other, both on this thread.
///
/// # Errors
/// A message was lost, or the transport failed.
pub async fn one_way(sender: &mut End, receiver: &mut End, size: usize, count: u32) -> Result<Cost, Error> {
    let body = Bytes::from(vec![7; size]);
    let fits = (WINDOW_BYTES / size.max(1)).clamp(1, WINDOW);
    let window = Semaphore::new(if sender.may_drop() { fits } else { Semaphore::MAX_PERMITS });
    let (cpu, wall) = (cpu_time(), Instant::now());
    let sending = async {
        for _ in 0..count {
            window.acquire().await?.forget();
            sender.send(body.clone()).await?;
        }
        Ok::<_, Error>(())
    };
    let receiving = async {
        for _ in 0..count {
            let received = receiver.receive().await?;
            if received.len() != size {
                return Err(Error::from(format!("a message of {} bytes, not of {size}", received.len())));
            }
            window.add_permits(1);
        }
        Ok(())
    };
    tokio::try_join!(sending, receiving)?;
    Ok(Cost::of(count, cpu_time().saturating_sub(cpu), wall.elapsed()))
}

/// Sends a message there and back, again and again; gives the median of the times.
///
/// # Errors
/// As for [`one_way`].
pub async fn there_and_back(client: &mut End, server: &mut End, size: usize, count: u32) -> Result<Duration, Error> {
    let body = Bytes::from(vec![7; size]);
    let echo = async {
        for _ in 0..count {
            let received = server.receive().await?;
            server.send(received).await?;
        }
        Ok::<_, Error>(())
    };
    let asking = async {
        let mut times = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let begin = Instant::now();
            client.send(body.clone()).await?;
            client.receive().await?;
            times.push(begin.elapsed());
        }
        Ok::<_, Error>(times)
    };
    let ((), mut times) = tokio::try_join!(echo, asking)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
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
