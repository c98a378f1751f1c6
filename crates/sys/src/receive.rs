//! `recvmsg`, with the control messages as bytes, into memory that need not be initialised.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use bytes::BufMut;
use socket2::Socket;

/// What `recvmsg` said, apart from payload and control messages.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Bytes of payload, at most as many as there was room for.
    pub(crate) len: usize,
    /// Bytes of control messages.
    pub(crate) control_len: usize,
    /// Whether the message was longer than the room for it.
    pub(crate) truncated: bool,
    /// The address that came with it, where it is one of IP.
    pub(crate) address: Option<SocketAddr>,
}

/// Room for every control message that options of this crate ask for, and some that others do.
pub(crate) const CONTROL_ROOM: usize = 256;

/// Receives one message into `payload` and its control messages into `control`.
///
/// Descriptors that a peer has sent along are closed. The code that has `unsafe` below relies on two things: nothing that
/// is not initialised is written into `payload`, and its first `len` bytes are initialised when this returns.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "socket2 takes only memory that need not be initialised")]
pub(crate) fn receive(
    socket: &Socket,
    payload: &mut [MaybeUninit<u8>],
    control: &mut [u8; CONTROL_ROOM],
    flags: i32,
) -> io::Result<Arrived> {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr};

    // Overwritten by an address of either family, and left as it is where the socket tells none. Nobody sends from
    // port 0 of no address.
    let mut address = SockAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let room = payload.len();
    let mut buffers = [MaybeUninitSlice::new(payload)];
    // SAFETY: the kernel writes nothing that is not initialised.
    let uninit = unsafe { as_uninit(control) };
    let mut message = MsgHdrMut::new().with_addr(&mut address).with_buffers(&mut buffers).with_control(uninit);
    let len = socket.recvmsg(&mut message, flags | libc::MSG_CMSG_CLOEXEC)?;
    let (control_len, truncated) = (message.control_len().min(CONTROL_ROOM), message.flags().is_truncated());
    close_descriptors(&control[..control_len]);
    Ok(Arrived {
        len: len.min(room),
        control_len,
        truncated,
        address: address.as_socket().filter(|address| address.port() != 0 || !address.ip().is_unspecified()),
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn receive(
    _: &Socket,
    _: &mut [MaybeUninit<u8>],
    _: &mut [u8; CONTROL_ROOM],
    _: i32,
) -> io::Result<Arrived> {
    Err(io::ErrorKind::Unsupported.into())
}

/// [`receive`] into memory that is initialised.
#[allow(unsafe_code, reason = "socket2 takes only memory that need not be initialised")]
pub(crate) fn receive_initialised(
    socket: &Socket,
    payload: &mut [u8],
    control: &mut [u8; CONTROL_ROOM],
    flags: i32,
) -> io::Result<Arrived> {
    // SAFETY: `receive` writes nothing into it that is not initialised.
    let payload = unsafe { as_uninit(payload) };
    receive(socket, payload, control, flags)
}

/// [`receive`] into the room that `buffer` has in one piece; what came is appended to it.
#[allow(unsafe_code, reason = "a buffer's room is not initialised")]
pub(crate) fn receive_into(
    socket: &Socket,
    buffer: &mut impl BufMut,
    control: &mut [u8; CONTROL_ROOM],
    flags: i32,
) -> io::Result<Arrived> {
    // SAFETY: `receive` writes nothing into it that is not initialised.
    let room = unsafe { buffer.chunk_mut().as_uninit_slice_mut() };
    let arrived = receive(socket, room, control, flags)?;
    // SAFETY: `receive` has initialised the first `len` bytes of the chunk, which is no shorter, and nothing has touched
    // the buffer since.
    unsafe { buffer.advance_mut(arrived.len) };
    Ok(arrived)
}

/// Lets initialised memory be passed where it need not be.
///
/// # Safety
///
/// Whoever gets the result writes nothing into it that is not initialised.
#[allow(unsafe_code, reason = "see above")]
unsafe fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let pointer: *mut [u8] = bytes;
    // SAFETY: a `MaybeUninit<u8>` has the layout of a `u8`, and the slice the same length and lifetime. What the caller
    // promises keeps every byte initialised.
    unsafe { &mut *(pointer as *mut [MaybeUninit<u8>]) }
}

/// Closes the descriptors in control messages that the kernel has just written: nobody here knows what they are for, and
/// a peer must not fill the table of the process with them.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "descriptors come as numbers")]
fn close_descriptors(control: &[u8]) {
    use std::os::fd::{FromRawFd, OwnedFd};

    use crate::control::{self, Kind};

    const RIGHTS: Kind = Kind { level: libc::SOL_SOCKET, name: libc::SCM_RIGHTS };
    let rights = control::messages(control).filter(|message| message.kind == RIGHTS);
    for number in rights.flat_map(|message| message.data.chunks_exact(4)) {
        let number = i32::from_ne_bytes([number[0], number[1], number[2], number[3]]);
        // SAFETY: the kernel has opened it for this process in the call that wrote these control messages, and told
        // nobody else of it, so this is its only owner.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
}
