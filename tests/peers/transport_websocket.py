"""A peer of the transport services over WebSocket, on websockets. Events are lines of JSON on stdout.

  listen [--subprotocol NAME]               gives each message back, of the kind that it came as
  connect PORT PATH SIZES [--subprotocol NAME]  sends messages of these sizes and wants each of them back
"""

import argparse
import asyncio
import json
import os
import ssl
import sys
import threading

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


def end_with_our_parent():
    """Standard input ends however the tests end."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


async def echo(peer):
    tell("open", path=peer.request.path, subprotocol=peer.subprotocol)
    async for message in peer:
        tell("message", size=len(message), text=isinstance(message, str))
        await peer.send(message)
    tell("closed", code=peer.close_code, reason=peer.close_reason)


async def run_listen(arguments):
    context = None
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*arguments.tls)
    names = [arguments.subprotocol] if arguments.subprotocol else None
    async with serve(echo, "127.0.0.1", 0, subprotocols=names, ssl=context, max_size=None) as server:
        tell("ready", port=server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()


async def run_connect(arguments):
    names = [arguments.subprotocol] if arguments.subprotocol else None
    url = f"ws://127.0.0.1:{arguments.port}{arguments.path}"
    async with connect(url, subprotocols=names, max_size=None) as peer:
        tell("open", subprotocol=peer.subprotocol)
        for size in arguments.sizes:
            body = bytes(n % 251 for n in range(size))
            # In fragments, with a ping between: both are the protocol's affair (RFC 6455 5.4).
            await peer.send([body[: size // 2], body[size // 2 :]] if size > 1 else body)
            await (await peer.ping())
            back = await peer.recv()
            tell("message", size=len(back), same=back == body)
    tell("closed", code=peer.close_code)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("listen")
    command.add_argument("--subprotocol")
    command.add_argument("--tls", nargs=2)
    command = commands.add_parser("connect")
    command.add_argument("port", type=int)
    command.add_argument("path")
    command.add_argument("sizes", type=int, nargs="*")
    command.add_argument("--subprotocol")
    arguments = parser.parse_args()
    end_with_our_parent()
    asyncio.run({"listen": run_listen, "connect": run_connect}[arguments.command](arguments))


if __name__ == "__main__":
    main()
