"""A peer of the transport services over QUIC, on aioquic. Events are lines of JSON on stdout.

  listen CERTIFICATE KEY   gives each stream back with its end, and each datagram
  connect PORT AUTHORITY   sends streams and datagrams, and wants them back
"""

import argparse
import asyncio
import json
import os
import sys
import threading

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, DatagramFrameReceived, HandshakeCompleted, StreamDataReceived

ALPN = "post/1"
# Long datagrams are for the peer to cut off.
DATAGRAM = 65536


def end_with_our_parent():
    """Standard input ends however the tests end."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


class Echo(QuicConnectionProtocol):
    """Gives everything back, and tells what it was."""

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            tell("handshake", alpn=event.alpn_protocol)
        elif isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, event.end_stream)
            self.transmit()
            if event.end_stream:
                tell("stream", id=event.stream_id)
        elif isinstance(event, DatagramFrameReceived):
            self._quic.send_datagram_frame(event.data)
            self.transmit()
            tell("datagram", size=len(event.data))
        elif isinstance(event, ConnectionTerminated):
            tell("closed", code=event.error_code, reason=event.reason_phrase)


class Collector(QuicConnectionProtocol):
    """Keeps the datagrams."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.datagrams = asyncio.Queue()

    def quic_event_received(self, event):
        if isinstance(event, DatagramFrameReceived):
            self.datagrams.put_nowait(event.data)
        elif isinstance(event, HandshakeCompleted):
            tell("handshake", alpn=event.alpn_protocol)
        super().quic_event_received(event)


async def run_listen(arguments):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[ALPN], max_datagram_frame_size=DATAGRAM)
    configuration.load_cert_chain(arguments.certificate, arguments.key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Echo)
    tell("ready", port=server._transport.get_extra_info("sockname")[1])
    await asyncio.Event().wait()


async def run_connect(arguments):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[ALPN], max_datagram_frame_size=DATAGRAM, server_name="localhost"
    )
    configuration.load_verify_locations(arguments.authority)
    async with connect("127.0.0.1", arguments.port, configuration=configuration, create_protocol=Collector) as peer:
        if arguments.datagrams:
            for size in arguments.sizes:
                peer._quic.send_datagram_frame(bytes(n % 251 for n in range(size)))
                peer.transmit()
                data = await asyncio.wait_for(peer.datagrams.get(), 20)
                tell("datagram", size=len(data), same=data == bytes(n % 251 for n in range(size)))
        else:
            for size in arguments.sizes:
                reader, writer = await peer.create_stream()
                body = bytes(n % 251 for n in range(size))
                writer.write(body)
                writer.write_eof()
                back = await asyncio.wait_for(reader.read(-1), 20)
                tell("stream", size=len(back), same=back == body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("listen")
    command.add_argument("certificate")
    command.add_argument("key")
    command = commands.add_parser("connect")
    command.add_argument("port", type=int)
    command.add_argument("authority")
    command.add_argument("sizes", type=int, nargs="*")
    command.add_argument("--datagrams", action="store_true")
    arguments = parser.parse_args()
    end_with_our_parent()
    asyncio.run({"listen": run_listen, "connect": run_connect}[arguments.command](arguments))


if __name__ == "__main__":
    main()
