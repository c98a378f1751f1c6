"""A peer of the transport services on Python's standard library, which knows nothing of their interface (RFC 9621 3.4).

Events are lines of JSON on stdout. What it writes on a stream is framed by four bytes of length, most significant first.

  listen [--tls CERTIFICATE KEY] [--count N]  asyncio: gives each message back to who has sent it
  connect PORT SIZES [--tls AUTHORITY]        asyncio: sends messages of these sizes and wants each of them back
  whole [--reset]                             asyncio: reads a stream to its end, then gives all of it back
  plain PORT                                  a bare socket that splits and joins frames as it likes
  marks [--udp]                               tells the octet of type of service of what comes
"""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import threading


def end_with_our_parent():
    """Standard input ends however the tests end."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


def pattern(size):
    """The message of a size, as the tests make it."""
    return bytes(n % 251 for n in range(size))


async def read_frame(reader):
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    return await reader.readexactly(length)


def frame(body):
    return struct.pack(">I", len(body)) + body


async def serve(handler, context=None):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    tell("ready", port=server.sockets[0].getsockname()[1])
    return server


async def listen(arguments):
    context = None
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*arguments.tls)
    left = asyncio.Semaphore(0)

    async def handler(reader, writer):
        messages, why = 0, "end"
        try:
            while True:
                body = await read_frame(reader)
                messages += 1
                writer.write(frame(body))
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            why = "end" if not error.partial else "cut short"
        except ConnectionError as error:
            why = type(error).__name__
        tell("closed", messages=messages, why=why)
        writer.close()
        left.release()

    await serve(handler, context)
    for _ in range(arguments.count):
        await left.acquire()


async def connect(arguments):
    context = ssl.create_default_context(cafile=arguments.tls) if arguments.tls else None
    host = "localhost" if context else None
    reader, writer = await asyncio.open_connection("127.0.0.1", arguments.port, ssl=context, server_hostname=host)
    for size in arguments.sizes:
        writer.write(frame(pattern(size)))
        back = await read_frame(reader)
        tell("message", size=len(back), same=back == pattern(size))
    writer.close()
    await writer.wait_closed()


async def whole(arguments):
    done = asyncio.Event()

    async def handler(reader, writer):
        data = await reader.read(1) if arguments.reset else await reader.read(-1)
        tell("stream", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        if arguments.reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.write(data)
            await writer.drain()
            writer.close()
        done.set()

    await serve(handler)
    await done.wait()
    await asyncio.sleep(0.1)


def plain(arguments):
    with socket.create_connection(("127.0.0.1", arguments.port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A frame byte by byte, two in one segment, and one whose header is split from its body.
        for byte in frame(b"slowly"):
            peer.sendall(bytes([byte]))
        peer.sendall(frame(b"one") + frame(b"") + frame(b"two"))
        last = frame(b"last")
        peer.sendall(last[:4])
        peer.sendall(last[4:])
        peer.shutdown(socket.SHUT_WR)
        raw = bytearray()
        while piece := peer.recv(3):
            raw += piece
        tell("wire", hex=raw.hex())


def marks(arguments):
    # Linux tells the octet of a connection's first packet by the option IP_PKTOPTIONS, which Python has no name for.
    pktoptions = 9
    kind = socket.SOCK_DGRAM if arguments.udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as here:
        here.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        here.bind(("127.0.0.1", 0))
        if not arguments.udp:
            here.listen()
        tell("ready", port=here.getsockname()[1])
        while True:
            if arguments.udp:
                _, ancillary, _, _ = here.recvmsg(65535, 256)
                octets = [data[0] for level, kind, data in ancillary if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS)]
            else:
                peer, _ = here.accept()
                with peer:
                    peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
                    control = peer.getsockopt(socket.IPPROTO_IP, pktoptions, 256)
                    octets = []
                    while len(control) >= 16:
                        length, level, kind = struct.unpack_from("Nii", control)
                        if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
                            octets.append(control[16])
                        control = control[(length + 7) & ~7 :]
            tell("mark", octet=octets[0] if octets else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("listen")
    command.add_argument("--tls", nargs=2)
    command.add_argument("--count", type=int, default=1)
    command = commands.add_parser("connect")
    command.add_argument("port", type=int)
    command.add_argument("sizes", type=int, nargs="*")
    command.add_argument("--tls")
    command = commands.add_parser("whole")
    command.add_argument("--reset", action="store_true")
    command = commands.add_parser("plain")
    command.add_argument("port", type=int)
    command = commands.add_parser("marks")
    command.add_argument("--udp", action="store_true")
    arguments = parser.parse_args()
    end_with_our_parent()
    run = {"listen": listen, "connect": connect, "whole": whole, "plain": plain, "marks": marks}[arguments.command]
    if asyncio.iscoroutinefunction(run):
        asyncio.run(run(arguments))
    else:
        run(arguments)


if __name__ == "__main__":
    main()
