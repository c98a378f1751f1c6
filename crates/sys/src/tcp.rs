//! What the kernel tells of a TCP connection, and how fast it may send.

use std::io;
use std::time::Duration;

use socket2::SockRef;

use crate::native::{array, u32_at, u64_at};
use crate::option::{SocketOption, linux};

/// What the kernel tells of a TCP connection. Counts are of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Times in a row that the oldest segment was sent again because of a timeout; 0 as soon as it is acknowledged.
    #[doc(alias = "tcpi_retransmits")]
    pub retransmits: u8,
    /// Segments that were sent again since the connection began, for whatever reason.
    #[doc(alias = "tcpi_total_retrans")]
    pub total_retransmits: u32,
    /// The smoothed round-trip time, in microseconds' resolution. 0 before the first measurement.
    pub round_trip_time: Duration,
    /// How much the round-trip time varies.
    pub round_trip_variation: Duration,
    /// How long to wait for an acknowledgement before the oldest segment is sent again.
    pub retransmission_timeout: Duration,
    /// Segments that were sent and not acknowledged.
    pub unacknowledged: u32,
    /// Segments that are thought lost.
    pub lost: u32,
    /// How many segments may be unacknowledged at a time, by the congestion control.
    pub congestion_window: u32,
    /// The largest segment that may be sent, in bytes of payload.
    pub segment_size: u32,
    /// The largest packet that fits the path, in bytes.
    pub path_mtu: u32,
    /// Bytes that the peer has acknowledged, where the kernel tells it (Linux 4.2).
    pub acknowledged_bytes: Option<u64>,
}

/// Returns what the kernel tells of a TCP connection; of the first subflow where it is MPTCP.
///
/// # Errors
///
/// What `getsockopt` says: `ENOPROTOOPT` or `EOPNOTSUPP` where the socket is not of TCP.
#[doc(alias = "TCP_INFO")]
pub fn info<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<TcpInfo> {
    let mut value = [0; LONGEST];
    let len = INFO.read_bytes(&socket.into(), &mut value)?;
    TcpInfo::parse(&value[..len]).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sets how many bytes a second the socket may send at most, headers included; `None` for no limit.
///
/// The kernel paces TCP by itself, and sends up to a quarter faster, because it makes up for timers that were late: this
/// smooths what is sent, and whoever needs the rate kept exactly counts as well. Datagrams are paced only where the queue of
/// the interface does it (`fq`).
///
/// # Errors
///
/// What `setsockopt` says: `EOPNOTSUPP` for MPTCP.
#[doc(alias = "SO_MAX_PACING_RATE")]
pub fn set_max_pacing_rate<'s>(socket: impl Into<SockRef<'s>>, bytes_per_second: Option<u64>) -> io::Result<()> {
    // The option is an `unsigned long`, and all ones is no limit.
    let rate = bytes_per_second.map_or(usize::MAX, |rate| usize::try_from(rate).unwrap_or(usize::MAX));
    MAX_PACING_RATE.set_bytes(&socket.into(), &rate.to_ne_bytes())
}

/// Returns how many bytes a second the socket may send at most; `None` for no limit.
///
/// # Errors
///
/// What `getsockopt` says.
pub fn max_pacing_rate<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Option<u64>> {
    let mut value = [0; size_of::<usize>()];
    // Before Linux 4.20 the rate is of 32 bits.
    match MAX_PACING_RATE.read_bytes(&socket.into(), &mut value)? {
        4 => Ok(u32_at(&value, 0).filter(|rate| *rate != u32::MAX).map(u64::from)),
        _ => Ok(Some(usize::from_ne_bytes(value)).filter(|rate| *rate != usize::MAX).map(|rate| rate as u64)),
    }
}

impl TcpInfo {
    /// Reads `struct tcp_info`, of which newer kernels write more than older ones.
    fn parse(value: &[u8]) -> Option<Self> {
        let micros = |offset| u32_at(value, offset).map(|micros| Duration::from_micros(micros.into()));
        let [_, _, retransmits, _] = array(value, 0)?;
        Some(Self {
            retransmits,
            total_retransmits: u32_at(value, 100)?,
            round_trip_time: micros(68)?,
            round_trip_variation: micros(72)?,
            retransmission_timeout: micros(8)?,
            unacknowledged: u32_at(value, 24)?,
            lost: u32_at(value, 32)?,
            congestion_window: u32_at(value, 80)?,
            segment_size: u32_at(value, 16)?,
            path_mtu: u32_at(value, 60)?,
            acknowledged_bytes: u64_at(value, 120),
        })
    }
}

const INFO: SocketOption = SocketOption::new(linux!(IPPROTO_TCP), linux!(TCP_INFO));
const MAX_PACING_RATE: SocketOption = SocketOption::new(linux!(SOL_SOCKET), SO_MAX_PACING_RATE);
// Older releases of libc lack it. SPARC has numbers of its own.
const SO_MAX_PACING_RATE: i32 = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) { 0x31 } else { 47 };
/// More than the structure has today.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_the_structure_is_refused_or_read() {
        let mut value = [0; 232];
        value[2] = 3;
        value[68..72].copy_from_slice(&1500u32.to_ne_bytes());
        value[100..104].copy_from_slice(&9u32.to_ne_bytes());
        value[120..128].copy_from_slice(&4096u64.to_ne_bytes());
        for len in 0..value.len() {
            let info = TcpInfo::parse(&value[..len]);
            assert_eq!(info.is_some(), len >= 104, "{len}");
            assert_eq!(info.and_then(|info| info.acknowledged_bytes), (len >= 128).then_some(4096), "{len}");
        }
        let info = TcpInfo::parse(&value).unwrap();
        assert_eq!((info.retransmits, info.total_retransmits), (3, 9));
        assert_eq!(info.round_trip_time, Duration::from_micros(1500));
    }
}
