//! A session over TCP as a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::stream::StreamTransport;

impl StreamTransport for TlsStream<TcpStream> {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_fill_buf(cx).map_ok(drop)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_write_ready(cx)
    }

    fn tcp_socket(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0)
    }
}
